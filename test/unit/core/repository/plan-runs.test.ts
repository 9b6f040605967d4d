import * as fc from "fast-check";
import { expect, it } from "vitest";
import type { ChangedRange } from "#core/ports/disk-data.ts";
import { planRuns, type BlockRun } from "#core/repository/writer/plan-runs.ts";
import { failureOf } from "./fixtures.ts";

const SHAPE = { sizeBytes: 4096 * 2000 + 512, blockBytes: 4096 };

async function plan(ranges: readonly ChangedRange[], maxRunBlocks = 8): Promise<BlockRun[]> {
  async function* given() {
    yield* ranges;
  }
  const runs: BlockRun[] = [];
  for await (const run of planRuns(given(), SHAPE, maxRunBlocks)) runs.push(run);
  return runs;
}

const KiB = 1024;
const cases: { name: string; ranges: ChangedRange[]; runs: BlockRun[] }[] = [
  { name: "nothing", ranges: [], runs: [] },
  {
    name: "one sector reads its block",
    ranges: [{ kind: "data", offsetBytes: 4 * KiB + 512, lengthBytes: 512 }],
    runs: [{ kind: "read", firstBlock: 1, blockCount: 1 }],
  },
  {
    name: "a range over a block border reads both",
    ranges: [{ kind: "data", offsetBytes: 4 * KiB - 512, lengthBytes: 1024 }],
    runs: [{ kind: "read", firstBlock: 0, blockCount: 2 }],
  },
  {
    name: "a partly cleared block is read, a wholly cleared one is zero",
    ranges: [{ kind: "clear", offsetBytes: 2 * KiB, lengthBytes: 6 * KiB }],
    runs: [
      { kind: "read", firstBlock: 0, blockCount: 1 },
      { kind: "zero", firstBlock: 1, blockCount: 1 },
    ],
  },
  {
    name: "two clear ranges together cover a block",
    ranges: [
      { kind: "clear", offsetBytes: 0, lengthBytes: 1 * KiB },
      { kind: "clear", offsetBytes: 1 * KiB, lengthBytes: 3 * KiB },
    ],
    runs: [{ kind: "zero", firstBlock: 0, blockCount: 1 }],
  },
  {
    name: "clear ranges with a gap do not",
    ranges: [
      { kind: "clear", offsetBytes: 0, lengthBytes: 1 * KiB },
      { kind: "clear", offsetBytes: 2 * KiB, lengthBytes: 2 * KiB },
    ],
    runs: [{ kind: "read", firstBlock: 0, blockCount: 1 }],
  },
  {
    name: "data inside a cleared block is read",
    ranges: [
      { kind: "clear", offsetBytes: 0, lengthBytes: 2 * KiB },
      { kind: "data", offsetBytes: 2 * KiB, lengthBytes: 512 },
      { kind: "clear", offsetBytes: 2.5 * KiB, lengthBytes: 1.5 * KiB },
    ],
    runs: [{ kind: "read", firstBlock: 0, blockCount: 1 }],
  },
  {
    name: "the short last block counts as covered at the end of the disk",
    ranges: [{ kind: "clear", offsetBytes: 2000 * 4 * KiB, lengthBytes: 4 * KiB }],
    runs: [{ kind: "zero", firstBlock: 2000, blockCount: 1 }],
  },
  {
    name: "what lies behind the disk is dropped",
    ranges: [{ kind: "data", offsetBytes: 3000 * 4 * KiB, lengthBytes: 512 }],
    runs: [],
  },
  {
    name: "runs are bounded and end at leaves",
    ranges: [{ kind: "data", offsetBytes: 1020 * 4 * KiB, lengthBytes: 14 * 4 * KiB }],
    runs: [
      { kind: "read", firstBlock: 1020, blockCount: 4 },
      { kind: "read", firstBlock: 1024, blockCount: 8 },
      { kind: "read", firstBlock: 1032, blockCount: 2 },
    ],
  },
];

it.each(cases)("$name", async ({ ranges, runs }) => {
  expect(await plan(ranges)).toEqual(runs);
});

it("refuses a list that does not ascend or makes no sense", async () => {
  const data = (offsetBytes: number, lengthBytes: number): ChangedRange => ({
    kind: "data",
    offsetBytes,
    lengthBytes,
  });
  expect(await failureOf(plan([data(4096, 512), data(0, 512)]))).toBe("InvalidRangeList");
  const clear = { kind: "clear", offsetBytes: 0, lengthBytes: 9000 } as const;
  expect(await failureOf(plan([clear, data(4096, 512)]))).toBe("InvalidRangeList");
  expect(await failureOf(plan([data(0, 4097), { ...clear, offsetBytes: 4096 }]))).toBe(
    "InvalidRangeList",
  );
  expect(await plan([data(0, 9000), data(4096, 512)])).toHaveLength(1);
  expect(await failureOf(plan([data(0, -1)]))).toBe("InvalidRangeList");
  expect(await failureOf(plan([data(-1, 5)]))).toBe("InvalidRangeList");
  expect(await failureOf(plan([data(0.5, 5)]))).toBe("InvalidRangeList");
});

it("plans each touched block exactly once, in order, for any ascending ranges", async () => {
  const range = fc.record({
    kind: fc.constantFrom("data", "clear"),
    offsetBytes: fc.nat(SHAPE.sizeBytes + 9000),
    lengthBytes: fc.nat(60_000),
  }) satisfies fc.Arbitrary<ChangedRange>;
  const list = fc.array(range, { maxLength: 30 }).map((ranges) => {
    const sorted = ranges.sort((left, right) => left.offsetBytes - right.offsetBytes);
    // Cut where the next range begins: neighbours touch, they do not overlap.
    return sorted.map((each, position) => {
      const roomBytes = (sorted[position + 1]?.offsetBytes ?? Infinity) - each.offsetBytes;
      return { ...each, lengthBytes: Math.min(each.lengthBytes, roomBytes) };
    });
  });
  await fc.assert(
    fc.asyncProperty(list, async (ranges) => {
      const planned = new Map<number, BlockRun["kind"]>();
      let previous = -1;
      for (const run of await plan(ranges)) {
        for (let block = run.firstBlock; block < run.firstBlock + run.blockCount; block++) {
          expect(block).toBeGreaterThan(previous);
          previous = block;
          planned.set(block, run.kind);
        }
      }
      const expected = new Map<number, BlockRun["kind"]>();
      for (let block = 0; block <= 2000; block++) {
        const start = block * 4096;
        const end = Math.min(start + 4096, SHAPE.sizeBytes);
        const touching = ranges.filter(
          (each) =>
            each.offsetBytes < end &&
            each.offsetBytes + each.lengthBytes > start &&
            each.lengthBytes > 0,
        );
        if (touching.length === 0) continue;
        let clearedTo = start;
        for (const each of touching) {
          if (each.offsetBytes <= clearedTo) {
            clearedTo = Math.max(clearedTo, each.offsetBytes + each.lengthBytes);
          }
        }
        const hasData = touching.some(({ kind }) => kind === "data");
        expected.set(block, hasData || clearedTo < end ? "read" : "zero");
      }
      expect([...planned]).toEqual([...expected]);
    }),
    { numRuns: 60 },
  );
});
