import { z } from "zod";
import { restorePointSchema } from "./restore-point.ts";

/**
 * Archive: a self-contained image of a restore point in the archive tier. It outlives the point, so
 * its row holds what a restore needs of it. Its blocks can be read only from a retrieval: a copy in
 * an online tier, for a window of time.
 */
export const archiveSchema = z.object({
  archiveId: z.string(),
  vmId: z.string(),
  vmName: z.string(),
  repositoryId: z.string(),
  /** The session that made it; missing when it was imported. */
  sessionId: z.string().optional(),
  policyId: z.string().optional(),
  archivedAt: z.iso.datetime(),
  /** `expiring`: maintenance deletes it. */
  state: z.enum(["available", "expiring"]),
  /** It goes after this instant; without one it stays until somebody deletes it. */
  keepUntil: z.iso.datetime().optional(),
  immutableUntil: z.iso.datetime().optional(),
  storedBytes: z.number(),
  objectCount: z.number(),
  disks: z.array(z.object({ diskId: z.string(), sizeBytes: z.number(), storedBytes: z.number() })),
  /** The restore point as it was. */
  point: restorePointSchema,
});
export type Archive = z.infer<typeof archiveSchema>;

export const retrievalRequestSchema = z.strictObject({
  priority: z.enum(["standard", "high"]).default("standard"),
  tier: z.enum(["hot", "cool", "cold"]).default("hot"),
  /** All disks when missing. */
  diskIds: z.array(z.string().min(1)).min(1).max(65).optional(),
  availableDays: z.number().int().min(1).max(180).default(7),
});

export const retrievalSchema = z.object({
  retrievalId: z.string(),
  archiveId: z.string(),
  vmId: z.string(),
  repositoryId: z.string(),
  sessionId: z.string(),
  /** `expired`: its window is over; maintenance deletes or has deleted the copies. */
  state: z.enum(["retrieving", "available", "failed", "expired"]),
  priority: z.enum(["standard", "high"]),
  tier: z.enum(["hot", "cool", "cold"]),
  diskIds: z.array(z.string()),
  availableDays: z.number(),
  requestedAt: z.iso.datetime(),
  expectedAt: z.iso.datetime(),
  availableAt: z.iso.datetime().optional(),
  /** Set when it became available; can be extended. */
  windowEndsAt: z.iso.datetime().optional(),
  objectCount: z.number().optional(),
  pendingObjects: z.number().optional(),
  storedBytes: z.number(),
  /** Maintenance has deleted the copies. */
  deletedAt: z.iso.datetime().optional(),
});
export type Retrieval = z.infer<typeof retrievalSchema>;
