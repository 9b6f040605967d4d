/**
 * A *leaf* of the block map says where 1,024 consecutive blocks of a disk are stored. It is self
 * contained but for the pack table of the root, which says by which data key a pack is sealed.
 */
import { compress, decompress } from "../codec/zstd.ts";
import {
  HASH_BYTES,
  ID_BYTES,
  LEAF_BLOCKS,
  MAX_FRAME_RAW_BYTES,
  TAG_BYTES,
  requireIntact,
} from "./layout.ts";
import { isEncoding, type Encoding } from "./frame.ts";

/** Where the content of one block that is not zero lies: a frame, and a place among its blocks. */
export interface BlockEntry {
  /** 32 hexadecimal digits. */
  readonly packId: string;
  readonly frameNumber: number;
  /** Of the frame, as are stored bytes and encoding. */
  readonly offsetBytes: number;
  readonly storedBytes: number;
  readonly encoding: Encoding;
  /** Place of the block among those of the frame, from 0. */
  readonly position: number;
  /** 1 to 255. Where they are several, all of them are whole blocks. */
  readonly frameBlocks: number;
  /** Keyed hash of the raw block, 16 bytes. */
  readonly hash: Uint8Array;
}

/** Entry per block of the leaf; undefined = the block is zero. Always 1,024 long. */
export type Leaf = readonly (BlockEntry | undefined)[];
export type MutableLeaf = (BlockEntry | undefined)[];

const LEAF_HEADER_BYTES = 16;
const COLUMN_BYTES = 2 + 4 + 6 + 4;
/** With position and number of blocks: only in leaves that name a frame of several blocks. */
const SHARED_COLUMN_BYTES = COLUMN_BYTES + 2;
const UINT48 = 2 ** 48;

/**
 * Stored bytes that a block keeps in use: an equal share of its frame, the rest of the division
 * with the first block.
 */
export function liveBytesOf({ storedBytes, position, frameBlocks }: BlockEntry): number {
  const rest = position === 0 ? storedBytes % frameBlocks : 0;
  return Math.floor(storedBytes / frameBlocks) + rest;
}

/** Different for all blocks of a pack: a frame leaves the numbers free that its blocks take here. */
export function numberInPack(entry: Pick<BlockEntry, "frameNumber" | "position">): number {
  return entry.frameNumber + entry.position;
}

export function emptyLeaf(): MutableLeaf {
  return Array.from<BlockEntry | undefined>({ length: LEAF_BLOCKS });
}

/**
 * `packCount u32 | storedCount u32 | columnsRaw u32 | columnsStored u32 | pack ids | zstd(columns) | hashes`.
 * Columns: state of all 1,024 blocks (u8), then for stored blocks only, column by column: pack
 * number u16, frame number minus the one expected u32, offset minus the one expected u48, stored
 * length u32; where some frame has several blocks also position u8 and number of blocks u8.
 * "Expected" = the frame of the previous entry of the same pack, or for position 0 what follows it.
 */
