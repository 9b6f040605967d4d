import type { DiskRange } from "#core/ports/disk-data.ts";

/**
 * How far a disk is written without a gap, while pieces of it are written at the same time and end
 * in any order. Whoever goes on after a crash starts there.
 */
export class WrittenMark {
  /** Offsets of pieces under way, ascending: that is the order in which they are started. */
  readonly #underWay = new Set<number>();
  #startedToBytes: number;

  /** @param fromBytes what lies before was written by somebody else */
  constructor(fromBytes: number) {
    this.#startedToBytes = fromBytes;
  }

  /** Call it in the order of the disk. What is left out between two pieces needs no writing. */
  start({ offsetBytes, lengthBytes }: DiskRange): void {
    this.#underWay.add(offsetBytes);
    this.#startedToBytes = Math.max(this.#startedToBytes, offsetBytes + lengthBytes);
  }

  finish({ offsetBytes }: DiskRange): void {
    this.#underWay.delete(offsetBytes);
  }

  /** Everything before this offset is written. */
  get writtenToBytes(): number {
    const [lowest] = this.#underWay;
    return lowest ?? this.#startedToBytes;
  }
}
