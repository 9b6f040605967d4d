/**
 * Lays the blocks of a disk out in archive packs. Pure: sealed again, a frame is as long as it was,
 * so that places are known before anything is read, and a retry plans the same packs.
 */
import { createHmac } from "node:crypto";
import { assert } from "../../lib/assert.ts";
import { archiveNameKeyOf } from "../format/keys.ts";
import { HEADER_BYTES, ID_BYTES } from "../format/layout.ts";
import type { BlockEntry } from "../format/leaf.ts";
import { containerOverheadBytes } from "../format/sealed-object.ts";
import type { PlacedEntry } from "../reader/group-by-place.ts";
import type { DataKey } from "../writer/pack-writer.ts";

/** Bounds the memory that a pack's plan takes (about 200 bytes per block), not its size. */
const PACK_FRAMES_MAX = 65_536;
/** Part of the ids: a later way of planning must not meet the names of this one. */
const PLAN_VERSION = 1;

export interface PlannedPack {
  /** 32 hexadecimal digits. */
  readonly packId: string;
  readonly keyNumber: number;
  /** Where the blocks lie in the restore point; their frames are numbered in this order. */
  readonly blocks: readonly PlacedEntry[];
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

interface OpenPack {
  readonly packId: string;
  readonly blocks: PlacedEntry[];
  framesBytes: number;
}

export class PackPlanner {
  readonly #options: PackPlanOptions;
  readonly #open = new Map<number, OpenPack>();
  #full: PlannedPack[] = [];
  #packCount = 0;

  constructor(options: PackPlanOptions) {
    this.#options = options;
  }

  /** The place of a block in the archive. Call it in the order of the disk. */
  place(keyNumber: number, source: PlacedEntry): BlockEntry {
    let pack = this.#open.get(keyNumber);
    if (pack !== undefined && !this.#hasRoom(pack, source.storedBytes)) {
      this.#close(keyNumber, pack);
      pack = undefined;
    }
    if (pack === undefined) {
      pack = { packId: this.#nextPackId(keyNumber), blocks: [], framesBytes: 0 };
      this.#open.set(keyNumber, pack);
    }
    const { storedBytes, encoding, hash } = source;
    const frameNumber = pack.blocks.length;
    const offsetBytes = HEADER_BYTES + pack.framesBytes;
    pack.blocks.push(source);
    pack.framesBytes += storedBytes;
    return { packId: pack.packId, frameNumber, offsetBytes, storedBytes, encoding, hash };
  }

  /** Packs that got full since the last call. */
  takeFull(): readonly PlannedPack[] {
    const full = this.#full;
    this.#full = [];
    return full;
  }

  /** What is left, when all blocks are placed. */
  finish(): readonly PlannedPack[] {
    for (const [keyNumber, pack] of this.#open) this.#close(keyNumber, pack);
    return this.takeFull();
  }

  #hasRoom(pack: OpenPack, storedBytes: number): boolean {
    const frameCount = pack.blocks.length + 1;
    if (frameCount > PACK_FRAMES_MAX) return false;
    const objectBytes = pack.framesBytes + storedBytes + containerOverheadBytes(frameCount);
    return objectBytes <= this.#options.packBytes;
  }

  #close(keyNumber: number, { packId, blocks, framesBytes }: OpenPack): void {
    const objectBytes = framesBytes + containerOverheadBytes(blocks.length);
    this.#full.push({ packId, keyNumber, blocks, objectBytes });
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
