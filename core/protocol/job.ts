import { z } from "zod";
import { DISK_PARTS_MAX, diskPartSchema } from "../model/disk-part.ts";
import { vmConfigurationSchema } from "../model/vm-configuration.ts";
import { PROBES_MAX, probeSchema } from "../model/doctor.ts";

/**
 * Jobs: what a worker is asked to do. A job never travels in the clear: it is sealed (`sealing.ts`)
 * to the public key of one worker. `docs/job-protocol.md` tells the whole exchange.
 */
export const PROTOCOL_VERSION = 1;

const sas = z.string().startsWith("https://");
/** What the SAS lead to asks for a token of the worker's identity, too (`dataAccessAuthMode`). */
const needsToken = z.boolean().optional();

export const repositoryTargetSchema = z.object({
  repositoryId: z.string().min(1),
  /** Blob service endpoint of the account, e.g. `https://account.blob.core.windows.net/`. */
  blobServiceUrl: z.string().url(),
  container: z.string().min(3).max(63),
  /** Folder in the container, without slashes at its ends; empty for the container's root. */
  folder: z.string(),
  encryption: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("password"), password: z.string().min(1) }),
    /** The worker's identity may wrap and unwrap with this key: https URL of one of its versions. */
    z.object({ kind: z.literal("key-vault"), keyId: z.url({ protocol: /^https$/ }) }),
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
  needsToken,
  /** Present when other workers have read the disk: their parts are joined. */
  parts: z.array(diskPartSchema).min(2).max(DISK_PARTS_MAX).optional(),
});
export type BackupDiskTask = z.infer<typeof backupDiskTaskSchema>;

const ofEveryJob = {
  version: z.literal(PROTOCOL_VERSION),
  jobId: z.string().min(1),
  /** Counts dispatches of this job; a worker's answers carry it. */
  attempt: z.number().int().min(1),
  /** The only worker that may do it. */
  workerId: z.string().min(1),
  /** A job taken from the queue after this instant is refused. */
  expiresAt: z.string().datetime(),
};
const common = { ...ofEveryJob, repository: repositoryTargetSchema };

export const backupJobSchema = z.object({
  ...common,
  kind: z.literal("backup"),
  pointId: z.string().min(1),
  takenAt: z.string().datetime(),
  vm: vmConfigurationSchema,
  disks: z.array(backupDiskTaskSchema).min(1),
  /** Blocks that CBT calls unchanged, read again and compared, per incremental disk. */
  unchangedSampleCount: z.number().int().min(0).max(10_000),
  /** Nobody can delete what the point needs before this instant. Absent: no immutability. */
  immutableUntil: z.string().datetime().optional(),
});
export type BackupJob = z.infer<typeof backupJobSchema>;

/** Reads one part of a disk that several workers share; a `backup` joins the parts. */
export const backupPartJobSchema = z.object({
  ...common,
  kind: z.literal("backup-part"),
  pointId: z.string().min(1),
  disk: backupDiskTaskSchema.pick({
    diskId: true,
    name: true,
    sizeBytes: true,
    sas: true,
    needsToken: true,
  }),
  part: diskPartSchema,
  immutableUntil: z.string().datetime().optional(),
});
export type BackupPartJob = z.infer<typeof backupPartJobSchema>;

export const restoreJobSchema = z.object({
  ...common,
  kind: z.literal("restore"),
  vmId: z.string().min(1),
  pointId: z.string().min(1),
  /** Where the bytes come from: the restore point itself, or an archive of it that was retrieved. */
  source: z
    .discriminatedUnion("kind", [
      z.object({ kind: z.literal("point") }),
      z.object({
        kind: z.literal("archive"),
        archiveId: z.string().min(1),
        retrievalId: z.string().min(1),
      }),
    ])
    .default({ kind: "point" }),
  disks: z
    .array(
      z.object({
        diskId: z.string().min(1),
        sizeBytes: z.number().int().positive(),
        /** Everything before this offset was written by an earlier dispatch. */
        writtenToBytes: z.number().int().nonnegative().default(0),
        /** Write SAS of the target disk. */
        sas,
        needsToken,
      }),
    )
    .min(1),
});
export type RestoreJob = z.infer<typeof restoreJobSchema>;

