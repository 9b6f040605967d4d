/**
 * What dead predecessors of this attempt had sealed. Packs carry the sequence number that they
 * were written for in their names, so the successor finds them, opens their footers and refers to
 * their frames where the content of the block is still the same. A hash match is required, so a
 * stale pack can cost time but never wrong bytes.
 *
 * All packs are used, whatever the size of the disk. Memory: 38 bytes per pack, and the footers
 * that were used last; others are read again when a leaf needs them.
 */
import { mapBounded } from "../../lib/bounded-pool.ts";
import type { BlobStore, StoredBlob } from "../../ports/blob-store.ts";
import { FRAME_PURPOSES } from "../format/frame.ts";
import { framesOf } from "../format/footer-frames.ts";
import { LEAF_BLOCKS, objectNames } from "../format/layout.ts";
import type { BlockEntry } from "../format/leaf.ts";
import { FooterCache } from "./footer-cache.ts";
import type { LeafRange } from "./leaf-range.ts";
import { openFooter, readPackFooter, readSealedFooter } from "./pack-footer.ts";
import type { DataKey } from "./pack-writer.ts";
import { SalvagedPackTable, type SalvagedPack } from "./salvaged-pack-table.ts";

const FOOTERS_READ_AT_ONCE = 16;
/** Names that are held while their packs are looked at. */
const LISTED_AT_ONCE = 64 * FOOTERS_READ_AT_ONCE;

/** What predecessors sealed of the blocks of one leaf. */
export interface SalvagedLeaf {
  /** By block number. Several predecessors may have sealed different content of one block. */
  readonly entries: ReadonlyMap<number, readonly BlockEntry[]>;
  /** Packs that the entries lie in. */
  readonly packs: readonly Pick<SalvagedPack, "packId" | "objectBytes">[];
}

export const NOTHING_SALVAGED: SalvagedLeaf = { entries: new Map(), packs: [] };

interface PredecessorDisk {
  readonly diskId: string;
  readonly sequence: number;
  readonly dataKey: DataKey;
  /** Says of an object's name whether garbage collection may delete it. */
  readonly isTombstoned: (name: string) => boolean;
  /** Packs without a block of these leaves are of no use. */
  readonly leaves?: LeafRange | undefined;
  /** Bound on footers that are kept in memory. */
  readonly keptFooterBytes: number;
}

export class PredecessorPacks {
  readonly #store: BlobStore;
  readonly #disk: PredecessorDisk;
  readonly #packs = new SalvagedPackTable();
  readonly #footers: FooterCache;

  private constructor(store: BlobStore, disk: PredecessorDisk) {
    this.#store = store;
    this.#disk = disk;
    this.#footers = new FooterCache(disk.keptFooterBytes);
  }

  static async load(
    store: BlobStore,
    disk: PredecessorDisk,
    signal: AbortSignal,
  ): Promise<PredecessorPacks> {
    const packs = new PredecessorPacks(store, disk);
    let listed: StoredBlob[] = [];
    for await (const blob of store.list(objectNames.packsOf(disk.diskId, disk.sequence), signal)) {
      if (disk.isTombstoned(blob.name)) continue;
      listed.push(blob);
      if (listed.length < LISTED_AT_ONCE) continue;
      await packs.#take(listed, signal);
      listed = [];
    }
    await packs.#take(listed, signal);
    return packs;
  }

  async #take(blobs: readonly StoredBlob[], signal: AbortSignal): Promise<void> {
    await mapBounded(blobs, FOOTERS_READ_AT_ONCE, async (blob) => {
      // A damaged or vanished leftover is simply not used: its blocks are stored again.
      const footer = await readPackFooter(this.#store, blob, this.#disk.dataKey, signal);
      if (footer === undefined) return;
      const { packId, sealedFooter } = footer;
      const numbers = footer.lines.map((line) => line.number);
      const pack = {
        packId,
        objectBytes: blob.sizeBytes,
        footerBytes: sealedFooter.length,
        firstBlock: numbers.reduce((left, right) => Math.min(left, right)),
        lastBlock: numbers.reduce((left, right) => Math.max(left, right)),
      };
      if (!touches(pack, this.#disk.leaves)) return;
      this.#packs.add(pack);
      this.#footers.add(packId, sealedFooter);
    });
  }

  async readLeaf(leafNumber: number, signal: AbortSignal): Promise<SalvagedLeaf> {
    const firstBlock = leafNumber * LEAF_BLOCKS;
    const endBlock = firstBlock + LEAF_BLOCKS;
    const entries = new Map<number, BlockEntry[]>();
    const packs = this.#packs.overlapping(firstBlock, endBlock);
    await mapBounded(packs, FOOTERS_READ_AT_ONCE, async (pack) => {
      const sealedFooter = await this.#footerOf(pack, signal);
      if (sealedFooter === undefined) return;
      for (const [block, entry] of blocksOf(pack.packId, sealedFooter, this.#disk.dataKey)) {
        if (block < firstBlock || block >= endBlock) continue;
        entries.set(block, [...(entries.get(block) ?? []), entry]);
      }
    });
    return { entries, packs };
  }

  async #footerOf(pack: SalvagedPack, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { packId, objectBytes, footerBytes } = pack;
    const kept = this.#footers.get(packId);
    if (kept !== undefined) return kept;
    const name = objectNames.pack(this.#disk.diskId, packId);
    const place = { name, objectBytes, footerBytes };
    const sealedFooter = await readSealedFooter(this.#store, place, signal);
    if (sealedFooter !== undefined) this.#footers.add(packId, sealedFooter);
    return sealedFooter;
  }
}

function touches({ firstBlock, lastBlock }: SalvagedPack, leaves: LeafRange | undefined): boolean {
  if (leaves === undefined) return true;
  return lastBlock >= leaves.firstLeaf * LEAF_BLOCKS && firstBlock < leaves.endLeaf * LEAF_BLOCKS;
}

/** Blocks of a pack, with where each lies. */
function blocksOf(
  packId: string,
  sealedFooter: Uint8Array,
  dataKey: DataKey,
): (readonly [block: number, entry: BlockEntry])[] {
  return framesOf(openFooter(packId, sealedFooter, dataKey)).flatMap((frame) => {
    const { purpose, lines, ...place } = frame;
    if (purpose !== FRAME_PURPOSES.block) return [];
    const frameBlocks = lines.length;
    return lines.map(({ number, hash }, position): readonly [number, BlockEntry] => [
      number,
      { packId, ...place, position, frameBlocks, hash },
    ]);
  });
}
