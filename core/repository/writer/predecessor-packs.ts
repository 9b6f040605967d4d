/**
 * What a dead predecessor of this attempt had sealed. Packs carry the sequence number that they
 * were written for in their names, so the successor finds them, opens their footers and refers to
 * their frames where the content of the block is still the same. A hash match is required, so a
 * stale pack can cost time but never wrong bytes.
 */
import type { BlobStore, StoredBlob } from "../../ports/blob-store.ts";
import { FRAME_PURPOSES } from "../format/frame.ts";
import { HEADER_BYTES, LEAF_BLOCKS, objectNames } from "../format/layout.ts";
import type { BlockEntry } from "../format/leaf.ts";
import { FOOTER_ENTRY_BYTES } from "../format/sealed-object.ts";
import { openFooter, readPackFooter } from "./pack-footer.ts";
import type { DataKey } from "./pack-writer.ts";

/** About 60 MiB in memory and 256 GiB of disk; what lies beyond is stored again. */
const MAX_KEPT_FRAMES = 1024 * 1024;

interface SalvagedPack {
  readonly packId: string;
  readonly objectBytes: number;
  readonly sealedFooter: Uint8Array;
  readonly firstBlock: number;
  readonly lastBlock: number;
}

export class PredecessorPacks {
  readonly #packs: readonly SalvagedPack[];
  readonly #dataKey: DataKey;

  private constructor(packs: readonly SalvagedPack[], dataKey: DataKey) {
    this.#packs = packs;
    this.#dataKey = dataKey;
  }

  /** @param disk.isTombstoned says of an object's name whether garbage collection may delete it */
  static async load(
    store: BlobStore,
    disk: {
      readonly diskId: string;
      readonly sequence: number;
      readonly dataKey: DataKey;
      readonly isTombstoned: (name: string) => boolean;
    },
    signal: AbortSignal,
  ): Promise<PredecessorPacks> {
    const packs: SalvagedPack[] = [];
    let frameCount = 0;
    for await (const blob of store.list(objectNames.packsOf(disk.diskId, disk.sequence), signal)) {
      if (frameCount >= MAX_KEPT_FRAMES) break;
      if (disk.isTombstoned(blob.name)) continue;
      const pack = await readPack(store, blob, disk.dataKey, signal);
      if (pack === undefined) continue;
      packs.push(pack);
      frameCount += pack.sealedFooter.length / FOOTER_ENTRY_BYTES;
    }
    return new PredecessorPacks(packs, disk.dataKey);
  }

  /** Entries of one leaf's blocks by block number. */
  entriesOf(leafNumber: number): ReadonlyMap<number, BlockEntry> {
    const entries = new Map<number, BlockEntry>();
    const firstBlock = leafNumber * LEAF_BLOCKS;
    const endBlock = firstBlock + LEAF_BLOCKS;
    for (const pack of this.#packs) {
      if (pack.lastBlock < firstBlock || pack.firstBlock >= endBlock) continue;
      let offsetBytes = HEADER_BYTES;
      for (const frame of openFooter(pack.packId, pack.sealedFooter, this.#dataKey)) {
        const { number, frameNumber, storedBytes, encoding, hash, purpose } = frame;
        const isWanted = number >= firstBlock && number < endBlock;
        if (isWanted && purpose === FRAME_PURPOSES.block) {
          const place = { packId: pack.packId, frameNumber, offsetBytes, storedBytes };
          entries.set(number, { ...place, encoding, hash });
        }
        offsetBytes += storedBytes;
      }
    }
    return entries;
  }

  /** Sizes of the packs, for the table of those that a point uses. */
  *objects(): Generator<{ readonly packId: string; readonly objectBytes: number }> {
    for (const { packId, objectBytes } of this.#packs) yield { packId, objectBytes };
  }
}

async function readPack(
  store: BlobStore,
  blob: StoredBlob,
  dataKey: DataKey,
  signal: AbortSignal,
): Promise<SalvagedPack | undefined> {
  // A damaged or vanished leftover is simply not used: its blocks are stored again.
  const footer = await readPackFooter(store, blob, dataKey, signal);
  if (footer === undefined) return undefined;
  const blocks = footer.frames.map((frame) => frame.number);
  return {
    packId: footer.packId,
    objectBytes: blob.sizeBytes,
    sealedFooter: footer.sealedFooter,
    firstBlock: blocks.reduce((left, right) => Math.min(left, right)),
    lastBlock: blocks.reduce((left, right) => Math.max(left, right)),
  };
}
