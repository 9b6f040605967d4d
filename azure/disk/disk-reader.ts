import { text } from "node:stream/consumers";
import { assert } from "#core/lib/assert.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import { findVhdFooterDefect, vhdFooterSizeBytes } from "#core/lib/vhd-footer.ts";
import type { ChangedRange, DiskDataReader, DiskRange } from "#core/ports/disk-data.ts";
import { shortRead } from "./disk-data-errors.ts";
import { parsePageList } from "./page-list-parser.ts";
import { listRanges, type FetchPage } from "./range-listing.ts";
import { headerText, type SasEndpoint } from "./sas-endpoint.ts";

/** Bytes of one GET: large enough to hide the round trip, small enough to be cheap to repeat. */
const maxReadBytes = 4 * 1024 * 1024;

/** Reads an exported disk or snapshot through its SAS. */
export class SasDiskReader implements DiskDataReader {
  readonly #endpoint: SasEndpoint;
  #sizeBytes: number | undefined;

  constructor(endpoint: SasEndpoint) {
    this.#endpoint = endpoint;
  }

  /** Checks the footer too: an export in another format (VHDX) must not be taken for raw bytes. */
  async readSizeBytes(signal: AbortSignal): Promise<number> {
    this.#sizeBytes ??= await this.#readVerifiedSize(signal);
    return this.#sizeBytes;
  }

  async read({ offsetBytes, lengthBytes }: DiskRange, signal: AbortSignal): Promise<Uint8Array> {
    const end = offsetBytes + lengthBytes;
    assert(
      offsetBytes >= 0 && end <= (this.#sizeBytes ?? end),
      `read up to ${end} ends after disk`,
    );
    const bytes = new Uint8Array(lengthBytes);
    const starts: number[] = [];
    for (let start = 0; start < lengthBytes; start += maxReadBytes) starts.push(start);
    await mapBounded(starts, this.#endpoint.maxConcurrency, (start) =>
      this.#readPiece(offsetBytes + start, bytes.subarray(start, start + maxReadBytes), signal),
    );
    return bytes;
  }

  async *listAllocated(signal: AbortSignal, within?: DiskRange): AsyncGenerator<DiskRange> {
    const sizeBytes = await this.readSizeBytes(signal);
    const { offsetBytes: from, lengthBytes } = within ?? { offsetBytes: 0, lengthBytes: sizeBytes };
    const span = { from, to: Math.min(sizeBytes, from + lengthBytes) };
    for await (const range of listRanges(span, this.#pageFetcher({}, signal))) {
      if (range.kind !== "data") {
        throw new HoldfastError(
          "MalformedPageList",
          "Azure's list of allocated ranges has a cleared range; nothing may be backed up from it.",
        );
      }
      yield { offsetBytes: range.offsetBytes, lengthBytes: range.lengthBytes };
    }
  }

  async *listChanged(previousSas: string, signal: AbortSignal): AsyncGenerator<ChangedRange> {
    const sizeBytes = await this.readSizeBytes(signal);
    // Managed disks name the older snapshot by its SAS (Get Page Ranges, since 2019-04-19).
    const headers = { "x-ms-previous-snapshot-url": previousSas };
    yield* listRanges({ from: 0, to: sizeBytes }, this.#pageFetcher(headers, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endpoint.close();
  }

  #pageFetcher(headers: Readonly<Record<string, string>>, signal: AbortSignal): FetchPage {
    return async ({ window: { from, to }, marker, canSplit }) => {
      const more = marker === undefined ? "" : `&marker=${encodeURIComponent(marker)}`;
      const xml = await this.#endpoint.send(
        {
          operation: "listing of ranges",
          method: "GET",
          query: `comp=pagelist${more}`,
          headers: { ...headers, "x-ms-range": `bytes=${from}-${to - 1}` },
          expectedStatus: 200,
          failOnTimeout: canSplit,
          consume: ({ body }) => text(body),
        },
        signal,
      );
      return parsePageList(xml);
    };
  }

  async #readVerifiedSize(signal: AbortSignal): Promise<number> {
    const blobSizeBytes = await this.#endpoint.send(
      {
        operation: "reading of the size",
        method: "HEAD",
        expectedStatus: 200,
        consume: async ({ headers, body }) => {
          await body.dump();
          return Number(headerText(headers, "content-length"));
        },
      },
      signal,
    );
    const sizeBytes = blobSizeBytes - vhdFooterSizeBytes;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % 512 !== 0) {
      throw this.#notFixedVhd(`it has ${blobSizeBytes} bytes`);
    }
    const footer = new Uint8Array(vhdFooterSizeBytes);
    await this.#readPiece(sizeBytes, footer, signal);
    const defect = findVhdFooterDefect(footer, sizeBytes);
    if (defect !== undefined) throw this.#notFixedVhd(defect);
    return sizeBytes;
  }

  async #readPiece(offsetBytes: number, target: Uint8Array, signal: AbortSignal): Promise<void> {
    const lastByte = offsetBytes + target.byteLength - 1;
    const { host } = this.#endpoint;
    await this.#endpoint.send(
      {
        operation: "reading",
        method: "GET",
        headers: { "x-ms-range": `bytes=${offsetBytes}-${lastByte}` },
        expectedStatus: 206,
        consume: async ({ body }) => {
          let filled = 0;
          try {
            for await (const chunk of body) {
              const bytes: Uint8Array = chunk;
              if (filled + bytes.byteLength > target.byteLength) {
                throw shortRead(host, target.byteLength, filled + bytes.byteLength);
              }
              target.set(bytes, filled);
              filled += bytes.byteLength;
            }
          } catch (error) {
            if (error instanceof HoldfastError || signal.aborted) throw error;
            throw shortRead(host, target.byteLength, filled);
          }
          if (filled !== target.byteLength) throw shortRead(host, target.byteLength, filled);
        },
      },
      signal,
    );
  }

  #notFixedVhd(detail: string): HoldfastError {
    const { host } = this.#endpoint;
    return new HoldfastError(
      "NotFixedVhd",
      `The export at ${host} is not a fixed VHD (${detail}); ask for file format VHD.`,
      { context: { host } },
    );
  }
}
