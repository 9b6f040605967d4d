import { z } from "zod";
import { checkLevelSchema } from "../protocol/job.ts";
import { vmConfigurationSchema } from "./vm-configuration.ts";

/**
 * Restore point: what can be restored. This row is an index over the manifest in the repository,
 * which stays the truth; ids of one VM sort by the slot they were taken for.
 */
export const restorePointDiskSchema = z.object({
  diskId: z.string(),
  name: z.string(),
  slot: z.union([z.literal("os"), z.number()]),
  sizeBytes: z.number(),
  kind: z.enum(["full", "incremental"]),
  reason: z.string(),
  readBytes: z.number(),
  storedBytes: z.number(),
  changedBytes: z.number(),
  durationMs: z.number(),
  warnings: z.array(z.string()),
  /** The snapshot it was read from, while it exists: base of the next incremental. */
  snapshot: z
    .object({
      snapshotId: z.string(),
      familyId: z.string().optional(),
      sourceDiskUniqueId: z.string().optional(),
    })
    .optional(),
});

export const restorePointSchema = z.object({
  pointId: z.string(),
  vmId: z.string(),
  vmName: z.string(),
  repositoryId: z.string(),
  /** The backup that made it; missing when it was imported. */
  sessionId: z.string().optional(),
  policyId: z.string().optional(),
  takenAt: z.iso.datetime(),
  /**
   * `missing`: its manifest was not found. `expiring`: retention has let it go, and maintenance
   * deletes it. Neither is a parent nor can it be restored.
   */
  state: z.enum(["available", "missing", "expiring"]),
  /** Stated for this point: it stays until then, and no longer unless its policy says so. */
  keepUntil: z.iso.datetime().optional(),
  /** Nobody can delete it before. */
  immutableUntil: z.iso.datetime().optional(),
  /** The health check that found that it cannot be restored completely. */
  damaged: z
    .object({ sessionId: z.string(), foundAt: z.iso.datetime(), level: checkLevelSchema })
    .optional(),
  vm: vmConfigurationSchema,
  disks: z.array(restorePointDiskSchema).min(1),
});
export type RestorePoint = z.infer<typeof restorePointSchema>;

/** Point id of a backup session: one session makes at most one point. */
export function pointIdOfSession(sessionId: string): string {
  return sessionId.replace(/^backup-/, "");
}
