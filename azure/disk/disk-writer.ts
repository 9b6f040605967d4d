import { randomBytes } from "node:crypto";
import { assert } from "#core/lib/assert.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { encodeVhdFooter } from "#core/lib/vhd-footer.ts";
import type { DiskDataWriter } from "#core/ports/disk-data.ts";
import type { SasEndpoint } from "./sas-endpoint.ts";

/** Azure's largest Put Page. */
const maxPutPageBytes = 4 * 1024 * 1024;
const zeros = Buffer.alloc(maxPutPageBytes);

/** Fills a disk that was created for upload; such a disk is all zeros, so zeros are not sent. */
export class SasDiskWriter implements DiskDataWriter {
  readonly #endpoint: SasEndpoint;
  readonly #sizeBytes: number;
  #isFinished = false;

  constructor(endpoint: SasEndpoint, sizeBytes: number) {
    this.#endpoint = endpoint;
    this.#sizeBytes = sizeBytes;
  }

  async write(offsetBytes: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const end = offsetBytes + bytes.byteLength;
    assert(!this.#isFinished, "write after the footer");
    assert(offsetBytes % 512 === 0 && bytes.byteLength % 512 === 0, "write is not aligned to 512");
    assert(offsetBytes >= 0 && end <= this.#sizeBytes, `write up to ${end} ends after the disk`);
    const pieces: { offsetBytes: number; bytes: Uint8Array }[] = [];
    for (let start = 0; start < bytes.byteLength; start += maxPutPageBytes) {
      const piece = bytes.subarray(start, start + maxPutPageBytes);
      if (!isZero(piece)) pieces.push({ offsetBytes: offsetBytes + start, bytes: piece });
    }
    await mapBounded(pieces, this.#endpoint.maxConcurrency, (piece) =>
      this.#putPage(piece.offsetBytes, piece.bytes, signal),
    );
  }

  async finish(signal: AbortSignal): Promise<void> {
    assert(!this.#isFinished, "footer written twice");
    this.#isFinished = true;
    const footer = encodeVhdFooter({
      sizeBytes: this.#sizeBytes,
      uniqueId: randomBytes(16),
      createdAtMs: Date.now(),
    });
    await this.#putPage(this.#sizeBytes, footer, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endpoint.close();
  }

  async #putPage(offsetBytes: number, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#endpoint.send(
      {
        operation: "writing",
        method: "PUT",
        query: "comp=page",
        headers: {
          "x-ms-page-write": "update",
          "x-ms-range": `bytes=${offsetBytes}-${offsetBytes + bytes.byteLength - 1}`,
          "content-type": "application/octet-stream",
        },
        body: bytes,
        expectedStatus: 201,
        consume: ({ body }) => body.dump(),
      },
      signal,
    );
  }
}

function isZero(bytes: Uint8Array): boolean {
  return zeros.compare(bytes, 0, bytes.byteLength, 0, bytes.byteLength) === 0;
}
