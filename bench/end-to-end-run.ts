/** Peak memory of a worker's agent that backs up and restores huge disks in the local Azure. */
import { gib, largestDiskBytes, runHugeDisk, type HugeDiskRun } from "../test/e2e/huge-disk.ts";
import { startTestStack } from "../test/e2e/test-stack.ts";

/** 1 GiB in pieces of 256 KiB. */
const PIECE_COUNT = 4096;
/** Only what changed is read, so that the number of bytes read can be checked. */
const SETTINGS = { HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "0" };

export async function runEndToEnd(): Promise<HugeDiskRun[]> {
  const runs: HugeDiskRun[] = [];
  const disks = [
    { name: "one", sizeBytes: 1024 * gib },
    { name: "largest", sizeBytes: largestDiskBytes },
  ];
  for (const disk of disks) {
    console.error(`Disk of ${disk.sizeBytes / gib} GiB ...`);
    // A stack of its own, so that no agent had another disk before.
    const stack = await startTestStack(SETTINGS);
    try {
      runs.push(await runHugeDisk(stack, { ...disk, pieceCount: PIECE_COUNT }));
    } finally {
      await stack.stop();
    }
  }
  return runs;
}