export function encodeLeaf(leaf: Leaf): Buffer {
  const stored = leaf.filter((entry) => entry !== undefined);
  const packs = new PackNumbers();
  const count = stored.length;
  const isShared = stored.some((entry) => entry.frameBlocks > 1);
  const columns = Buffer.alloc(LEAF_BLOCKS + count * columnBytesOf(isShared));
  leaf.forEach((entry, position) => columns.writeUInt8(entry?.encoding ?? 0, position));
  const hashes = Buffer.alloc(count * HASH_BYTES);
  const at = columnOffsets(count);
  stored.forEach((entry, position) => {
    const packNumber = packs.numberOf(entry.packId);
    const expected = packs.expected(packNumber, entry.position);
    packs.advance(packNumber, entry);
    columns.writeUInt16LE(packNumber, at.pack + position * 2);
    columns.writeUInt32LE(
      (entry.frameNumber - expected.frameNumber) >>> 0,
      at.frame + position * 4,
    );
    const delta = (entry.offsetBytes - expected.offsetBytes) % UINT48;
    const offset = delta < 0 ? delta + UINT48 : delta;
    columns.writeUIntLE(offset, at.offset + position * 6, 6);
    columns.writeUInt32LE(entry.storedBytes, at.stored + position * 4);
    if (isShared) {
      columns.writeUInt8(entry.position, at.position + position);
      columns.writeUInt8(entry.frameBlocks, at.frameBlocks + position);
    }
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
  const isShared = count > 0 && columnBytes === LEAF_BLOCKS + count * columnBytesOf(true);
  requireIntact(
    packCount <= LEAF_BLOCKS &&
      count <= LEAF_BLOCKS &&
      columnBytes === LEAF_BLOCKS + count * columnBytesOf(isShared) &&
      hashesAt + count * HASH_BYTES === buffer.length,
    "a leaf contradicts itself",
  );
  const columns = decompress(buffer.subarray(columnsAt, hashesAt), columnBytes);
  const packs = new PackNumbers();
  for (let number = 0; number < packCount; number++) {
    const idAt = LEAF_HEADER_BYTES + number * ID_BYTES;
    packs.numberOf(buffer.toString("hex", idAt, idAt + ID_BYTES));
  }
  return readColumns({ columns, packs, count, isShared, hashes: buffer.subarray(hashesAt) });
}

function readColumns({
  columns,
  packs,
  count,
  isShared,
  hashes,
}: {
  readonly columns: Buffer;
  readonly packs: PackNumbers;
  readonly count: number;
  readonly isShared: boolean;
  readonly hashes: Buffer;
}): MutableLeaf {
  const leaf = emptyLeaf();
  const at = columnOffsets(count);
  let line = 0;
  for (let block = 0; block < LEAF_BLOCKS; block++) {
    const encoding = columns.readUInt8(block);
    if (encoding === 0) continue;
    requireIntact(isEncoding(encoding) && line < count, "a leaf has an unknown block state");
    const position = isShared ? columns.readUInt8(at.position + line) : 0;
    const frameBlocks = isShared ? columns.readUInt8(at.frameBlocks + line) : 1;
    requireIntact(position < frameBlocks, "a leaf names a block outside of its frame");
    const packNumber = columns.readUInt16LE(at.pack + line * 2);
    const packId = packs.ids[packNumber];
    requireIntact(packId !== undefined, "a leaf names a pack that it does not list");
    const expected = packs.expected(packNumber, position);
    const frameDelta = columns.readUInt32LE(at.frame + line * 4);
    const offsetDelta = columns.readUIntLE(at.offset + line * 6, 6);
    const entry: BlockEntry = {
      packId,
      frameNumber: (expected.frameNumber + frameDelta) >>> 0,
      offsetBytes: (expected.offsetBytes + offsetDelta) % UINT48,
      storedBytes: columns.readUInt32LE(at.stored + line * 4),
      encoding,
      position,
      frameBlocks,
      hash: hashes.subarray(line * HASH_BYTES, (line + 1) * HASH_BYTES),
    };
    requireIntact(
      entry.storedBytes > TAG_BYTES && entry.storedBytes <= MAX_FRAME_RAW_BYTES + TAG_BYTES,
      "a leaf has an impossible length",
    );
    packs.advance(packNumber, entry);
    leaf[block] = entry;
    line++;
  }
  requireIntact(line === count, "a leaf counts its blocks wrongly");
  return leaf;
}

function columnBytesOf(isShared: boolean): number {
  return isShared ? SHARED_COLUMN_BYTES : COLUMN_BYTES;
}

function columnOffsets(count: number) {
  const pack = LEAF_BLOCKS;
  const frame = pack + count * 2;
  const offset = frame + count * 4;
  const stored = offset + count * 6;
  const position = stored + count * 4;
  return { pack, frame, offset, stored, position, frameBlocks: position + count };
}

type FramePlace = Pick<BlockEntry, "frameNumber" | "offsetBytes" | "storedBytes" | "frameBlocks">;

/** What the first entry of a pack is compared with. */
const START: FramePlace = { frameNumber: 0, offsetBytes: 0, storedBytes: 0, frameBlocks: 0 };

/** Numbers packs in order of first use and remembers the last frame of each. */
class PackNumbers {
  readonly ids: string[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #last: FramePlace[] = [];

  numberOf(packId: string): number {
    const known = this.#numbers.get(packId);
    if (known !== undefined) return known;
    this.#numbers.set(packId, this.ids.length);
    return this.ids.push(packId) - 1;
  }

  /** The same frame again for a block that is not the first of its own, otherwise the next one. */
  expected(packNumber: number, position: number): Pick<FramePlace, "frameNumber" | "offsetBytes"> {
    const last = this.#last[packNumber] ?? START;
    if (position > 0) return last;
    return {
      frameNumber: last.frameNumber + last.frameBlocks,
      offsetBytes: last.offsetBytes + last.storedBytes,
    };
  }

  advance(packNumber: number, entry: BlockEntry): void {
    this.#last[packNumber] = entry;
  }
}
