import { z } from "zod";
import { checkLevelSchema } from "../protocol/job.ts";
import { diskProgressSchema, jobErrorSchema, jobResultSchema } from "../protocol/worker-event.ts";
import { diskPartSchema } from "./disk-part.ts";
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
  /** Nobody can delete what the point needs before. */
  immutableUntil: z.iso.datetime().optional(),
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
      /** Snapshot and base are read with a token of the worker's identity beside the SAS. */
      needsToken: z.boolean().optional(),
      reason: z.string(),
      /** What other workers read before this job, each a part. */
      parts: z.array(diskPartSchema).optional(),
      /** Why it is read by one worker although it was to be shared. */
      warning: z.string().optional(),
    }),
  ),
});
export type BackupSpec = z.infer<typeof backupSpecSchema>;

/** One part of a disk that several workers read. */
const backupPartSpecSchema = z.object({
  kind: z.literal("backup-part"),
  repositoryId: z.string(),
  pointId: z.string(),
  disk: z.object({
    diskId: z.string(),
    name: z.string(),
    sizeBytes: z.number(),
    needsToken: z.boolean().optional(),
  }),
  snapshotId: z.string(),
  part: diskPartSchema,
  immutableUntil: z.iso.datetime().optional(),
});

export const restoreSpecSchema = z.object({
  kind: z.literal("restore"),
  repositoryId: z.string(),
  vmId: z.string(),
  pointId: z.string(),
  /** Of an archive that the bytes come from. */
  retrieval: z.object({ archiveId: z.string(), retrievalId: z.string() }).optional(),
  disks: z.array(z.object({ diskId: z.string(), sizeBytes: z.number(), targetDiskId: z.string() })),
});
export type RestoreSpec = z.infer<typeof restoreSpecSchema>;

const maintainSpecSchema = z.object({
  kind: z.literal("maintain"),
  repositoryId: z.string(),
  expiredPoints: z.array(z.object({ vmId: z.string(), pointId: z.string() })),
  expiredArchives: z.array(z.object({ vmId: z.string(), archiveId: z.string() })),
  expiredRetrievals: z.array(z.string()),
  activeDiskIds: z.array(z.string()),
});

const checkSpecSchema = z.object({
  kind: z.literal("check"),
  repositoryId: z.string(),
  level: checkLevelSchema,
  vmIds: z.array(z.string()).optional(),
});

const archiveSpecSchema = z.object({
  kind: z.literal("archive"),
  repositoryId: z.string(),
  vmId: z.string(),
  pointId: z.string(),
  archiveId: z.string(),
  immutableUntil: z.iso.datetime().optional(),
});

const retrieveSpecSchema = z.object({
  kind: z.literal("retrieve"),
  repositoryId: z.string(),
  vmId: z.string(),
  archiveId: z.string(),
  retrievalId: z.string(),
  diskIds: z.array(z.string()),
  tier: z.enum(["hot", "cool", "cold"]),
  priority: z.enum(["standard", "high"]),
});

const importSpecSchema = z.object({ kind: z.literal("import"), repositoryId: z.string() });

/** A look at the network: which containers and which disk accesses. */
const doctorSpecSchema = z.object({
  kind: z.literal("doctor"),
  repositoryId: z.string(),
  otherRepositoryIds: z.array(z.string()),
  /** A disk access without a snapshot has nothing to ask for: Resource Manager's word stands. */
  diskTargets: z.array(z.object({ snapshotId: z.string().optional(), diskAccessId: z.string() })),
});
export type DoctorSpec = z.infer<typeof doctorSpecSchema>;

export const jobSpecSchema = z.discriminatedUnion("kind", [
  backupSpecSchema,
  backupPartSpecSchema,
  restoreSpecSchema,
  maintainSpecSchema,
  checkSpecSchema,
  archiveSpecSchema,
  retrieveSpecSchema,
  importSpecSchema,
  doctorSpecSchema,
]);
export type JobSpec = z.infer<typeof jobSpecSchema>;

export const jobRecordSchema = z.object({
  jobId: z.string(),
  sessionId: z.string(),
  location: z.string(),
  spec: jobSpecSchema,
  state: z.enum(["prepared", "dispatched", "succeeded", "failed"]),
  attempt: z.number().int().min(0),
  workerId: z.string().optional(),
  /** Orchestration that waits for `job-finished`. */
  waiterInstanceId: z.string().optional(),
  dispatchedAt: z.iso.datetime().optional(),
  /** Set when the message was sent: a repeated dispatch of this attempt does nothing. */
  sentAt: z.iso.datetime().optional(),
  /** Restore: everything before this offset of a disk was written by earlier dispatches. */
  resumeAt: z.record(z.string(), z.number()).optional(),
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
