import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { DiskState } from "./disk-state.ts";
import {
  checkVersion,
  headerOf,
  parsePageRange,
  parseReadRange,
  rangeHeaderOf,
} from "./data-plane-headers.ts";
import { findBlob, type ExportedBlob } from "./exported-blob.ts";
import { encodePageList, parseMarker, parseMaxResults } from "./page-list.ts";
import type { ResourceCounters } from "./resource-counters.ts";
import type { TokenQuestion } from "./token-gate.ts";
import {
  authenticationFailed,
  invalidHeader,
  missingHeader,
  StorageError,
} from "./storage-error.ts";

/** One authenticated request on one blob. */
export interface BlobCall {
  readonly state: DiskState;
  readonly blob: ExportedBlob;
  readonly url: URL;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly counters: ResourceCounters;
  /** Fault injection: cut the connection after this many bytes of the body. */
  readonly cutAfterBytes: number | undefined;
  /** Throws unless the request's token opens the blob, where one is asked for. */
  readonly authorize: (blob: ExportedBlob, right: TokenQuestion["right"]) => Promise<void>;
}

const maxPutPageBytes = 4 * 1024 * 1024;
/** Bytes of one answer that may wait for the client, so that the file is read meanwhile. */
const maxBufferedBytes = 2 * 1024 * 1024;
const zeros = Buffer.alloc(1024 * 1024);

export async function answerHead({ blob, response }: BlobCall): Promise<void> {
  response.writeHead(200, { ...propertiesOf(blob), "Content-Length": blob.sizeBytes });
  response.end();
}

export async function answerRead(call: BlobCall): Promise<void> {
  const { blob, request, response, counters } = call;
  if (headerOf(request, "x-ms-range-get-content-md5") !== undefined) {
    throw new StorageError(400, "UnsupportedHeader", "Range MD5 is not served for managed disks.");
  }
  const header = rangeHeaderOf(request);
  const range =
    header === undefined ? { from: 0, to: blob.sizeBytes } : parseReadRange(header, blob.sizeBytes);
  counters.readCount++;
  const headers = { ...propertiesOf(blob), "Content-Length": range.to - range.from };
  if (header === undefined) response.writeHead(200, headers);
  else {
    const contentRange = `bytes ${range.from}-${range.to - 1}/${blob.sizeBytes}`;
    response.writeHead(206, { ...headers, "Content-Range": contentRange });
  }
  let budget = call.cutAfterBytes ?? Infinity;
  let position = range.from;
  for await (const piece of blob.read(range.from, range.to)) {
    for (const bytes of piecesOf(piece)) {
      if (bytes.byteLength > budget) {
        const rest = bytes.subarray(0, budget);
        // Destroyed before these bytes are out, the client would not even see the headers.
        await new Promise<void>((resolve) => response.write(rest, () => resolve()));
        response.destroy();
        return;
      }
      budget -= bytes.byteLength;
      if (!(await send(response, bytes))) return;
      counters.readBytes += diskBytesOf(blob, position, bytes.byteLength);
      position += bytes.byteLength;
    }
  }
  response.end();
}

export async function answerPageList(call: BlobCall): Promise<void> {
  const { blob, url, request, response, counters } = call;
  counters.pageListCount++;
  const query = url.searchParams;
  const isPaged = query.has("maxresults") || query.has("marker");
  checkVersion(request, { required: true, ...(isPaged ? { since: "2020-10-02" } : {}) });
  const maxResults = parseMaxResults(query.get("maxresults"));
  const header = rangeHeaderOf(request);
  const window =
    header === undefined ? { from: 0, to: blob.sizeBytes } : parseReadRange(header, blob.sizeBytes);
  const marker = query.get("marker");
  const from = marker === null || marker === "" ? window.from : parseMarker(marker);
  const previous = await previousOf(call);
  const ranges =
    previous === undefined
      ? blob.listAllocated(from, window.to)
      : blob.listChanged(previous, from, window.to);
  const body = Buffer.from(encodePageList(ranges, maxResults));
  response.writeHead(200, {
    ...propertiesOf(blob),
    "Content-Type": "application/xml",
    "Content-Length": body.byteLength,
    "x-ms-blob-content-length": blob.sizeBytes,
  });
  response.end(body);
}

/**
 * The blob behind `x-ms-previous-snapshot-url`, whose own SAS must be live, and which the same token must
 * open where it is in that mode: its blocks show through the diff.
 */