const vmPointName = z.object({ vmId: z.string().min(1), pointId: z.string().min(1) });

/** Retention and garbage collection: deletes what expired, marks and sweeps what nothing needs. */
export const maintainJobSchema = z.object({
  ...common,
  kind: z.literal("maintain"),
  /** Restore points that retention lets go. */
  expiredPoints: z.array(vmPointName),
  expiredArchives: z.array(z.object({ vmId: z.string().min(1), archiveId: z.string().min(1) })),
  expiredRetrievals: z.array(z.string().min(1)),
  /** Disks that policies still protect: their newest point stays whatever the lists say. */
  activeDiskIds: z.array(z.string().min(1)),
  margins: z.object({
    /** No backup lasts longer: younger objects without an owner may belong to one that runs. */
    sessionSeconds: z.number().int().positive(),
    /** Time between marking an object and deleting it. */
    markedSeconds: z.number().int().positive(),
  }),
});
export type MaintainJob = z.infer<typeof maintainJobSchema>;

export const checkLevelSchema = z.enum(["presence", "metadata", "sample", "complete"]);

export const checkJobSchema = z.object({
  ...common,
  kind: z.literal("check"),
  level: checkLevelSchema,
  /** Of the blocks, at level `sample`; each check takes other ones. */
  samplePercent: z.number().positive().max(100),
  /** Absent: the whole repository. */
  vmIds: z.array(z.string().min(1)).optional(),
});

export type CheckJob = z.infer<typeof checkJobSchema>;

/** Makes a self-contained image of a restore point in the archive tier. */
export const archiveJobSchema = z.object({
  ...common,
  kind: z.literal("archive"),
  vmId: z.string().min(1),
  pointId: z.string().min(1),
  archiveId: z.string().min(1),
  immutableUntil: z.string().datetime().optional(),
});

/** Starts copies of an archive to an online tier; doing it again tells how far they are. */
export const retrieveJobSchema = z.object({
  ...common,
  kind: z.literal("retrieve"),
  vmId: z.string().min(1),
  archiveId: z.string().min(1),
  retrievalId: z.string().min(1),
  diskIds: z.array(z.string().min(1)).min(1),
  tier: z.enum(["hot", "cool", "cold"]),
  priority: z.enum(["standard", "high"]),
});

/** Tells every restore point and archive of a repository, in pages of `points-found`. */
export const importJobSchema = z.object({ ...common, kind: z.literal("import") });
export type ImportJob = z.infer<typeof importJobSchema>;

/** Looks whether the worker reaches what jobs need; needs no repository of its own. */
export const doctorJobSchema = z.object({
  ...ofEveryJob,
  kind: z.literal("doctor"),
  probes: z.array(probeSchema).min(1).max(PROBES_MAX),
  /** Longest time of one probe; all run at the same time. */
  probeSeconds: z.number().positive().max(60),
});
export type DoctorJob = z.infer<typeof doctorJobSchema>;

export const jobSchema = z.discriminatedUnion("kind", [
  backupJobSchema,
  backupPartJobSchema,
  restoreJobSchema,
  maintainJobSchema,
  checkJobSchema,
  archiveJobSchema,
  retrieveJobSchema,
  importJobSchema,
  doctorJobSchema,
]);
export type Job = z.infer<typeof jobSchema>;

/** The queue message that carries a job: the JWE itself, or the blob that holds a large one. */
export const jobMessageSchema = z.discriminatedUnion("carrier", [
  z.object({ carrier: z.literal("inline"), jobId: z.string(), sealed: z.string() }),
  z.object({ carrier: z.literal("blob"), jobId: z.string(), blobName: z.string() }),
]);
export type JobMessage = z.infer<typeof jobMessageSchema>;

/** Above this a sealed job goes to a blob: a queue message holds 64 KiB, base64 takes a third. */
export const INLINE_SEALED_BYTES_MAX = 40 * 1024;
