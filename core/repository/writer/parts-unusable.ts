import { HoldfastError } from "../../lib/errors.ts";

/** The parts of a disk do not make a point. Nothing was lost: the disk can be read as a whole. */
export function partsUnusable(
  part: { readonly diskId: string; readonly sequence: number } | undefined,
  why: string,
  cause?: unknown,
): HoldfastError {
  const where = part === undefined ? "The parts" : `The parts of disk ${part.diskId}`;
  return new HoldfastError(
    "DiskPartsUnusable",
    `${where} cannot be joined: ${why}. Read the whole disk instead; nothing was lost.`,
    {
      ...(part === undefined ? {} : { context: { diskId: part.diskId, sequence: part.sequence } }),
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
