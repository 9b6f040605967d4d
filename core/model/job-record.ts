import { z } from "zod";
import { diskProgressSchema, jobErrorSchema, jobResultSchema } from "../protocol/worker-event.ts";
import { vmConfigurationSchema } from "./vm-configuration.ts";

/**
 * Job record: what a worker is asked to do, without any secret (grants are made and sealed when the
 * job is dispatched), and what is known of its progress. One per job; `attempt` counts dispatches.
 */
export const backupSpecSchema = z.object({
  kind: z.literal("backup"),
  repositoryId: z.string(),
  pointId: z.string(),
  takenAt: z.iso.datetime(),
  vm: vmConfigurationSchema,
  disks: z.array(
    z.object({
      diskId: z.string(),
      name: z.string(),
      slot: z.union([z.literal("os"), z.number()]),
      sizeBytes: z.number(),
      snapshotId: z.string(),
      familyId: z.string().optional(),
      sourceDiskUniqueId: z.string().optional(),
      base: z.object({ snapshotId: z.string(), parentPointId: z.string() }).optional(),
      reason: z.string(),
    }),
  ),
});
export type BackupSpec = z.infer<typeof backupSpecSchema>;

export const restoreSpecSchema = z.object({
  kind: z.literal("restore"),
  repositoryId: z.string(),
  vmId: z.string(),
  pointId: z.string(),
  disks: z.array(z.object({ diskId: z.string(), sizeBytes: z.number(), targetDiskId: z.string() })),
});

export const jobRecordSchema = z.object({
  jobId: z.string(),
  sessionId: z.string(),
  location: z.string(),
  spec: z.discriminatedUnion("kind", [backupSpecSchema, restoreSpecSchema]),
  state: z.enum(["prepared", "dispatched", "succeeded", "failed"]),
  attempt: z.number().int().min(0),
  workerId: z.string().optional(),
  /** Orchestration that waits for `job-finished`. */
  waiterInstanceId: z.string().optional(),
  dispatchedAt: z.iso.datetime().optional(),
  /** Set when the message was sent: a repeated dispatch of this attempt does nothing. */
  sentAt: z.iso.datetime().optional(),
  progress: z.array(diskProgressSchema).default([]),
  progressAt: z.iso.datetime().optional(),
  progressSequence: z.number().default(-1),
  result: jobResultSchema.optional(),
  error: jobErrorSchema.optional(),
  finishedAt: z.iso.datetime().optional(),
});
export type JobRecord = z.infer<typeof jobRecordSchema>;

/** Grant: one live SAS. The row is there before the SAS is, and goes after it was revoked. */
export const grantRecordSchema = z.object({
  jobId: z.string(),
  sessionId: z.string(),
  resourceId: z.string(),
  access: z.enum(["Read", "Write"]),
  grantedAt: z.iso.datetime(),
});
export type GrantRecord = z.infer<typeof grantRecordSchema>;
