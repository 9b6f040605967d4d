/** A range of whole leaves of a disk: what one worker reads of a disk that several share. */
import { HoldfastError } from "../../lib/errors.ts";
import type { DiskRange } from "../../ports/disk-data.ts";
import { LEAF_BLOCKS } from "../format/layout.ts";
import type { DiskShape } from "./plan-runs.ts";

export interface LeafRange {
  readonly firstLeaf: number;
  /** The first leaf behind it. */
  readonly endLeaf: number;
}

/**
 * The leaves that a range of bytes consists of. Throws `InvalidDiskPart` for one that begins or ends
 * inside a leaf (the end of the disk is an end, too) or lies outside of the disk.
 */
export function leafRangeOf(range: DiskRange, shape: DiskShape): LeafRange {
  const { offsetBytes, lengthBytes } = range;
  const leafBytes = shape.blockBytes * LEAF_BLOCKS;
  const endBytes = offsetBytes + lengthBytes;
  const isSound =
    Number.isSafeInteger(offsetBytes) &&
    Number.isSafeInteger(lengthBytes) &&
    offsetBytes >= 0 &&
    lengthBytes > 0 &&
    endBytes <= shape.sizeBytes &&
    offsetBytes % leafBytes === 0 &&
    (endBytes % leafBytes === 0 || endBytes === shape.sizeBytes);
  if (!isSound) {
    throw new HoldfastError(
      "InvalidDiskPart",
      `Bytes ${offsetBytes} to ${endBytes} are no part of a disk of ${shape.sizeBytes} bytes: a part ` +
        `consists of whole pieces of ${leafBytes} bytes. Read the whole disk instead.`,
      { context: { offsetBytes, lengthBytes, leafBytes } },
    );
  }
  return { firstLeaf: offsetBytes / leafBytes, endLeaf: Math.ceil(endBytes / leafBytes) };
}

/** What of ascending ranges lies inside another one. Stops reading them behind its end. */
export async function* clipRanges(
  ranges: AsyncIterable<DiskRange>,
  within: DiskRange,
): AsyncGenerator<DiskRange> {
  const withinEnd = within.offsetBytes + within.lengthBytes;
  for await (const { offsetBytes, lengthBytes } of ranges) {
    if (offsetBytes >= withinEnd) return;
    const start = Math.max(offsetBytes, within.offsetBytes);
    const end = Math.min(offsetBytes + lengthBytes, withinEnd);
    if (end > start) yield { offsetBytes: start, lengthBytes: end - start };
  }
}
