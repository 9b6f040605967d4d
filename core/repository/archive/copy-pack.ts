/**
 * Makes the bytes of one archive pack from the packs of a restore point. Each object has a key of
 * its own, so that frames are opened and sealed again; their content stays compressed as it is.
 * Before any part leaves, the codec has decompressed and compared every block in it.
 *
 * Memory: `CHUNKS_AHEAD + 1` chunks (fetched, sealed again, decompressed) and one part.
 */
import { assert } from "../../lib/assert.ts";
import { codeOf } from "../../lib/errors.ts";
import { asDamage, type BlockMap, type BlockSource } from "../block-map.ts";
import type { BlockCodec } from "../codec/block-codec.ts";
import { giveBack } from "../codec/give-back.ts";
import { NO_BLOCK } from "../format/footer-frames.ts";
import { FRAME_PURPOSES } from "../format/frame.ts";
import { frameKeyOf, hashKeyOf } from "../format/keys.ts";
import { HASH_BYTES, damaged, objectNames } from "../format/layout.ts";
import { encodeFooter, encodeHeader, type FooterEntry } from "../format/sealed-object.ts";
import { groupByPlace, type PlacedEntry } from "../reader/group-by-place.ts";
import { blockLengthBytes } from "../writer/plan-runs.ts";
import type { PlannedFrame, PlannedPack } from "./plan-packs.ts";

const MIB = 1024 * 1024;
const CHUNK_STORED_BYTES = 4 * MIB;
/** Little is stored of what compresses well: the content counts too. */
const CHUNK_RAW_BYTES = 8 * MIB;
const CHUNKS_AHEAD = 3;
/** Small parts make many requests, large ones take memory (4 are under way in a container). */
const PART_BYTES = 8 * MIB;
const NO_HASH = Buffer.alloc(HASH_BYTES);

export interface PackCopy {
  readonly source: BlockSource;
  readonly map: BlockMap;
  readonly codec: BlockCodec;
  readonly pack: PlannedPack;
  readonly signal: AbortSignal;
  /** Called when the blocks up to this one are verified. */
  readonly onVerified: (block: number, storedBytes: number) => void;
}

/** The pack from header to trailer, in parts of about 8 MiB. */
export async function* partsOfPack(copy: PackCopy): AsyncGenerator<Uint8Array> {
  const { map, pack } = copy;
  const dataKey = map.point.dataKeys[pack.keyNumber];
  assert(dataKey !== undefined, "a pack is planned under a data key that there is not");
  const id = Buffer.from(pack.packId, "hex");
  const frameKey = frameKeyOf(dataKey.key, id);
  let pending: Buffer[] = [encodeHeader("pack", id, Buffer.from(dataKey.keyId, "hex"))];
  let pendingBytes = 0;
  const sealed = inOrder([...chunksOf(pack.frames, map)], (frames) =>
    sealChunk({ ...copy, id, frameKey, dataKey: dataKey.key, frames }),
  );
  for await (const frames of sealed) {
    pending.push(frames);
    pendingBytes += frames.length;
    if (pendingBytes < PART_BYTES) continue;
    yield Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
  }
  const footer = pack.frames.flatMap((frame) => linesOf(frame, map));
  yield Buffer.concat([...pending, encodeFooter(frameKey, id, footer)]);
}

/** All blocks of a frame lie in the same place: the first one tells of it. */
function sourceOf({ blocks }: PlannedFrame): PlacedEntry {
  const [source] = blocks;
  assert(source !== undefined, "a frame without blocks is planned");
  return source;
}

/** Several blocks of a frame are whole ones; only a block by itself may be the short last one. */
function blockBytesOf({ block }: PlacedEntry, map: BlockMap): number {
  return blockLengthBytes(map.point.manifest, block);
}

function linesOf(frame: PlannedFrame, map: BlockMap): FooterEntry[] {
  const source = sourceOf(frame);
  const { encoding, storedBytes, frameBlocks } = source;
  const purpose = FRAME_PURPOSES.block;
  const shape = { purpose, encoding, frameNumber: frame.frameNumber };
  const rawBytes = blockBytesOf(source, map);
  return Array.from({ length: frameBlocks }, (_, position) => {
    const used = frame.blocks.find((entry) => entry.position === position);
    return {
      ...shape,
      number: used?.block ?? NO_BLOCK,
      storedBytes: position === 0 ? storedBytes : 0,
      rawBytes,
      hash: used?.hash ?? NO_HASH,
    };
  });
}

