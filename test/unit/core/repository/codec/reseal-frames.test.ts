import { createHash, randomBytes } from "node:crypto";
import { afterAll, expect, test } from "vitest";
import { inlineBlockCodec, type BlockToDecode } from "#core/repository/codec/block-codec.ts";
import { ThreadCodec } from "#core/repository/codec/thread-codec.ts";

const BLOCK_BYTES = 4096;
const hashKey = Buffer.alloc(32, 3);
const source = { packId: Buffer.alloc(16, 1), frameKey: Buffer.alloc(32, 2) };
const target = { packId: Buffer.alloc(16, 7), frameKey: Buffer.alloc(32, 8) };
const { signal } = new AbortController();
const threads = new ThreadCodec(1);

afterAll(() => threads[Symbol.asyncDispose]());

const text = (seed: string) =>
  Buffer.alloc(BLOCK_BYTES, createHash("md5").update(seed).digest("hex"));
/** Two frames of two blocks that shrink, and one that does not. */
const contents = [text("a"), text("b"), text("c"), text("d"), randomBytes(BLOCK_BYTES)];

async function storedFrames() {
  const blocks = contents.map((content, index) => ({
    offsetBytes: index * BLOCK_BYTES,
    lengthBytes: content.length,
    knownHashes: [],
    group: Math.floor(index / 2),
  }));
  const job = { bytes: Buffer.concat(contents), blocks, hashKey, ...source, firstFrameNumber: 10 };
  const encoded = await inlineBlockCodec.encode(job, signal);
  const stored = encoded.blocks.map((block): BlockToDecode => {
    if (block.kind !== "stored") throw new Error("nothing is stored");
    return { ...block, ...source, hashKey };
  });
  return { bytes: Uint8Array.from(encoded.frames), stored };
}

/** By frame, in reverse: the target's order and numbers are its own. */
function framesOf(stored: readonly BlockToDecode[]) {
  const numbers = [...new Set(stored.map(({ frameNumber }) => frameNumber))].toReversed();
  return numbers.map((number, index) => ({
    frameNumber: 100 + index * 2,
    blocks: stored.filter(({ frameNumber }) => frameNumber === number),
  }));
}

test.each([
  ["here", inlineBlockCodec],
  ["on a thread", threads],
])("frames sealed again %s hold the same blocks under the target's key", async (_where, codec) => {
  const { bytes, stored } = await storedFrames();
  const frames = framesOf(stored);
  expect(frames.map(({ blocks }) => blocks.length)).toEqual([1, 2, 2]);
  const sealed = await codec.reseal({ bytes, frames, target }, signal);
  let at = 0;
  const blocks = frames.flatMap(({ frameNumber, blocks: used }) => {
    const offsetBytes = at;
    at += used[0]?.storedBytes ?? 0;
    return used.map((block) => ({ ...block, ...target, frameNumber, offsetBytes }));
  });
  expect(sealed).toHaveLength(at);
  const raw = await inlineBlockCodec.decode({ bytes: sealed, blocks }, signal);
  const [a, b, c, d, e] = contents;
  expect(Buffer.from(raw).equals(Buffer.concat([e!, c!, d!, a!, b!]))).toBe(true);
});

test.each([
  ["here", inlineBlockCodec],
  ["on a thread", threads],
])("nothing is sealed again %s of what does not verify", async (_where, codec) => {
  const refusalOf = async (change: (stored: BlockToDecode[], bytes: Uint8Array) => void) => {
    const { bytes, stored } = await storedFrames();
    change(stored, bytes);
    const job = { bytes, frames: framesOf(stored), target };
    return codec.reseal(job, signal).catch((error: unknown) => error);
  };
  const refusal = expect.objectContaining({ code: "RepositoryDamaged" });
  const wrongHash = (stored: BlockToDecode[]) => {
    const [first] = stored;
    if (first !== undefined) stored[0] = { ...first, hash: new Uint8Array(16) };
  };
  const flippedBit = (_stored: BlockToDecode[], bytes: Uint8Array) => {
    bytes[5] = (bytes[5] ?? 0) ^ 1;
  };
  expect(await refusalOf(wrongHash)).toEqual(refusal);
  expect(await refusalOf(flippedBit)).toEqual(refusal);
});
