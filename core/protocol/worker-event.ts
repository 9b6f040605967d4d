import { z } from "zod";
import { vmConfigurationSchema } from "../model/vm-configuration.ts";
import { diskPartSchema } from "../model/disk-part.ts";
import { doctorResultSchema } from "../model/doctor.ts";
import { PROTOCOL_VERSION } from "./job.ts";

/**
 * Events: what a worker tells the control plane, over the control plane's event queue. Delivered at
 * least once and in any order: every handler is idempotent. Each is authenticated by a MAC
 * (`event-authentication.ts`).
 */
export const diskProgressSchema = z.object({
  diskId: z.string(),
  /** Bytes of the disk that have been dealt with, of `totalBytes` to deal with. */
  doneBytes: z.number().nonnegative(),
  /** Restore: everything before this offset of the disk is written. */
  writtenToBytes: z.number().nonnegative().optional(),
  totalBytes: z.number().nonnegative(),
  readBytes: z.number().nonnegative(),
  storedBytes: z.number().nonnegative(),
});
export type DiskProgress = z.infer<typeof diskProgressSchema>;

export const backupDiskResultSchema = z.object({
  diskId: z.string(),
  kind: z.enum(["full", "incremental"]),
  /** Why it became what it is, e.g. `first backup` or `change hint was wrong`. */
  reason: z.string(),
  sizeBytes: z.number(),
  readBytes: z.number(),
  changedBytes: z.number(),
  storedBytes: z.number(),
  zeroBytes: z.number(),
  unchangedBytes: z.number(),
  durationMs: z.number(),
  warnings: z.array(z.string()),
  /** Of how many workers' parts it was joined; their bytes are in the sums. */
  partCount: z.number().optional(),
});
export type BackupDiskResult = z.infer<typeof backupDiskResultSchema>;

const backupPartResultSchema = z.object({
  kind: z.literal("backup-part"),
  diskId: z.string(),
  part: diskPartSchema,
  readBytes: z.number(),
  storedBytes: z.number(),
  durationMs: z.number(),
});

export const restoreDiskResultSchema = z.object({
  diskId: z.string(),
  sizeBytes: z.number(),
  writtenBytes: z.number(),
  readBytes: z.number(),
  durationMs: z.number(),
});
export type RestoreDiskResult = z.infer<typeof restoreDiskResultSchema>;

const vmPointName = z.object({ vmId: z.string(), pointId: z.string() });

export const maintainResultSchema = z.object({
  kind: z.literal("maintain"),
  expiredPoints: z.array(vmPointName),
  /** Asked for but kept: the newest point of an active disk, immutable, unreadable neighbours. */
  keptPoints: z.array(vmPointName.extend({ reason: z.string() })),
  expiredArchiveIds: z.array(z.string()),
  expiredRetrievalIds: z.array(z.string()),
  deletedObjects: z.number(),
  deletedBytes: z.number(),
  /** Found unreferenced now; a later run deletes them. */
  markedObjects: z.number(),
  markedBytes: z.number(),
  immutableObjects: z.number(),
  /** Disks whose garbage was left alone, with why (a manifest cannot be read, a backup runs). */
  skippedDisks: z.array(z.object({ diskId: z.string(), reason: z.string() })),
});

export const checkFindingSchema = z.object({
  kind: z.enum(["missing", "wrong-size", "unreadable-metadata", "unreadable-block", "foreign"]),
  /** Name of the object in the repository. */
  object: z.string(),
  diskId: z.string().optional(),
  /** First and number of blocks of the disk. */
  blocks: z.object({ first: z.number(), count: z.number() }).optional(),
  /** Restore points that cannot be restored completely: a few, for people; see `points-affected`. */
  affectedPoints: z.array(vmPointName),
  /** Archives that cannot; the points that they are copies of may be sound. */
  affectedArchives: z.array(z.object({ vmId: z.string(), archiveId: z.string() })).optional(),
  message: z.string(),
});

/** A queue message is small: findings beyond this are counted only. */
export const CHECK_FINDINGS_MAX = 50;

export const checkResultSchema = z.object({
  kind: z.literal("check"),
  level: z.enum(["presence", "metadata", "sample", "complete"]),
  checkedObjects: z.number(),
  checkedPoints: z.number(),
  verifiedBlocks: z.number(),
  readBytes: z.number(),
  findingCount: z.number(),
  findings: z.array(checkFindingSchema).max(CHECK_FINDINGS_MAX),
  /**
   * Restore points that any finding affects, each told once by `points-affected`. Missing from
   * agents that told only what the findings name: then nobody knows that another point is sound.
   */
  affectedPointCount: z.number().int().nonnegative().optional(),
});

export type CheckResult = z.infer<typeof checkResultSchema>;

