import { expect, test } from "vitest";
import { largestDiskBytes, runHugeDisk } from "./huge-disk.ts";
import { startTestStack } from "./test-stack.ts";

/** 40 MiB; `test/scale/huge-disks.test.ts` has more, and compares with a disk of 1 TiB. */
const pieceCount = 160;
const memoryMaxMib = 512;
/** No unchanged block is read again to check the hint: only what changed is read. */
const settings = { HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "0" };

test(
  "Azure's largest disk is backed up twice and restored by an agent of less than 512 MiB",
  { timeout: 400_000 },
  async () => {
    const stack = await startTestStack(settings);
    try {
      const disk = { name: "largest", sizeBytes: largestDiskBytes, pieceCount };
      const run = await runHugeDisk(stack, disk);
      // Incompressible: it was really moved.
      expect(run.storedMib).toBeGreaterThanOrEqual(40);
      expect(run.fullMib).toBeGreaterThan(0);
      expect(run.restoreMib).toBeLessThan(memoryMaxMib);
    } finally {
      await stack.stop();
    }
  },
);
