import type { Readable } from "node:stream";

/** Takes an exact number of bytes at a time from a stream, which rests while nobody asks. */
export class ByteIntake {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#chunks = stream.iterator({ destroyOnReturn: false });
  }

  /** Undefined when the stream ends before. */
  async take(byteCount: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = byteCount;
    for (;;) {
      const part = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(part.length);
      missing -= part.length;
      parts.push(part);
      if (missing === 0) return parts.length === 1 ? part : Buffer.concat(parts);
      if (!(await this.#fill())) return undefined;
    }
  }

  /** Throws bytes away. False when the stream ends before. */
  async skip(byteCount: number): Promise<boolean> {
    for (let missing = byteCount; ;) {
      const skipped = Math.min(missing, this.#rest.length);
      this.#rest = this.#rest.subarray(skipped);
      missing -= skipped;
      if (missing === 0) return true;
      if (!(await this.#fill())) return false;
    }
  }

  async #fill(): Promise<boolean> {
    const next = await this.#chunks.next();
    if (next.done === true) return false;
    this.#rest = next.value;
    return true;
  }
}
