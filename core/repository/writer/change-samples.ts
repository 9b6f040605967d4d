/**
 * A change list is a hint that is checked: some blocks that it calls unchanged are read again and
 * compared with the parent. Samples come from leaves with content, where a miss would hurt.
 */
import { LEAF_BLOCKS } from "../format/layout.ts";
import type { Root } from "../format/root.ts";

/** Bound on the blocks that one incremental reads again. */
const MAX_SAMPLES = 4096;

/** @param blockCount only blocks below it exist in full length in parent and new point */
export function chooseSamples(
  root: Root,
  blockCount: number,
  sampleCount: number,
  random: (byteCount: number) => Uint8Array,
): number[] {
  const wantedCount = Math.min(sampleCount, MAX_SAMPLES);
  if (wantedCount <= 0) return [];
  const leafNumbers = Uint32Array.from(root.leaves.stored());
  if (leafNumbers.length === 0) return [];
  const dice = Buffer.from(random(wantedCount * 8));
  const chosen = new Set<number>();
  for (let sample = 0; sample < wantedCount; sample++) {
    const leafNumber = leafNumbers[dice.readUInt32LE(sample * 8) % leafNumbers.length] ?? 0;
    const firstBlock = leafNumber * LEAF_BLOCKS;
    const leafBlockCount = Math.min(LEAF_BLOCKS, blockCount - firstBlock);
    if (leafBlockCount <= 0) continue;
    chosen.add(firstBlock + (dice.readUInt32LE(sample * 8 + 4) % leafBlockCount));
  }
  return [...chosen].sort((left, right) => left - right);
}
