/** A huge disk that exists only as a rule: incompressible extents, spread evenly over all of it. */
import { createCipheriv } from "node:crypto";
import type { ChangedRange, DiskDataReader, DiskRange } from "#core/ports/disk-data.ts";

const EXTENT_BYTES = 256 * 1024;
const KEY = Buffer.alloc(16, "scattered disk");

export class ScatteredDisk implements DiskDataReader {
  readonly #sizeBytes: number;
  readonly #extentCount: number;
  /** Another generation has other content everywhere. */
  readonly #generation: number;

  constructor(disk: { sizeBytes: number; extentCount: number; generation: number }) {
    this.#sizeBytes = disk.sizeBytes;
    this.#extentCount = disk.extentCount;
    this.#generation = disk.generation;
  }

  async readSizeBytes(): Promise<number> {
    return this.#sizeBytes;
  }

  async read({ offsetBytes, lengthBytes }: DiskRange): Promise<Uint8Array> {
    const bytes = Buffer.alloc(lengthBytes);
    const nonce = Buffer.alloc(16);
    nonce.writeUInt32LE(this.#generation, 0);
    nonce.writeUIntLE(offsetBytes, 4, 6);
    return createCipheriv("aes-128-ctr", KEY, nonce).update(bytes);
  }

  async *listAllocated(): AsyncGenerator<DiskRange> {
    for (let extent = 0; extent < this.#extentCount; extent++) yield this.#extent(extent);
  }

  /** Every third extent. */
  async *listChanged(): AsyncGenerator<ChangedRange> {
    for (let extent = 0; extent < this.#extentCount; extent += 3) {
      yield { ...this.#extent(extent), kind: "data" };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #extent(extent: number): DiskRange {
    const spacing = this.#sizeBytes / this.#extentCount;
    const offsetBytes = Math.floor((extent * spacing) / EXTENT_BYTES) * EXTENT_BYTES;
    return { offsetBytes, lengthBytes: EXTENT_BYTES };
  }
}
