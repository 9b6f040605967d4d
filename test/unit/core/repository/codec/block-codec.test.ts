import { createHash, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { decodeFrames, encodeBlocks } from "#core/repository/codec/block-codec.ts";

const BLOCK_BYTES = 64 * 1024;
const keys = { packId: Buffer.alloc(16, 1), frameKey: Buffer.alloc(32, 2) };
const hashKey = Buffer.alloc(32, 3);

/** Words in no order, with many repetitions: shrinks to a sixth, and further at a higher level. */
function manyWords(seed: number): Buffer {
  const words = Array.from({ length: 400 }, (_, number) =>
    createHash("md5")
      .update(`${seed}/${number}`)
      .digest("hex")
      .slice(0, 4 + (number % 9)),
  );
  let text = "";
  for (let state = 1; text.length < BLOCK_BYTES;) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    text += `${words[(state >> 8) % 400]} ${`${words[(state >> 16) % 20]} `.repeat(3)}`;
  }
  return Buffer.from(text).subarray(0, BLOCK_BYTES);
}

function encode(contents: readonly Buffer[]) {
  const bytes = Buffer.concat(contents);
  const blocks = contents.map((content, position) => ({
    offsetBytes: position * BLOCK_BYTES,
    lengthBytes: content.length,
    knownHashes: [],
  }));
  return encodeBlocks({ bytes, blocks, hashKey, ...keys, firstFrameNumber: 0 });
}

function storedBytesOf(encoded: ReturnType<typeof encode>): number[] {
  return encoded.blocks.map((block) => (block.kind === "stored" ? block.storedBytes : 0));
}

test("compresses harder behind a block that shrank a lot", () => {
  const [first = 0, second = 0] = storedBytesOf(encode([manyWords(7), manyWords(7)]));
  expect(first).toBeLessThan(BLOCK_BYTES / 4);
  expect(second).toBeLessThan(first);
});

test("compresses as quickly as ever behind a block that hardly shrank", () => {
  const [, behindNoise] = storedBytesOf(encode([randomBytes(BLOCK_BYTES), manyWords(7)]));
  const [alone] = storedBytesOf(encode([manyWords(7)]));
  expect(behindNoise).toBe(alone);
});

test("returns the same bytes whatever the level and encoding of a block", () => {
  const contents = [manyWords(7), manyWords(11), randomBytes(BLOCK_BYTES), manyWords(13)];
  const encoded = encode(contents);
  const frames = encoded.blocks.flatMap((block) =>
    block.kind === "stored" ? [{ ...block, ...keys, hashKey }] : [],
  );
  expect(frames).toHaveLength(contents.length);
  const raw = decodeFrames({ bytes: encoded.frames, frames });
  expect(Buffer.concat(contents).equals(raw)).toBe(true);
});
