import { expect, test } from "vitest";
import { gib, largestDiskBytes, runHugeDisk, type HugeDiskRun } from "../e2e/huge-disk.ts";
import { startTestStack } from "../e2e/test-stack.ts";

/** 300 MiB; `npm run bench -- --memory --end-to-end` does the same with more. */
const pieceCount = 1200;
const memoryMaxMib = 512;
/** What chance alone may make of it on a machine that runs other tests, too. */
const differenceMaxMib = 96;
/** No unchanged block is read again to check the hint: only what changed is read. */
const settings = { HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "0" };

async function run(name: string, sizeBytes: number): Promise<HugeDiskRun> {
  // A stack of its own, so that no agent had another disk before.
  const stack = await startTestStack(settings);
  try {
    return await runHugeDisk(stack, { name, sizeBytes, pieceCount });
  } finally {
    await stack.stop();
  }
}

test(
  "the agent takes as much memory for 32 TiB as for 1 TiB, and less than 512 MiB",
  { timeout: 600_000 },
  async () => {
    const small = await run("one", 1024 * gib);
    const large = await run("largest", largestDiskBytes);
    console.log([small, large]);
    for (const each of [small, large]) {
      expect(each.dataMib).toBe(300);
      // Incompressible: it was really moved.
      expect(each.storedMib).toBeGreaterThanOrEqual(each.dataMib);
      expect(each.fullMib).toBeGreaterThan(0);
      expect(each.restoreMib).toBeLessThan(memoryMaxMib);
    }
    const difference = Math.abs(large.restoreMib - small.restoreMib);
    expect(difference, `${large.restoreMib} and ${small.restoreMib} MiB`).toBeLessThan(
      differenceMaxMib,
    );
  },
);
