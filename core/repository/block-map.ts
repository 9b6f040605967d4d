/**
 * The *block map* of one restore point: root in memory, leaves fetched when asked for. Complete by
 * itself, because a point that changed little shares the leaves of the one before it.
 */
import { codeOf } from "../lib/errors.ts";
import type { BlobStore } from "../ports/blob-store.ts";
import type { DiskPoint } from "./disk-points.ts";
import { decompress } from "./codec/zstd.ts";
import { ENCODINGS, FRAME_PURPOSES, unsealFrame } from "./format/frame.ts";
import { LEAF_BLOCKS, TAG_BYTES, damaged, objectNames, requireIntact } from "./format/layout.ts";
import { frameKeyOf } from "./format/keys.ts";
import { decodeLeaf, type BlockEntry, type Leaf } from "./format/leaf.ts";
import { LeafTable, type LeafReference } from "./format/leaf-table.ts";
import { decodeRoot, type Root } from "./format/root.ts";
import type { DataKey } from "./writer/pack-writer.ts";

export function leafCountOf(shape: { readonly sizeBytes: number; readonly blockBytes: number }) {
  return Math.ceil(Math.ceil(shape.sizeBytes / shape.blockBytes) / LEAF_BLOCKS);
}

/** Where the indexes and packs of a point are read: a repository, or an archive's folder in one. */
export interface BlockSource {
  readonly store: Pick<BlobStore, "read">;
}

export class BlockMap {
  readonly point: DiskPoint;
  readonly root: Root;
  readonly #source: BlockSource;

  private constructor(source: BlockSource, point: DiskPoint, root: Root) {
    this.#source = source;
    this.point = point;
    this.root = root;
  }

  static async open(source: BlockSource, point: DiskPoint, signal: AbortSignal): Promise<BlockMap> {
    const { manifest } = point;
    const leafCount = leafCountOf(manifest);
    const reference = manifest.root;
    if (reference === null) {
      const leaves = LeafTable.zero(leafCount);
      return new BlockMap(source, point, { leaves, packs: new Map(), indexes: new Map() });
    }
    const key = dataKeyAt(point, reference.keyNumber);
    const sealed = await readPart(source, manifest.diskId, reference, signal);
    const objectId = Buffer.from(reference.indexId, "hex");
    const content = unsealFrame(
      frameKeyOf(key.key, objectId),
      {
        objectId,
        purpose: FRAME_PURPOSES.root,
        encoding: ENCODINGS.zstd,
        frameNumber: reference.frameNumber,
        rawBytes: reference.rawBytes,
      },
      sealed,
    );
    const raw = decompress(content, reference.rawBytes);
    return new BlockMap(source, point, decodeRoot(raw, leafCount, point.dataKeys.length));
  }

  /** undefined: every block of the leaf is zero. */
  async readLeaf(leafNumber: number, signal: AbortSignal): Promise<Leaf | undefined> {
    const reference = this.root.leaves.get(leafNumber);
    if (reference === undefined) return undefined;
    const use = this.root.indexes.get(reference.indexId);
    requireIntact(use !== undefined, "a leaf lies in an index that the root does not list");
    const key = dataKeyAt(this.point, use.keyNumber);
    const diskId = this.point.manifest.diskId;
    const sealed = await readPart(this.#source, diskId, reference, signal);
    const objectId = Buffer.from(reference.indexId, "hex");
    const identity = {
      objectId,
      purpose: FRAME_PURPOSES.leaf,
      encoding: ENCODINGS.raw,
      frameNumber: reference.frameNumber,
      rawBytes: Math.max(0, sealed.length - TAG_BYTES),
    };
    return decodeLeaf(unsealFrame(frameKeyOf(key.key, objectId), identity, sealed));
  }

  /** Data key of the pack that holds a block. */
  dataKeyOf(entry: BlockEntry): DataKey {
    const use = this.root.packs.get(entry.packId);
    requireIntact(use !== undefined, "a block lies in a pack that the root does not list");
    return dataKeyAt(this.point, use.keyNumber);
  }
}

function dataKeyAt(point: DiskPoint, keyNumber: number): DataKey {
  const key = point.dataKeys[keyNumber];
  requireIntact(key !== undefined, "a restore point names a data key that it does not list");
  return key;
}

async function readPart(
  source: BlockSource,
  diskId: string,
  part: Pick<LeafReference, "indexId" | "offsetBytes" | "storedBytes">,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const name = objectNames.index(diskId, part.indexId);
  const range = { offsetBytes: part.offsetBytes, lengthBytes: part.storedBytes };
  try {
    return await source.store.read(name, range, signal);
  } catch (cause) {
    throw asDamage(cause, "an index is missing or cut", name);
  }
}

/** A referenced object that is gone or too short is damage; other errors pass through. */
export function asDamage(cause: unknown, what: string, name: string): unknown {
  const code = codeOf(cause);
  const isLost = code === "BlobNotFound" || code === "BlobTooShort";
  return isLost ? damaged(what, { name }, cause) : cause;
}