function* chunksOf(
  frames: readonly PlannedFrame[],
  map: BlockMap,
): Generator<readonly PlannedFrame[]> {
  let chunk: PlannedFrame[] = [];
  let storedBytes = 0;
  let rawBytes = 0;
  for (const frame of frames) {
    const source = sourceOf(frame);
    const frameRawBytes = source.frameBlocks * blockBytesOf(source, map);
    const isFull =
      storedBytes + source.storedBytes > CHUNK_STORED_BYTES ||
      rawBytes + frameRawBytes > CHUNK_RAW_BYTES;
    if (isFull && chunk.length > 0) {
      yield chunk;
      chunk = [];
      storedBytes = 0;
      rawBytes = 0;
    }
    chunk.push(frame);
    storedBytes += source.storedBytes;
    rawBytes += frameRawBytes;
  }
  if (chunk.length > 0) yield chunk;
}

/** Works a few items ahead; results in the order of the items. */
async function* inOrder<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const underWay: Promise<Result>[] = [];
  try {
    for (const item of items) {
      const started = work(item);
      // A failure shows when its turn comes.
      started.catch(() => undefined);
      underWay.push(started);
      const first = underWay.length > CHUNKS_AHEAD ? underWay.shift() : undefined;
      if (first !== undefined) yield await first;
    }
    for (let next = underWay.shift(); next !== undefined; next = underWay.shift()) {
      yield await next;
    }
  } finally {
    await Promise.allSettled(underWay);
  }
}

interface ChunkCopy extends PackCopy {
  readonly id: Buffer;
  readonly frameKey: Buffer;
  readonly dataKey: Uint8Array;
  readonly frames: readonly PlannedFrame[];
}

async function sealChunk(chunk: ChunkCopy): Promise<Buffer> {
  const targets = new Map<PlacedEntry, FrameTarget>();
  let framesBytes = 0;
  for (const frame of chunk.frames) {
    const source = sourceOf(frame);
    targets.set(source, { frame, offsetBytes: framesBytes });
    framesBytes += source.storedBytes;
  }
  const sealed = Buffer.allocUnsafeSlow(framesBytes);
  await Promise.all(
    groupByPlace([...targets.keys()]).map((group) => sealGroup(chunk, { group, targets, sealed })),
  );
  const lastBlock = chunk.frames.at(-1)?.blocks.at(-1)?.block ?? 0;
  chunk.onVerified(lastBlock, framesBytes);
  return sealed;
}

interface FrameTarget {
  readonly frame: PlannedFrame;
  /** Place in the chunk. */
  readonly offsetBytes: number;
}

/** Fetches frames that lie together, and has the codec verify all used blocks and seal each again. */
async function sealGroup(
  { source, map, codec, id, frameKey, dataKey, signal }: ChunkCopy,
  work: {
    /** First used block of each frame. */
    readonly group: readonly PlacedEntry[];
    readonly targets: ReadonlyMap<PlacedEntry, FrameTarget>;
    readonly sealed: Buffer;
  },
): Promise<void> {
  const first = work.group[0];
  const last = work.group.at(-1);
  assert(first !== undefined && last !== undefined, "a fetch without blocks");
  const { diskId } = map.point.manifest;
  const name = objectNames.pack(diskId, first.packId);
  const lengthBytes = last.offsetBytes + last.storedBytes - first.offsetBytes;
  const packId = Buffer.from(first.packId, "hex");
  const keys = { packId, frameKey: frameKeyOf(dataKey, packId), hashKey: hashKeyOf(dataKey) };
  const placed = work.group.map((entry) => {
    const target = work.targets.get(entry);
    assert(target !== undefined, "a frame has no place in its chunk");
    return { entry, target };
  });
  try {
    const range = { offsetBytes: first.offsetBytes, lengthBytes };
    const bytes = await source.store.read(name, range, signal);
    const frames = placed.map(({ entry, target: { frame } }) => ({
      frameNumber: frame.frameNumber,
      blocks: frame.blocks.map((block) => {
        const offsetBytes = entry.offsetBytes - first.offsetBytes;
        return { ...block, ...keys, offsetBytes, rawBytes: blockBytesOf(entry, map) };
      }),
    }));
    // Takes the bytes over, and throws for the first block that is not what the map says.
    const sealed = await codec.reseal({ bytes, frames, target: { packId: id, frameKey } }, signal);
    let at = 0;
    for (const { entry, target } of placed) {
      work.sealed.set(sealed.subarray(at, at + entry.storedBytes), target.offsetBytes);
      at += entry.storedBytes;
    }
    giveBack(sealed);
  } catch (cause) {
    const error = asDamage(cause, "a pack is missing or cut", name);
    if (codeOf(error) !== "RepositoryDamaged") throw error;
    const context = { diskId, name, firstBlock: first.block };
    throw damaged("blocks of a pack cannot be read", context, error);
  }
}
