/**
 * Columns of leaves lie behind zstd, where noise in the object hardly ever gets: here they are made
 * of plausible and hostile numbers, in both widths, and compressed as a writer does.
 */
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import { compress } from "#core/repository/codec/zstd.ts";
import { LEAF_BLOCKS, MAX_BLOCK_BYTES } from "#core/repository/format/layout.ts";
import { decodeLeaf, encodeLeaf } from "#core/repository/format/leaf.ts";

interface Line {
  readonly pack: number;
  readonly frame: number;
  readonly offset: number;
  readonly stored: number;
  /** Only in the wide form. */
  readonly place: number;
  readonly blocks: number;
}

/** Bytes of the columns in their order; the last two are in the wide form only. */
const NARROW = 2 + 4 + 6 + 4;
const WIDE = NARROW + 2;

/** Mostly what a writer stores, sometimes the ends of the range. */
function near(usual: fc.Arbitrary<number>, ...extremes: number[]): fc.Arbitrary<number> {
  return fc.oneof({ weight: 30, arbitrary: usual }, fc.constantFrom(...extremes));
}

const line: fc.Arbitrary<Line> = fc.record({
  pack: near(fc.nat(2), 3, 0xffff),
  frame: near(fc.nat(3), 0x7fff_ffff, 0xffff_ffff),
  offset: near(fc.nat(100_000), 2 ** 48 - 1, 2 ** 47),
  stored: near(fc.integer({ min: 17, max: 5000 }), 0, 16, MAX_BLOCK_BYTES + 16, 0xffff_ffff),
  place: near(fc.constant(0), 1, 255),
  blocks: near(fc.constant(1), 0, 2, 255),
});
const lines = fc.array(line, { minLength: 1, maxLength: 40 });
const width = fc.constantFrom(NARROW, WIDE);

function columnsOf(entries: readonly Line[], states: Uint8Array, columnBytes: number): Buffer {
  const count = entries.length;
  const columns = Buffer.alloc(LEAF_BLOCKS + count * columnBytes);
  columns.set(states);
  let at = LEAF_BLOCKS;
  for (const { pack } of entries) at = columns.writeUInt16LE(pack, at);
  for (const { frame } of entries) at = columns.writeUInt32LE(frame, at);
  for (const { offset } of entries) at = columns.writeUIntLE(offset, at, 6);
  for (const { stored } of entries) at = columns.writeUInt32LE(stored, at);
  if (columnBytes === NARROW) return columns;
  for (const { place } of entries) at = columns.writeUInt8(place, at);
  for (const { blocks } of entries) at = columns.writeUInt8(blocks, at);
  return columns;
}

function leafOf(count: number, columns: Buffer, packCount = 3): Buffer {
  const stored = compress(columns);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(packCount, 0);
  header.writeUInt32LE(count, 4);
  header.writeUInt32LE(columns.length, 8);
  header.writeUInt32LE(stored.length, 12);
  const packs = Array.from({ length: packCount }, (_, number) => Buffer.alloc(16, number));
  return Buffer.concat([header, ...packs, stored, Buffer.alloc(count * 16, 7)]);
}

/** As many blocks with content as lines, spread over the leaf; `extra` of an unknown state. */
function statesOf(count: number, extra: readonly [block: number, state: number][]): Uint8Array {
  const states = new Uint8Array(LEAF_BLOCKS);
  for (let each = 0; each < count; each++) states[(each * 25) % LEAF_BLOCKS] = 1 + (each % 2);
  for (const [block, state] of extra) states[block] = state;
  return states;
}

/** What a decoder may answer: a leaf that a writer could have written, or `RepositoryDamaged`. */
function expectValueOrRefusal(bytes: Uint8Array): "value" | "refusal" {
  let leaf: ReturnType<typeof decodeLeaf>;
  try {
    leaf = decodeLeaf(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(HoldfastError);
    expect(error).toMatchObject({ code: "RepositoryDamaged" });
    return "refusal";
  }
  expect(leaf).toHaveLength(LEAF_BLOCKS);
  expect(decodeLeaf(encodeLeaf(leaf))).toEqual(leaf);
  return "value";
}

it("columns of plausible and hostile numbers give a leaf that can be written, or a refusal", () => {
  const extra = fc.array(fc.tuple(fc.nat(LEAF_BLOCKS - 1), fc.nat(255)), { maxLength: 1 });
  const answers = new Set<string>();
  fc.assert(
    fc.property(lines, width, extra, (entries, columnBytes, unknown) => {
      const states = statesOf(entries.length, unknown);
      const columns = columnsOf(entries, states, columnBytes);
      answers.add(expectValueOrRefusal(leafOf(entries.length, columns)));
    }),
    { numRuns: 400 },
  );
  expect([...answers].toSorted()).toEqual(["refusal", "value"]);
});

it("random columns of any length are refused or read, never anything else", () => {
  const columnBytes = fc.integer({ min: 0, max: LEAF_BLOCKS + 30 * WIDE });
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat(255)), columnBytes, fc.nat(40), (noise, size, count) => {
      const columns = Buffer.from([...noise.take(size)]);
      expectValueOrRefusal(leafOf(count, columns));
    }),
    { numRuns: 100 },
  );
});

it("what a writer makes is read as it was, with any bytes of its columns changed", () => {
  const edits = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });
  fc.assert(
    fc.property(lines, width, edits, (entries, columnBytes, changes) => {
      const columns = columnsOf(entries, statesOf(entries.length, []), columnBytes);
      for (const [at, value] of changes) columns[at % columns.length] = value;
      expectValueOrRefusal(leafOf(entries.length, columns));
    }),
    { numRuns: 300 },
  );
});
