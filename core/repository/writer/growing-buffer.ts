/** Bytes that are appended piece by piece, without an object per piece. */
const FIRST_BYTES = 16 * 1024;

export class GrowingBuffer {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #usedBytes = 0;

  get length(): number {
    return this.#usedBytes;
  }

  append(piece: Uint8Array): void {
    const neededBytes = this.#usedBytes + piece.length;
    if (neededBytes > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(neededBytes, 2 * this.#bytes.length));
      this.#bytes.copy(larger, 0, 0, this.#usedBytes);
      this.#bytes = larger;
    }
    this.#bytes.set(piece, this.#usedBytes);
    this.#usedBytes = neededBytes;
  }

  /** What was appended so far; valid until the next `append`. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#usedBytes);
  }
}
