/** Schemas of the JSON documents of archives and retrievals. Unknown fields are kept out. */
import { z } from "zod";
import { diskPointSchema } from "../format/manifests.ts";

const count = z.number().int().nonnegative().safe();

export const archiveSchema = z
  .object({
    format: z.literal(1),
    vmId: z.string(),
    archiveId: z.string(),
    /** The restore point that it is a copy of; it may be gone. */
    pointId: z.string(),
    takenAt: z.iso.datetime(),
    archivedAt: z.iso.datetime(),
    /** Nobody can delete the archive before; absent when that was not asked for. */
    immutableUntil: z.iso.datetime().optional(),
    /** Full configuration of the VM, opaque here. */
    vm: z.json(),
    disks: z.array(
      z.object({
        /** `os` or the number of a data disk. */
        lun: z.union([z.literal("os"), count]),
        packCount: count,
        /** Of all packs, as whole objects. */
        storedBytes: count,
        /** As in the disk point that was copied, but for `root` and how the data keys are wrapped. */
        image: diskPointSchema,
      }),
    ),
  })
  .refine(({ disks }) => new Set(disks.map(({ image }) => image.diskId)).size === disks.length, {
    message: "a disk is listed twice",
  });

export const retrievalSchema = z.object({
  format: z.literal(1),
  retrievalId: z.string(),
  vmId: z.string(),
  archiveId: z.string(),
  diskIds: z.array(z.string()).min(1),
  tier: z.enum(["hot", "cool", "cold"]),
  priority: z.enum(["standard", "high"]),
  startedAt: z.iso.datetime(),
});
