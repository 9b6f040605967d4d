import type { ChangedRange } from "../../ports/disk-data.ts";
import type { DiskShape } from "./plan-runs.ts";

const SECTOR_BYTES = 512;

/**
 * The short last block of a disk that has grown since is longer now, so it must be read again
 * whatever the change list says: its last old sector is added to the list as data.
 */
export async function* withGrownTail(
  changed: AsyncIterable<ChangedRange>,
  oldSizeBytes: number,
  shape: DiskShape,
): AsyncGenerator<ChangedRange> {
  const hasGrown = oldSizeBytes % shape.blockBytes !== 0 && oldSizeBytes < shape.sizeBytes;
  if (!hasGrown) {
    yield* changed;
    return;
  }
  const tailBytes = oldSizeBytes - SECTOR_BYTES;
  const tail: ChangedRange = { kind: "data", offsetBytes: tailBytes, lengthBytes: SECTOR_BYTES };
  let isTailDue = true;
  for await (const range of changed) {
    const endBytes = range.offsetBytes + range.lengthBytes;
    if (!isTailDue || endBytes <= tailBytes) {
      yield range;
      continue;
    }
    // Ranges of different kinds must not overlap: the tail is cut out of the one that covers it.
    if (range.offsetBytes < tailBytes) {
      yield { ...range, lengthBytes: tailBytes - range.offsetBytes };
    }
    yield tail;
    isTailDue = false;
    const restBytes = Math.max(range.offsetBytes, oldSizeBytes);
    if (restBytes < endBytes) {
      yield { ...range, offsetBytes: restBytes, lengthBytes: endBytes - restBytes };
    }
  }
  if (isTailDue) yield tail;
}
