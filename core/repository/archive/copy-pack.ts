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
import type { BlockCodec, FrameToDecode } from "../codec/block-codec.ts";
import { giveBack } from "../codec/give-back.ts";
import { FRAME_PURPOSES, sealFrame, unsealFrame } from "../format/frame.ts";
import { frameKeyOf, hashKeyOf } from "../format/keys.ts";
import { damaged, objectNames } from "../format/layout.ts";
import { encodeFooter, encodeHeader } from "../format/sealed-object.ts";
import { groupByPlace, type PlacedEntry } from "../reader/group-by-place.ts";
import { blockLengthBytes } from "../writer/plan-runs.ts";
import type { PlannedPack } from "./plan-packs.ts";

const MIB = 1024 * 1024;
const CHUNK_STORED_BYTES = 4 * MIB;
/** Little is stored of what compresses well: the content counts too. */
const CHUNK_RAW_BYTES = 8 * MIB;
const CHUNKS_AHEAD = 3;
/** Small parts make many requests, large ones take memory (4 are under way in a container). */
const PART_BYTES = 8 * MIB;

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
  let frameNumber = 0;
  const chunks = [...chunksOf(pack.blocks, (block) => blockLengthBytes(map.point.manifest, block))];
  const numbered = chunks.map((blocks) => {
    const firstFrameNumber = frameNumber;
    frameNumber += blocks.length;
    return { blocks, firstFrameNumber };
  });
  const sealed = inOrder(numbered, (chunk) =>
    sealChunk({ ...copy, id, frameKey, dataKey: dataKey.key, ...chunk }),
  );
  for await (const frames of sealed) {
    pending.push(frames);
    pendingBytes += frames.length;
    if (pendingBytes < PART_BYTES) continue;
    yield Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
  }
  const footer = pack.blocks.map(({ block, encoding, storedBytes, hash }, position) => ({
    number: block,
    frameNumber: position,
    purpose: FRAME_PURPOSES.block,
    encoding,
    storedBytes,
    rawBytes: blockLengthBytes(map.point.manifest, block),
    hash,
  }));
  yield Buffer.concat([...pending, encodeFooter(frameKey, id, footer)]);
}

function* chunksOf(
  blocks: readonly PlacedEntry[],
  rawBytesOf: (block: number) => number,
): Generator<readonly PlacedEntry[]> {
  let chunk: PlacedEntry[] = [];
  let storedBytes = 0;
  let rawBytes = 0;
  for (const entry of blocks) {
    const isFull =
      storedBytes + entry.storedBytes > CHUNK_STORED_BYTES ||
      rawBytes + rawBytesOf(entry.block) > CHUNK_RAW_BYTES;
    if (isFull && chunk.length > 0) {
      yield chunk;
      chunk = [];
      storedBytes = 0;
      rawBytes = 0;
    }
    chunk.push(entry);
    storedBytes += entry.storedBytes;
    rawBytes += rawBytesOf(entry.block);
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
  readonly blocks: readonly PlacedEntry[];
  readonly firstFrameNumber: number;
}

async function sealChunk(chunk: ChunkCopy): Promise<Buffer> {
  const places = new Map<number, { frameNumber: number; offsetBytes: number }>();
  let framesBytes = 0;
  chunk.blocks.forEach(({ block, storedBytes }, position) => {
    const frameNumber = chunk.firstFrameNumber + position;
    places.set(block, { frameNumber, offsetBytes: framesBytes });
    framesBytes += storedBytes;
  });
  const frames = Buffer.allocUnsafeSlow(framesBytes);
  await Promise.all(
    groupByPlace(chunk.blocks).map((group) =>
      sealGroup(chunk, group, (block, frame) => {
        const place = places.get(block);
        assert(place !== undefined, "a block has no place in its chunk");
        frames.set(frame(place.frameNumber), place.offsetBytes);
      }),
    ),
  );
  chunk.onVerified(chunk.blocks.at(-1)?.block ?? 0, framesBytes);
  return frames;
}

/** Fetches blocks that lie together, seals each again, and has the codec verify all of them. */
async function sealGroup(
  { source, map, codec, id, frameKey, dataKey, signal }: ChunkCopy,
  group: readonly PlacedEntry[],
  put: (block: number, frame: (frameNumber: number) => Buffer) => void,
): Promise<void> {
  const first = group[0];
  const last = group.at(-1);
  assert(first !== undefined && last !== undefined, "a fetch without blocks");
  const { manifest } = map.point;
  const name = objectNames.pack(manifest.diskId, first.packId);
  const lengthBytes = last.offsetBytes + last.storedBytes - first.offsetBytes;
  const purpose = FRAME_PURPOSES.block;
  const packId = Buffer.from(first.packId, "hex");
  const keys = { packId, frameKey: frameKeyOf(dataKey, packId), hashKey: hashKeyOf(dataKey) };
  try {
    const range = { offsetBytes: first.offsetBytes, lengthBytes };
    const bytes = await source.store.read(name, range, signal);
    const frames = group.map((entry): FrameToDecode => {
      const offsetBytes = entry.offsetBytes - first.offsetBytes;
      const { storedBytes, encoding } = entry;
      const rawBytes = blockLengthBytes(manifest, entry.block);
      const content = unsealFrame(
        keys.frameKey,
        { objectId: packId, purpose, encoding, frameNumber: entry.frameNumber, rawBytes },
        bytes.subarray(offsetBytes, offsetBytes + storedBytes),
      );
      put(entry.block, (frameNumber) =>
        sealFrame(frameKey, { objectId: id, purpose, encoding, frameNumber, rawBytes }, content),
      );
      const { frameNumber, hash } = entry;
      return { ...keys, offsetBytes, storedBytes, rawBytes, encoding, frameNumber, hash };
    });
    // Takes the bytes over, and throws for the first block that is not what the map says.
    giveBack(await codec.decode({ bytes, frames }, signal));
  } catch (cause) {
    const error = asDamage(cause, "a pack is missing or cut", name);
    if (codeOf(error) !== "RepositoryDamaged") throw error;
    const context = { diskId: manifest.diskId, name, firstBlock: first.block };
    throw damaged("blocks of a pack cannot be read", context, error);
  }
}
