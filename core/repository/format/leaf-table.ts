/**
 * Where each leaf of a block map lies. A disk of 32 TiB has 131,072 leaves: the table keeps them as
 * the root stores them, 18 bytes each, and makes an object only of the one that is asked for.
 */
import { MAX_LEAF_BYTES, requireIntact } from "./layout.ts";

/** Where one sealed leaf lies in an index. */
export interface LeafReference {
  /** 32 hexadecimal digits. */
  readonly indexId: string;
  readonly frameNumber: number;
  readonly offsetBytes: number;
  readonly storedBytes: number;
}

/** `position in the index table u32 | frame number u32 | offset u48 | stored length u32`. */
export const LEAF_LINE_BYTES = 4 + 4 + 6 + 4;
const ALL_ZERO = 0xffff_ffff;

export class LeafTable {
  /** Number of leaves, with and without content. */
  readonly length: number;
  readonly #lines: Buffer;
  readonly #indexIds: string[];
  #positions: Map<string, number> | undefined;

  private constructor(lines: Buffer, indexIds: string[]) {
    this.length = lines.length / LEAF_LINE_BYTES;
    this.#lines = lines;
    this.#indexIds = indexIds;
  }

  /** All leaves zero. */
  static zero(leafCount: number): LeafTable {
    const lines = Buffer.alloc(leafCount * LEAF_LINE_BYTES);
    for (let at = 0; at < lines.length; at += LEAF_LINE_BYTES) lines.writeUInt32LE(ALL_ZERO, at);
    return new LeafTable(lines, []);
  }

  static from(leaves: readonly (LeafReference | undefined)[]): LeafTable {
    const table = LeafTable.zero(leaves.length);
    leaves.forEach((leaf, leafNumber) => table.set(leafNumber, leaf));
    return table;
  }

  /**
   * Refuses lines that name no index of the list or a leaf that is too large.
   * @param lines are kept, not copied
   */
  static decode(lines: Buffer, indexIds: readonly string[]): LeafTable {
    for (let at = 0; at < lines.length; at += LEAF_LINE_BYTES) {
      const position = lines.readUInt32LE(at);
      if (position === ALL_ZERO) continue;
      requireIntact(position < indexIds.length, "a root names an index that it does not list");
      const storedBytes = lines.readUInt32LE(at + 14);
      requireIntact(storedBytes <= MAX_LEAF_BYTES, "a root names a leaf that is too large");
    }
    return new LeafTable(lines, [...indexIds]);
  }

  /** Another table that starts with the same leaves; those behind its end are left out. */
  copy(leafCount: number): LeafTable {
    const table = LeafTable.zero(leafCount);
    this.#lines.copy(table.#lines);
    table.#indexIds.push(...this.#indexIds);
    return table;
  }

  has(leafNumber: number): boolean {
    return this.#positionOf(leafNumber) !== ALL_ZERO;
  }

  /** undefined = all 1,024 blocks are zero, or the disk has no such leaf. */
  get(leafNumber: number): LeafReference | undefined {
    const indexId = this.#indexIds[this.#positionOf(leafNumber)];
    if (indexId === undefined) return undefined;
    const at = leafNumber * LEAF_LINE_BYTES;
    return {
      indexId,
      frameNumber: this.#lines.readUInt32LE(at + 4),
      offsetBytes: this.#lines.readUIntLE(at + 8, 6),
      storedBytes: this.#lines.readUInt32LE(at + 14),
    };
  }

  set(leafNumber: number, leaf: LeafReference | undefined): void {
    const at = leafNumber * LEAF_LINE_BYTES;
    this.#lines.fill(0, at, at + LEAF_LINE_BYTES);
    this.#lines.writeUInt32LE(leaf === undefined ? ALL_ZERO : this.#numberOf(leaf.indexId), at);
    if (leaf === undefined) return;
    this.#lines.writeUInt32LE(leaf.frameNumber, at + 4);
    this.#lines.writeUIntLE(leaf.offsetBytes, at + 8, 6);
    this.#lines.writeUInt32LE(leaf.storedBytes, at + 14);
  }

  /** Numbers of the leaves with content, ascending. */
  *stored(): Generator<number> {
    for (let leafNumber = 0; leafNumber < this.length; leafNumber++) {
      if (this.has(leafNumber)) yield leafNumber;
    }
  }

  /** Ids of the indexes that hold the leaves, in the order of their first leaf. */
  indexIds(): ReadonlySet<string> {
    const positions = new Set<number>();
    for (const leafNumber of this.stored()) positions.add(this.#positionOf(leafNumber));
    return new Set([...positions].map((position) => this.#indexIds[position] ?? ""));
  }

  *[Symbol.iterator](): Generator<LeafReference | undefined> {
    for (let leafNumber = 0; leafNumber < this.length; leafNumber++) yield this.get(leafNumber);
  }

  /** Writes the lines of a root whose table of indexes has this order. */
  encodeInto(target: Buffer, startAt: number, indexIds: Iterable<string>): void {
    const positions = new Map([...indexIds].map((indexId, position) => [indexId, position]));
    const renumbered = this.#indexIds.map((indexId) => positions.get(indexId) ?? 0);
    this.#lines.copy(target, startAt);
    for (const leafNumber of this.stored()) {
      const position = renumbered[this.#positionOf(leafNumber)] ?? 0;
      target.writeUInt32LE(position, startAt + leafNumber * LEAF_LINE_BYTES);
    }
  }

  #positionOf(leafNumber: number): number {
    if (leafNumber >= this.length) return ALL_ZERO;
    return this.#lines.readUInt32LE(leafNumber * LEAF_LINE_BYTES);
  }

  #numberOf(indexId: string): number {
    this.#positions ??= new Map(this.#indexIds.map((id, position) => [id, position]));
    const known = this.#positions.get(indexId);
    if (known !== undefined) return known;
    this.#positions.set(indexId, this.#indexIds.length);
    return this.#indexIds.push(indexId) - 1;
  }
}

/** True when both lie in the same frame, or both are zero. */
export function isSameReference(
  left: LeafReference | undefined,
  right: LeafReference | undefined,
): boolean {
  return left?.indexId === right?.indexId && left?.frameNumber === right?.frameNumber;
}
