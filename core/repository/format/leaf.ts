/**
 * A *leaf* of the block map says where 1,024 consecutive blocks of a disk are stored. It is self
 * contained but for the pack table of the root, which says by which data key a pack is sealed.
 */
import { compress, decompress } from "../codec/zstd.ts";
import {
  HASH_BYTES,
  ID_BYTES,
  LEAF_BLOCKS,
  MAX_BLOCK_BYTES,
  TAG_BYTES,
  requireIntact,
} from "./layout.ts";
import { isEncoding, type Encoding } from "./frame.ts";

/** Where the content of one block that is not zero lies. */
export interface BlockEntry {
  /** 32 hexadecimal digits. */
  readonly packId: string;
  readonly frameNumber: number;
  readonly offsetBytes: number;
  readonly storedBytes: number;
  readonly encoding: Encoding;
  /** Keyed hash of the raw block, 16 bytes. */
  readonly hash: Uint8Array;
}

/** Entry per block of the leaf; undefined = the block is zero. Always 1,024 long. */
export type Leaf = readonly (BlockEntry | undefined)[];
export type MutableLeaf = (BlockEntry | undefined)[];

const LEAF_HEADER_BYTES = 16;
const COLUMN_BYTES = 2 + 4 + 6 + 4;
const UINT48 = 2 ** 48;

export function emptyLeaf(): MutableLeaf {
  return Array.from<BlockEntry | undefined>({ length: LEAF_BLOCKS });
}

/**
 * `packCount u32 | storedCount u32 | columnsRaw u32 | columnsStored u32 | pack ids | zstd(columns) | hashes`.
 * Columns: state of all 1,024 blocks (u8), then for stored blocks only, column by column: pack
 * number u16, frame number minus the one expected u32, offset minus the one expected u48, stored
 * length u32. "Expected" = what follows directly on the previous entry of the same pack.
 */
export function encodeLeaf(leaf: Leaf): Buffer {
  const stored = leaf.filter((entry) => entry !== undefined);
  const packs = new PackNumbers();
  const count = stored.length;
  const columns = Buffer.alloc(LEAF_BLOCKS + count * COLUMN_BYTES);
  leaf.forEach((entry, position) => columns.writeUInt8(entry?.encoding ?? 0, position));
  const hashes = Buffer.alloc(count * HASH_BYTES);
  const at = columnOffsets(count);
  stored.forEach((entry, position) => {
    const packNumber = packs.numberOf(entry.packId);
    const expected = packs.advance(packNumber, entry);
    columns.writeUInt16LE(packNumber, at.pack + position * 2);
    columns.writeUInt32LE(
      (entry.frameNumber - expected.frameNumber) >>> 0,
      at.frame + position * 4,
    );
    const delta = (entry.offsetBytes - expected.offsetBytes) % UINT48;
    const offset = delta < 0 ? delta + UINT48 : delta;
    columns.writeUIntLE(offset, at.offset + position * 6, 6);
    columns.writeUInt32LE(entry.storedBytes, at.stored + position * 4);
    hashes.set(entry.hash, position * HASH_BYTES);
  });
  const storedColumns = compress(columns);
  const header = Buffer.alloc(LEAF_HEADER_BYTES);
  header.writeUInt32LE(packs.ids.length, 0);
  header.writeUInt32LE(count, 4);
  header.writeUInt32LE(columns.length, 8);
  header.writeUInt32LE(storedColumns.length, 12);
  return Buffer.concat([header, Buffer.from(packs.ids.join(""), "hex"), storedColumns, hashes]);
}

export function decodeLeaf(bytes: Uint8Array): MutableLeaf {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  requireIntact(buffer.length >= LEAF_HEADER_BYTES, "a leaf is too short");
  const packCount = buffer.readUInt32LE(0);
  const count = buffer.readUInt32LE(4);
  const columnBytes = buffer.readUInt32LE(8);
  const columnsAt = LEAF_HEADER_BYTES + packCount * ID_BYTES;
  const hashesAt = columnsAt + buffer.readUInt32LE(12);
  requireIntact(
    packCount <= LEAF_BLOCKS &&
      count <= LEAF_BLOCKS &&
      columnBytes === LEAF_BLOCKS + count * COLUMN_BYTES &&
      hashesAt + count * HASH_BYTES === buffer.length,
    "a leaf contradicts itself",
  );
  const columns = decompress(buffer.subarray(columnsAt, hashesAt), columnBytes);
  const packs = new PackNumbers();
  for (let number = 0; number < packCount; number++) {
    const idAt = LEAF_HEADER_BYTES + number * ID_BYTES;
    packs.numberOf(buffer.toString("hex", idAt, idAt + ID_BYTES));
  }
  return readColumns(columns, packs, count, buffer.subarray(hashesAt));
}

function readColumns(
  columns: Buffer,
  packs: PackNumbers,
  count: number,
  hashes: Buffer,
): MutableLeaf {
  const leaf = emptyLeaf();
  const at = columnOffsets(count);
  let position = 0;
  for (let block = 0; block < LEAF_BLOCKS; block++) {
    const encoding = columns.readUInt8(block);
    if (encoding === 0) continue;
    requireIntact(isEncoding(encoding) && position < count, "a leaf has an unknown block state");
    const packNumber = columns.readUInt16LE(at.pack + position * 2);
    const packId = packs.ids[packNumber];
    requireIntact(packId !== undefined, "a leaf names a pack that it does not list");
    const expected = packs.expected(packNumber);
    const frameDelta = columns.readUInt32LE(at.frame + position * 4);
    const offsetDelta = columns.readUIntLE(at.offset + position * 6, 6);
    const entry: BlockEntry = {
      packId,
      frameNumber: (expected.frameNumber + frameDelta) >>> 0,
      offsetBytes: (expected.offsetBytes + offsetDelta) % UINT48,
      storedBytes: columns.readUInt32LE(at.stored + position * 4),
      encoding,
      hash: hashes.subarray(position * HASH_BYTES, (position + 1) * HASH_BYTES),
    };
    requireIntact(
      entry.storedBytes > TAG_BYTES && entry.storedBytes <= MAX_BLOCK_BYTES + TAG_BYTES,
      "a leaf has an impossible length",
    );
    packs.advance(packNumber, entry);
    leaf[block] = entry;
    position++;
  }
  requireIntact(position === count, "a leaf counts its blocks wrongly");
  return leaf;
}

function columnOffsets(count: number) {
  const pack = LEAF_BLOCKS;
  const frame = pack + count * 2;
  const offset = frame + count * 4;
  return { pack, frame, offset, stored: offset + count * 6 };
}

interface Position {
  readonly frameNumber: number;
  readonly offsetBytes: number;
}

const START: Position = { frameNumber: 0, offsetBytes: 0 };

/** Numbers packs in order of first use and remembers where each one's next frame is expected. */
class PackNumbers {
  readonly ids: string[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #next: Position[] = [];

  numberOf(packId: string): number {
    const known = this.#numbers.get(packId);
    if (known !== undefined) return known;
    this.#numbers.set(packId, this.ids.length);
    return this.ids.push(packId) - 1;
  }

  expected(packNumber: number): Position {
    return this.#next[packNumber] ?? START;
  }

  /** Returns what was expected before `entry`. */
  advance(packNumber: number, entry: BlockEntry): Position {
    const expected = this.expected(packNumber);
    this.#next[packNumber] = {
      frameNumber: entry.frameNumber + 1,
      offsetBytes: entry.offsetBytes + entry.storedBytes,
    };
    return expected;
  }
}
