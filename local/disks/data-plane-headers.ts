import type { IncomingMessage } from "node:http";
import { invalidHeader, missingHeader, StorageError } from "./storage-error.ts";

/** Half open, in bytes of the blob. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** `x-ms-range` goes before `Range`, as the Blob service says. */
export function rangeHeaderOf(request: IncomingMessage): string | undefined {
  return headerOf(request, "x-ms-range") ?? headerOf(request, "range");
}

export function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The range of a read: the end is clipped to the blob, a start behind it is 416. */
export function parseReadRange(header: string, sizeBytes: number): ByteRange {
  const { from, to } = parseBytes(header);
  if (from >= sizeBytes) {
    throw new StorageError(
      416,
      "InvalidRange",
      "The range specified is invalid for the current size of the resource.",
      { "Content-Range": `bytes */${sizeBytes}` },
    );
  }
  return { from, to: Math.min(to ?? sizeBytes, sizeBytes) };
}

/** The range of a Put Page: whole pages inside the blob. */
export function parsePageRange(header: string | undefined, sizeBytes: number): ByteRange {
  if (header === undefined) throw missingHeader("x-ms-range");
  const { from, to } = parseBytes(header);
  if (to === undefined || from % 512 !== 0 || to % 512 !== 0 || to > sizeBytes) {
    throw new StorageError(416, "InvalidPageRange", "The page range specified is invalid.");
  }
  return { from, to };
}

function parseBytes(header: string): { from: number; to: number | undefined } {
  const match = /^bytes=(\d+)-(\d*)$/.exec(header);
  if (match === null) throw invalidHeader("Range", header);
  const from = Number(match[1]);
  const to = match[2] === "" ? undefined : Number(match[2]) + 1;
  if (to !== undefined && to <= from) throw invalidHeader("Range", header);
  return { from, to };
}

/** Checks `x-ms-version`; which is text that compares by date. */
export function checkVersion(
  request: IncomingMessage,
  { required, since }: { required: boolean; since?: string },
): void {
  const version = headerOf(request, "x-ms-version");
  if (version === undefined) {
    if (required) throw missingHeader("x-ms-version");
    return;
  }
  if (!/^\d{4}-\d{2}-\d{2}$/.test(version)) throw invalidHeader("x-ms-version", version);
  if (since !== undefined && version < since) {
    throw new StorageError(
      400,
      "UnsupportedHeader",
      `One of the headers specified in the request is not supported before version ${since}.`,
    );
  }
}
