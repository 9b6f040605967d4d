import { z } from "zod";

/**
 * Parts of a disk: when a huge disk is read in full, several workers share it, each a *part* (a range
 * of bytes). Another one joins what they wrote.
 */
export const diskPartSchema = z.object({
  offsetBytes: z.number().int().nonnegative().safe(),
  lengthBytes: z.number().int().positive().safe(),
});
export type DiskPart = z.infer<typeof diskPartSchema>;

/**
 * Parts of one disk. Every worker gets a SAS of the same snapshot; if Azure counts each against the
 * five that a snapshot family may have, four and one to spare still fit.
 */
export const DISK_PARTS_MAX = 4;

/** Parts begin at multiples of this: whole leaves of a repository's block map, at every default block size. */
export const DISK_PART_ALIGNMENT_BYTES = 256 * 1024 * 1024;
