import { createHash, randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeBlocks } from "#core/repository/codec/decode-blocks.ts";
import { encodeBlocks } from "#core/repository/codec/encode-blocks.ts";

const BLOCK_BYTES = 4096;
const keys = { packId: Buffer.alloc(16, 1), frameKey: Buffer.alloc(32, 2) };
const hashKey = Buffer.alloc(32, 3);
const zero = Buffer.alloc(BLOCK_BYTES);

function words(seed: number): Buffer {
  const text = createHash("md5").update(`${seed}`).digest("hex");
  return Buffer.from(text.repeat(BLOCK_BYTES / 32));
}

/** @param groups of the blocks; by default all may share a frame */
function encode(
  contents: readonly Buffer[],
  { groups = [], known = [] }: { groups?: readonly number[]; known?: readonly Buffer[] } = {},
) {
  const bytes = Buffer.concat(contents);
  const blocks = contents.map((content, index) => ({
    offsetBytes: index * BLOCK_BYTES,
    lengthBytes: content.length,
    knownHashes: known,
    group: groups[index] ?? 0,
  }));
  return encodeBlocks({ bytes, blocks, hashKey, ...keys, firstFrameNumber: 10 });
}

type Encoded = ReturnType<typeof encode>;

/** `frame number:position/number of blocks`, or why nothing is stored. */
function shapeOf({ blocks }: Encoded): string[] {
  return blocks.map((block) =>
    block.kind === "stored"
      ? `${block.frameNumber}:${block.position}/${block.frameBlocks}`
      : block.kind,
  );
}

function decode(encoded: Encoded): Uint8Array {
  const blocks = encoded.blocks.flatMap((block) =>
    block.kind === "stored" ? [{ ...block, ...keys, hashKey }] : [],
  );
  return decodeBlocks({ bytes: encoded.frames, blocks });
}

test("puts the blocks of a group into one frame, numbered by its first block", () => {
  const encoded = encode([words(1), words(2), words(3), words(4)], { groups: [1, 1, 2, 2] });
  expect(shapeOf(encoded)).toEqual(["10:0/2", "10:1/2", "12:0/2", "12:1/2"]);
});

test("leaves blocks that store nothing out of the frame around them", () => {
  const encoded = encode([words(1), zero, words(2)]);
  expect(shapeOf(encoded)).toEqual(["10:0/2", "zero", "10:1/2"]);
  expect(Buffer.from(decode(encoded)).equals(Buffer.concat([words(1), words(2)]))).toBe(true);
  const [first] = encoded.blocks;
  const known = first?.kind === "stored" ? [Buffer.from(first.hash)] : [];
  expect(shapeOf(encode([words(2), words(1), words(3)], { known }))).toEqual([
    "10:0/2",
    "known",
    "10:1/2",
  ]);
});

test("gives the short last block of a disk a frame of its own", () => {
  const tail = words(3).subarray(0, 512);
  const encoded = encode([words(1), words(2), tail]);
  expect(shapeOf(encoded)).toEqual(["10:0/2", "10:1/2", "12:0/1"]);
  expect(decode(encoded)).toHaveLength(2 * BLOCK_BYTES + 512);
});

test("compresses the blocks of a frame together", () => {
  const [one, other] = [randomBytes(BLOCK_BYTES), randomBytes(BLOCK_BYTES)];
  expect(encode([one, other]).frames.length).toBeGreaterThan(2 * BLOCK_BYTES);
  // The second block is a copy of the first one: found only inside a frame.
  expect(encode([one, one]).frames.length).toBeLessThan(1.1 * BLOCK_BYTES);
  expect(encode([one, one], { groups: [1, 2] }).frames.length).toBeGreaterThan(2 * BLOCK_BYTES);
});

test("returns what it was given, whatever is stored together", () => {
  const content = fc.oneof(
    fc.constant(zero),
    fc.nat().map(words),
    fc
      .uint8Array({ minLength: BLOCK_BYTES, maxLength: BLOCK_BYTES })
      .map((raw) => Buffer.from(raw)),
  );
  const block = fc.record({ content, group: fc.nat({ max: 2 }) });
  fc.assert(
    fc.property(fc.array(block, { minLength: 1, maxLength: 12 }), (blocks) => {
      const groups = blocks.map(({ group }) => group).sort();
      const encoded = encode(
        blocks.map(({ content: each }) => each),
        { groups },
      );
      const stored = blocks.filter((_, index) => encoded.blocks[index]?.kind === "stored");
      const expected = Buffer.concat(stored.map(({ content: each }) => each));
      expect(Buffer.from(decode(encoded)).equals(expected)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test("refuses a block whose hash, place or frame is not what the map says", () => {
  const encoded = encode([words(1), words(2)]);
  const [first, second] = encoded.blocks;
  if (first?.kind !== "stored" || second?.kind !== "stored") return expect.unreachable();
  const told = { ...first, ...keys, hashKey };
  const refused = (change: object) => () =>
    decodeBlocks({ bytes: encoded.frames, blocks: [{ ...told, ...change }] });
  expect(refused({ hash: second.hash })).toThrow("the hash of a block does not fit");
  expect(refused({ position: 1 })).toThrow("the hash of a block does not fit");
  expect(refused({ frameBlocks: 1 })).toThrow("tag does not fit");
  expect(refused({ frameNumber: 11 })).toThrow("tag does not fit");
  expect(refused({ frameBlocks: 255, rawBytes: 4 * 2 ** 20 })).toThrow("impossible length");
});