export const archiveResultSchema = z.object({
  kind: z.literal("archive"),
  archiveId: z.string(),
  objectCount: z.number(),
  storedBytes: z.number(),
  disks: z.array(z.object({ diskId: z.string(), sizeBytes: z.number(), storedBytes: z.number() })),
});

export const retrieveResultSchema = z.object({
  kind: z.literal("retrieve"),
  retrievalId: z.string(),
  objectCount: z.number(),
  pendingObjects: z.number(),
  storedBytes: z.number(),
});

export const importResultSchema = z.object({
  kind: z.literal("import"),
  pointCount: z.number(),
  archiveCount: z.number(),
  unreadableCount: z.number(),
  /** Manifests that cannot be read or told, by name; beyond the bound they are counted only. */
  unreadable: z.array(z.string()).max(CHECK_FINDINGS_MAX),
});

export const jobResultSchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("backup"),
    pointId: z.string(),
    disks: z.array(backupDiskResultSchema),
  }),
  backupPartResultSchema,
  z.object({ kind: z.literal("restore"), disks: z.array(restoreDiskResultSchema) }),
  maintainResultSchema,
  checkResultSchema,
  archiveResultSchema,
  retrieveResultSchema,
  importResultSchema,
  doctorResultSchema,
]);
export type JobResult = z.infer<typeof jobResultSchema>;

export const jobErrorSchema = z.object({
  code: z.string(),
  message: z.string(),
  retry: z.enum(["never", "backoff"]),
});

/** A restore point as its manifest tells it. */
export const foundPointSchema = vmPointName.extend({
  takenAt: z.string().datetime(),
  /** `archive`: an image of its own in the archive tier. */
  source: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("point") }),
    z.object({ kind: z.literal("archive"), archiveId: z.string() }),
  ]),
  vm: vmConfigurationSchema,
  disks: z.array(
    z.object({
      diskId: z.string(),
      slot: z.union([z.literal("os"), z.number()]),
      sizeBytes: z.number(),
      kind: z.enum(["full", "incremental"]),
      storedBytes: z.number(),
    }),
  ),
});
export type FoundPoint = z.infer<typeof foundPointSchema>;

const ofJob = { jobId: z.string(), attempt: z.number().int().min(1) };

export const workerEventBodySchema = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("enrolled"),
    /** Public half of the worker's ephemeral P-256 key as JWK: jobs are sealed to it. */
    publicKey: z.object({
      kty: z.literal("EC"),
      crv: z.literal("P-256"),
      x: z.string(),
      y: z.string(),
    }),
    agentVersion: z.string(),
  }),
  z.object({ kind: z.literal("heartbeat"), memoryBytes: z.number() }),
  z.object({ kind: z.literal("progress"), ...ofJob, disks: z.array(diskProgressSchema) }),
  /** Pages of an import, numbered from 0; each small enough for a queue message. */
  z.object({
    kind: z.literal("points-found"),
    ...ofJob,
    page: z.number().int().nonnegative(),
    points: z.array(foundPointSchema).min(1),
  }),
  /**
   * A point of an import that is larger than a page (`point-parts.ts`): its JSON in parts. Large
   * points of a job are numbered from 0, as are the parts of each.
   */
  z.object({
    kind: z.literal("point-part"),
    ...ofJob,
    largePoint: z.number().int().nonnegative(),
    part: z.number().int().nonnegative(),
    partCount: z.number().int().positive(),
    text: z.string(),
  }),
  /** Pages of a check, numbered from 0: all restore points that its findings affect, each once. */
  z.object({
    kind: z.literal("points-affected"),
    ...ofJob,
    page: z.number().int().nonnegative(),
    points: z.array(vmPointName).min(1),
  }),
  z.object({ kind: z.literal("job-succeeded"), ...ofJob, result: jobResultSchema }),
  z.object({ kind: z.literal("job-failed"), ...ofJob, error: jobErrorSchema }),
]);
export type WorkerEventBody = z.infer<typeof workerEventBodySchema>;

/**
 * Bound on what one page holds as it travels: JSON inside the JSON of a signed event. A queue
 * message holds 64 KiB of base64, which is 48 KiB of text.
 */
export const EVENT_PAGE_BYTES_MAX = 40 * 1024;

export const workerEventSchema = z.object({
  version: z.literal(PROTOCOL_VERSION),
  workerId: z.string().min(1),
  sequence: z.number().int().min(0),
  sentAt: z.string().datetime(),
  body: workerEventBodySchema,
});
export type WorkerEvent = z.infer<typeof workerEventSchema>;

/** What lies in the queue: the event's exact JSON text and its MAC (base64url HMAC-SHA-256). */
export const signedEventSchema = z.object({ event: z.string(), mac: z.string() });
export type SignedEvent = z.infer<typeof signedEventSchema>;
