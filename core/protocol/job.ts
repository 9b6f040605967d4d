import { z } from "zod";
import { vmConfigurationSchema } from "../model/vm-configuration.ts";

/**
 * Jobs: what a worker is asked to do. A job never travels in the clear: it is sealed (`sealing.ts`)
 * to the public key of one worker. `docs/job-protocol.md` tells the whole exchange.
 */
export const PROTOCOL_VERSION = 1;

const sas = z.string().startsWith("https://");

export const repositoryTargetSchema = z.object({
  repositoryId: z.string().min(1),
  /** Blob service endpoint of the account, e.g. `https://account.blob.core.windows.net/`. */
  blobServiceUrl: z.string().url(),
  container: z.string().min(3).max(63),
  /** Folder in the container, without slashes at its ends; empty for the container's root. */
  folder: z.string(),
  encryption: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("password"), password: z.string().min(1) }),
    z.object({ kind: z.literal("none") }),
  ]),
});
export type RepositoryTarget = z.infer<typeof repositoryTargetSchema>;

export const backupDiskTaskSchema = z.object({
  diskId: z.string().min(1),
  name: z.string(),
  slot: z.union([z.literal("os"), z.number().int().min(0).max(63)]),
  sizeBytes: z.number().int().positive(),
  /** Read SAS of the new snapshot. */
  sas,
  /** Present for an incremental: read SAS of the snapshot of the parent point. */
  base: z.object({ sas, parentPointId: z.string().min(1) }).optional(),
});
export type BackupDiskTask = z.infer<typeof backupDiskTaskSchema>;

const common = {
  version: z.literal(PROTOCOL_VERSION),
  jobId: z.string().min(1),
  /** Counts dispatches of this job; a worker's answers carry it. */
  attempt: z.number().int().min(1),
  /** The only worker that may do it. */
  workerId: z.string().min(1),
  /** A job taken from the queue after this instant is refused. */
  expiresAt: z.string().datetime(),
  repository: repositoryTargetSchema,
};

export const backupJobSchema = z.object({
  ...common,
  kind: z.literal("backup"),
  pointId: z.string().min(1),
  takenAt: z.string().datetime(),
  vm: vmConfigurationSchema,
  disks: z.array(backupDiskTaskSchema).min(1),
  /** Blocks that CBT calls unchanged, read again and compared, per incremental disk. */
  unchangedSampleCount: z.number().int().min(0).max(10_000),
});
export type BackupJob = z.infer<typeof backupJobSchema>;

export const restoreJobSchema = z.object({
  ...common,
  kind: z.literal("restore"),
  vmId: z.string().min(1),
  pointId: z.string().min(1),
  disks: z
    .array(
      z.object({
        diskId: z.string().min(1),
        sizeBytes: z.number().int().positive(),
        /** Write SAS of the target disk. */
        sas,
      }),
    )
    .min(1),
});
export type RestoreJob = z.infer<typeof restoreJobSchema>;

export const jobSchema = z.discriminatedUnion("kind", [backupJobSchema, restoreJobSchema]);
export type Job = z.infer<typeof jobSchema>;

/** The queue message that carries a job: the JWE itself, or the blob that holds a large one. */
export const jobMessageSchema = z.discriminatedUnion("carrier", [
  z.object({ carrier: z.literal("inline"), jobId: z.string(), sealed: z.string() }),
  z.object({ carrier: z.literal("blob"), jobId: z.string(), blobName: z.string() }),
]);
export type JobMessage = z.infer<typeof jobMessageSchema>;

/** Above this a sealed job goes to a blob: a queue message holds 64 KiB, base64 takes a third. */
export const INLINE_SEALED_BYTES_MAX = 40 * 1024;
