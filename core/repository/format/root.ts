/**
 * The *root* of a block map: where each leaf lies, and a table of all packs and indexes that this
 * restore point needs. Retention decides from roots alone which objects are still in use.
 */
import { ID_BYTES, requireIntact } from "./layout.ts";
import { LEAF_LINE_BYTES, LeafTable } from "./leaf-table.ts";

export interface PackUse {
  /** Position of the pack's data key in the manifest's list. */
  readonly keyNumber: number;
  /** Size of the whole object. */
  readonly objectBytes: number;
  /** Bytes of frames that this restore point uses. */
  readonly liveBytes: number;
  /** Last day (days since 1970-01-01) of the object's known immutability; 0 = none known. */
  readonly immutableUntilDay: number;
}

export interface IndexUse {
  readonly keyNumber: number;
  readonly objectBytes: number;
  readonly immutableUntilDay: number;
}

export interface Root {
  readonly leaves: LeafTable;
  readonly packs: ReadonlyMap<string, PackUse>;
  readonly indexes: ReadonlyMap<string, IndexUse>;
}

const ROOT_HEADER_BYTES = 16;
const INDEX_LINE_BYTES = ID_BYTES + 4 + 6 + 4;
const PACK_LINE_BYTES = ID_BYTES + 4 + 6 + 6 + 4;

/** `leafCount u32 | indexCount u32 | packCount u32 | 0 u32 | indexes | packs | leaves`. */
export function encodeRoot(root: Root): Buffer {
  const { leaves, packs, indexes } = root;
  const bytes = Buffer.alloc(
    ROOT_HEADER_BYTES +
      indexes.size * INDEX_LINE_BYTES +
      packs.size * PACK_LINE_BYTES +
      leaves.length * LEAF_LINE_BYTES,
  );
  bytes.writeUInt32LE(leaves.length, 0);
  bytes.writeUInt32LE(indexes.size, 4);
  bytes.writeUInt32LE(packs.size, 8);
  let at = ROOT_HEADER_BYTES;
  for (const [id, use] of indexes) {
    bytes.write(id, at, "hex");
    bytes.writeUInt32LE(use.keyNumber, at + 16);
    bytes.writeUIntLE(use.objectBytes, at + 20, 6);
    bytes.writeUInt32LE(use.immutableUntilDay, at + 26);
    at += INDEX_LINE_BYTES;
  }
  for (const [id, use] of packs) {
    bytes.write(id, at, "hex");
    bytes.writeUInt32LE(use.keyNumber, at + 16);
    bytes.writeUIntLE(use.objectBytes, at + 20, 6);
    bytes.writeUIntLE(use.liveBytes, at + 26, 6);
    bytes.writeUInt32LE(use.immutableUntilDay, at + 32);
    at += PACK_LINE_BYTES;
  }
  leaves.encodeInto(bytes, at, indexes.keys());
  return bytes;
}

/**
 * Keeps `bytes`: the table of leaves is read where it lies.
 * @param leafCount as the disk's size asks for; anything else is damage
 */
export function decodeRoot(bytes: Buffer, leafCount: number, keyCount: number): Root {
  requireIntact(bytes.length >= ROOT_HEADER_BYTES, "a root is too short");
  const indexCount = bytes.readUInt32LE(4);
  const packCount = bytes.readUInt32LE(8);
  requireIntact(
    bytes.readUInt32LE(0) === leafCount &&
      bytes.length ===
        ROOT_HEADER_BYTES +
          indexCount * INDEX_LINE_BYTES +
          packCount * PACK_LINE_BYTES +
          leafCount * LEAF_LINE_BYTES,
    "a root contradicts its disk",
  );
  let at = ROOT_HEADER_BYTES;
  const indexIds: string[] = [];
  const indexes = new Map<string, IndexUse>();
  for (let line = 0; line < indexCount; line++, at += INDEX_LINE_BYTES) {
    const id = bytes.toString("hex", at, at + ID_BYTES);
    indexIds.push(id);
    indexes.set(id, {
      keyNumber: requireKey(bytes.readUInt32LE(at + 16), keyCount),
      objectBytes: bytes.readUIntLE(at + 20, 6),
      immutableUntilDay: bytes.readUInt32LE(at + 26),
    });
  }
  const packs = new Map<string, PackUse>();
  for (let line = 0; line < packCount; line++, at += PACK_LINE_BYTES) {
    packs.set(bytes.toString("hex", at, at + ID_BYTES), {
      keyNumber: requireKey(bytes.readUInt32LE(at + 16), keyCount),
      objectBytes: bytes.readUIntLE(at + 20, 6),
      liveBytes: bytes.readUIntLE(at + 26, 6),
      immutableUntilDay: bytes.readUInt32LE(at + 32),
    });
  }
  return { leaves: LeafTable.decode(bytes.subarray(at), indexIds), packs, indexes };
}

function requireKey(keyNumber: number, keyCount: number): number {
  requireIntact(keyNumber < keyCount, "a root names a data key that its manifest does not list");
  return keyNumber;
}
