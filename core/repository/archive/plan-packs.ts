/**
 * Lays the blocks of a disk out in archive packs. Pure: sealed again, a frame is as long as it was,
 * so that places are known before anything is read, and a retry plans the same packs.
 */
import { createHmac } from "node:crypto";
import { assert } from "../../lib/assert.ts";
import { archiveNameKeyOf } from "../format/keys.ts";
import { HEADER_BYTES, ID_BYTES } from "../format/layout.ts";
import { liveBytesOf, type BlockEntry } from "../format/leaf.ts";
import { containerOverheadBytes } from "../format/sealed-object.ts";
import type { PlacedEntry } from "../reader/group-by-place.ts";
import type { DataKey } from "../writer/pack-writer.ts";

/**
 * Bounds the memory that a pack's plan takes (about 200 bytes per block). Blocks of 64 KiB that shrink to less
 * than a quarter end a pack before its size does.
 */
const PACK_BLOCKS_MAX = 65_536;
/** Part of the ids: a later way of planning must not meet the names of this one. */
const PLAN_VERSION = 1;

/** A frame is copied whole, with blocks that the restore point does not use any more. */
export interface PlannedFrame {
  /** In the archive's pack; the numbers up to the next frame's are those of its blocks. */
  readonly frameNumber: number;
  /** Blocks that are used: where they lie in the restore point. */
  readonly blocks: readonly PlacedEntry[];
}

export interface PlannedPack {
  /** 32 hexadecimal digits. */
  readonly packId: string;
  readonly keyNumber: number;
  /** In the order in which they lie. */
  readonly frames: readonly PlannedFrame[];
  readonly liveBytes: number;
  readonly objectBytes: number;
}

export interface PackPlanOptions {
  readonly packBytes: number;
  /** By key number. A pack holds blocks of one data key: the hashes in the map are made with it. */
  readonly dataKeys: readonly DataKey[];
  /** Everything that decides about the content of the packs. */
  readonly identity: {
    readonly vmId: string;
    readonly archiveId: string;
    readonly diskId: string;
    /** Of the disk point that is copied. */
    readonly manifestId: string;
  };
}

interface OpenFrame extends PlannedFrame {
  readonly packId: string;
  readonly offsetBytes: number;
  readonly blocks: PlacedEntry[];
}

interface OpenPack {
  readonly packId: string;
  readonly frames: OpenFrame[];
  framesBytes: number;
  blockCount: number;
}

export class PackPlanner {
  readonly #options: PackPlanOptions;
  readonly #open = new Map<number, OpenPack>();
  /** Frames of the leaf that is placed now, by their place in the restore point. */
  readonly #frames = new Map<string, OpenFrame>();
  #full: (OpenPack & { readonly keyNumber: number })[] = [];
  #packCount = 0;

  constructor(options: PackPlanOptions) {
    this.#options = options;
  }

  /** The place of a block in the archive. Call it in the order of the disk. */
  place(keyNumber: number, source: PlacedEntry): BlockEntry {
    const sourceFrame = `${source.packId}/${source.frameNumber}`;
    const frame = this.#frames.get(sourceFrame) ?? this.#placeFrame(keyNumber, source);
    this.#frames.set(sourceFrame, frame);
    frame.blocks.push(source);
    const { packId, frameNumber, offsetBytes } = frame;
    const { storedBytes, encoding, position, frameBlocks, hash } = source;
    const place = { packId, frameNumber, offsetBytes, storedBytes };
    return { ...place, encoding, position, frameBlocks, hash };
  }

  /** Packs that got full since the last call. Call it after each leaf: no frame is in two of them. */
  takeFull(): readonly PlannedPack[] {
    const full = this.#full;
    this.#full = [];
    this.#frames.clear();
    return full.map(({ packId, keyNumber, frames, framesBytes, blockCount }) => ({
      packId,
      keyNumber,
      frames,
      liveBytes: frames
        .flatMap(({ blocks }) => blocks)
        .reduce((sum, at) => sum + liveBytesOf(at), 0),
      objectBytes: framesBytes + containerOverheadBytes(blockCount),
    }));
  }

  /** What is left, when all blocks are placed. */
  finish(): readonly PlannedPack[] {
    for (const [keyNumber, pack] of this.#open) this.#close(keyNumber, pack);
    return this.takeFull();
  }

  #placeFrame(keyNumber: number, source: PlacedEntry): OpenFrame {
    let pack = this.#open.get(keyNumber);
    if (pack !== undefined && !this.#hasRoom(pack, source)) {
      this.#close(keyNumber, pack);
      pack = undefined;
    }
    if (pack === undefined) {
      pack = { packId: this.#nextPackId(keyNumber), frames: [], framesBytes: 0, blockCount: 0 };
      this.#open.set(keyNumber, pack);
    }
    const { packId, blockCount: frameNumber } = pack;
    const offsetBytes = HEADER_BYTES + pack.framesBytes;
    const frame: OpenFrame = { packId, frameNumber, offsetBytes, blocks: [] };
    pack.frames.push(frame);
    pack.framesBytes += source.storedBytes;
    pack.blockCount += source.frameBlocks;
    return frame;
  }

  #hasRoom(pack: OpenPack, { storedBytes, frameBlocks }: PlacedEntry): boolean {
    const blockCount = pack.blockCount + frameBlocks;
    if (blockCount > PACK_BLOCKS_MAX) return false;
    const objectBytes = pack.framesBytes + storedBytes + containerOverheadBytes(blockCount);
    return objectBytes <= this.#options.packBytes;
  }

  #close(keyNumber: number, pack: OpenPack): void {
    this.#full.push({ ...pack, keyNumber });
    this.#open.delete(keyNumber);
  }

  /**
   * The number of the pack (4 bytes, big endian) and 12 bytes that nobody without the data key can
   * tell from random ones. Equal ids have equal content: what is sealed under them is copied from
   * frames that never change, at places that this plan computes.
   */
  #nextPackId(keyNumber: number): string {
    const { dataKeys, identity, packBytes } = this.#options;
    const dataKey = dataKeys[keyNumber];
    assert(dataKey !== undefined, "a block lies under a data key that there is not");
    const number = ++this.#packCount;
    const { vmId, archiveId, diskId, manifestId } = identity;
    const content = [PLAN_VERSION, vmId, archiveId, diskId, manifestId, packBytes, number];
    const id = Buffer.alloc(ID_BYTES);
    id.writeUInt32BE(number, 0);
    createHmac("sha256", archiveNameKeyOf(dataKey.key))
      .update(JSON.stringify(content))
      .digest()
      .copy(id, 4, 0, ID_BYTES - 4);
    return id.toString("hex");
  }
}
