/**
 * Builds the block map of a new point, leaf by leaf in ascending order. A leaf whose entries end up
 * the same as its parent's is not written again but referred to.
 */
import type { BlockMap } from "../block-map.ts";
import {
  emptyLeaf,
  liveBytesOf,
  type BlockEntry,
  type Leaf,
  type MutableLeaf,
} from "../format/leaf.ts";
import { LeafTable, isSameReference, type LeafReference } from "../format/leaf-table.ts";
import type { IndexUse, PackUse, Root } from "../format/root.ts";
import type { IndexWriter } from "./index-writer.ts";

type MutablePackUse = { -readonly [Field in keyof PackUse]: PackUse[Field] };

export class MapBuilder {
  readonly #parent: BlockMap | undefined;
  readonly #inherits: boolean;
  readonly #keyNumber: number;
  readonly #leaves: LeafTable;
  readonly #packs = new Map<string, MutablePackUse>();
  readonly #entries = emptyLeaf();
  #isChanged: boolean;

  /**
   * @param options.inherits leaves that are not set stay as in the parent (incremental); otherwise
   *   they are zero (full)
   */
  constructor(options: {
    readonly parent: BlockMap | undefined;
    readonly inherits: boolean;
    readonly leafCount: number;
    readonly keyNumber: number;
  }) {
    const { parent, inherits, leafCount } = options;
    this.#parent = parent;
    this.#inherits = inherits;
    this.#keyNumber = options.keyNumber;
    const inherited = inherits ? parent?.root.leaves : undefined;
    this.#leaves = inherited?.copy(leafCount) ?? LeafTable.zero(leafCount);
    this.#isChanged = !inherits || parent?.root.leaves.length !== leafCount;
    for (const [packId, use] of parent?.root.packs ?? []) {
      this.#packs.set(packId, { ...use, liveBytes: inherits ? use.liveBytes : 0 });
    }
  }

  /**
   * Records the size of a pack that lies in the store.
   * @param immutableUntilDay 0 = not known to be immutable
   */
  addPack(packId: string, objectBytes: number, immutableUntilDay = 0): void {
    const known = this.#packs.get(packId);
    if (known === undefined) {
      const keyNumber = this.#keyNumber;
      this.#packs.set(packId, { keyNumber, objectBytes, liveBytes: 0, immutableUntilDay });
    } else {
      known.objectBytes = objectBytes;
      known.immutableUntilDay = Math.max(known.immutableUntilDay, immutableUntilDay);
    }
  }

  /** Entries that a leaf starts from. One leaf at a time: the array is used again by the next. */
  startLeaf(base: Leaf | undefined): MutableLeaf {
    const entries = this.#entries;
    const inherited = this.#inherits ? base : undefined;
    for (let block = 0; block < entries.length; block++) entries[block] = inherited?.[block];
    return entries;
  }

  async finishLeaf(
    leafNumber: number,
    base: Leaf | undefined,
    leaf: Leaf,
    index: IndexWriter,
  ): Promise<void> {
    if (this.#inherits) this.#count(base ?? [], -1);
    this.#count(leaf, 1);
    const baseReference =
      base === undefined ? undefined : this.#parent?.root.leaves.get(leafNumber);
    const isZero = leaf.every((entry) => entry === undefined);
    let reference: LeafReference | undefined;
    if (base !== undefined && isSameLeaf(base, leaf)) reference = baseReference;
    else if (!isZero) reference = await index.addLeaf(leafNumber, leaf);
    if (!isSameReference(reference, this.#leaves.get(leafNumber))) this.#isChanged = true;
    this.#leaves.set(leafNumber, reference);
  }

  /** The new root, or `unchanged` when the parent's describes this point just as well. */
  finish(newIndexes: ReadonlyMap<string, IndexUse>): Root | "unchanged" | "zero" {
    if (!this.#isChanged) return "unchanged";
    const indexes = new Map<string, IndexUse>();
    for (const indexId of this.#leaves.indexIds()) {
      const use = newIndexes.get(indexId) ?? this.#parent?.root.indexes.get(indexId);
      if (use !== undefined) indexes.set(indexId, use);
    }
    if (indexes.size === 0) return "zero";
    const packs = new Map<string, PackUse>();
    for (const [packId, use] of this.#packs) if (use.liveBytes > 0) packs.set(packId, use);
    return { leaves: this.#leaves, packs, indexes };
  }

  #count(leaf: Leaf, sign: 1 | -1): void {
    for (const entry of leaf) {
      if (entry === undefined) continue;
      this.#addPackIfUnknown(entry);
      const use = this.#packs.get(entry.packId);
      if (use !== undefined) use.liveBytes += sign * liveBytesOf(entry);
    }
  }

  /** A pack may still be on its way up when a leaf already refers to it; its size comes later. */
  #addPackIfUnknown(entry: BlockEntry): void {
    if (!this.#packs.has(entry.packId)) this.addPack(entry.packId, 0);
  }
}

function isSameLeaf(left: Leaf, right: Leaf): boolean {
  return left.every((entry, block) => {
    const other = right[block];
    return (
      entry === other ||
      (entry !== undefined &&
        other !== undefined &&
        entry.packId === other.packId &&
        entry.frameNumber === other.frameNumber)
    );
  });
}