async function previousOf(call: BlobCall): Promise<ExportedBlob | undefined> {
  const { state, url, request } = call;
  const timestamp = url.searchParams.get("prevsnapshot");
  if (timestamp !== null) {
    // That form names a snapshot of the same blob by its time; an exported disk has no such one.
    if (Number.isNaN(Date.parse(timestamp))) {
      throw new StorageError(
        400,
        "InvalidQueryParameterValue",
        "Value for one of the query parameters specified in the request URI is invalid: prevsnapshot.",
      );
    }
    throw new StorageError(409, "PreviousSnapshotNotFound", "The previous snapshot is not found.");
  }
  const header = headerOf(request, "x-ms-previous-snapshot-url");
  if (header === undefined) return undefined;
  checkVersion(request, { required: true, since: "2019-04-19" });
  if (!URL.canParse(header)) throw invalidHeader("x-ms-previous-snapshot-url", "(not a URL)");
  const previousUrl = new URL(header);
  const previous = findBlob(state, previousUrl.pathname);
  if (previous === undefined) {
    throw authenticationFailed("The previous snapshot does not exist.");
  }
  previous.authenticate(previousUrl);
  await call.authorize(previous, "download");
  return previous;
}

export async function answerWritePage(call: BlobCall): Promise<void> {
  const { blob, request, response, counters } = call;
  const { from, to } = parsePageRange(rangeHeaderOf(request), blob.sizeBytes);
  const length = contentLengthOf(request);
  if (to - from > maxPutPageBytes || length > maxPutPageBytes) {
    throw new StorageError(
      413,
      "RequestBodyTooLarge",
      "The request body is too large and exceeds the maximum permissible limit.",
      { "x-ms-max-body-size": String(maxPutPageBytes) },
    );
  }
  if (length !== to - from) throw invalidHeader("Content-Length", String(length));
  const body = await readBody(request, length);
  const sentMd5 = headerOf(request, "content-md5");
  if (sentMd5 !== undefined && sentMd5 !== createHash("md5").update(body).digest("base64")) {
    throw new StorageError(
      400,
      "Md5Mismatch",
      "The MD5 value specified in the request did not match with the MD5 value calculated by the server.",
    );
  }
  await blob.write(from, body);
  counters.writeCount++;
  counters.writtenBytes += diskBytesOf(blob, from, body.byteLength);
  response.writeHead(201, { ...propertiesOf(blob), "Content-Length": 0 });
  response.end();
}

export async function answerClearPage({ blob, request, response }: BlobCall): Promise<void> {
  const { from, to } = parsePageRange(rangeHeaderOf(request), blob.sizeBytes);
  if (contentLengthOf(request) !== 0) throw invalidHeader("Content-Length", "not 0");
  await blob.clear(from, to - from);
  response.writeHead(201, { ...propertiesOf(blob), "Content-Length": 0 });
  response.end();
}

/** How much of a range of the blob belongs to the disk, and not to the footer. */
function diskBytesOf(blob: ExportedBlob, offsetBytes: number, lengthBytes: number): number {
  return Math.max(0, Math.min(lengthBytes, blob.record.sizeBytes - offsetBytes));
}

function contentLengthOf(request: IncomingMessage): number {
  const header = headerOf(request, "content-length");
  if (header === undefined) {
    if (headerOf(request, "transfer-encoding") === undefined) return 0;
    throw new StorageError(411, "MissingContentLengthHeader", "Content-Length was not specified.");
  }
  return Number(header);
}

async function readBody(request: IncomingMessage, lengthBytes: number): Promise<Buffer> {
  const body = Buffer.allocUnsafe(lengthBytes);
  let done = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Uint8Array)) throw new Error("the request body is not binary");
    body.set(chunk, done);
    done += chunk.byteLength;
  }
  if (done !== lengthBytes) throw missingHeader("the whole request body");
  return body;
}

function* piecesOf(piece: { lengthBytes: number; bytes: Uint8Array | undefined }) {
  if (piece.bytes !== undefined) {
    yield piece.bytes;
    return;
  }
  for (let left = piece.lengthBytes; left > 0; left -= zeros.byteLength) {
    yield left < zeros.byteLength ? zeros.subarray(0, left) : zeros;
  }
}

/** False when the client has gone. */
async function send(response: ServerResponse, bytes: Uint8Array): Promise<boolean> {
  if (response.destroyed) return false;
  if (response.write(bytes) || response.writableLength < maxBufferedBytes) return true;
  const gone = new AbortController();
  const stop = (): void => gone.abort();
  response.once("close", stop);
  try {
    await once(response, "drain", { signal: gone.signal });
    return true;
  } catch {
    return false;
  } finally {
    response.off("close", stop);
  }
}

function propertiesOf(blob: ExportedBlob): Record<string, string | number> {
  return {
    "Accept-Ranges": "bytes",
    "Content-Type": "application/octet-stream",
    "Last-Modified": new Date(blob.record.createdAt).toUTCString(),
    ETag: `"0x${blob.record.uniqueId.replaceAll("-", "").slice(0, 15).toUpperCase()}"`,
    "x-ms-blob-type": "PageBlob",
    "x-ms-blob-sequence-number": 0,
    "x-ms-lease-status": "unlocked",
    "x-ms-lease-state": "available",
    "x-ms-server-encrypted": "true",
  };
}
