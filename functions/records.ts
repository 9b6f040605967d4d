import { z } from "zod";
import { grantRecordSchema, jobRecordSchema } from "#core/model/job-record.ts";
import type { GrantRecord, JobRecord } from "#core/model/job-record.ts";
import { policySchema, type Policy } from "#core/model/policy.ts";
import {
  archiveSchema,
  retrievalSchema,
  type Archive,
  type Retrieval,
} from "#core/model/archive.ts";
import { repositorySchema, type Repository } from "#core/model/repository.ts";
import { restorePointSchema, type RestorePoint } from "#core/model/restore-point.ts";
import {
  sessionLogLineSchema,
  sessionSchema,
  claimSchema,
  type Session,
  type SessionLogLine,
  type Claim,
} from "#core/model/session.ts";
import {
  regionChangeSchema,
  regionRecordSchema,
  regionSettingsSchema,
  type RegionChange,
  type RegionRecord,
  type RegionSettings,
} from "#core/model/region-record.ts";
import { workerRecordSchema, type WorkerRecord } from "#core/model/worker-record.ts";
import {
  workerConfigurationSchema,
  type WorkerConfiguration,
} from "#core/model/worker-configuration.ts";
import { doctorRecordSchema, type DoctorRecord } from "#core/model/doctor.ts";
import type { RecordStore } from "#core/ports/records.ts";
import { createTypedTable, type TypedTable } from "./typed-table.ts";

/** Every table of the control plane, with the partition and the id that each kind of record has. */
export interface Records {
  /** By policy id. */
  readonly policies: TypedTable<Policy>;
  /** By repository id. */
  readonly repositories: TypedTable<Repository>;
  /** By session id. */
  readonly sessions: TypedTable<Session>;
  /** By what is claimed (`claimIdOf`): the session that may work on it now. */
  readonly claims: TypedTable<Claim>;
  /** By time and number, one partition per session. */
  sessionLog(sessionId: string): TypedTable<SessionLogLine>;
  /** By session id: restores whose objects may have to be removed. */
  readonly restorations: TypedTable<Restoration>;
  /** By point id, which begins with the VM's id. */
  readonly points: TypedTable<RestorePoint>;
  /** By archive id, which begins with the VM's id. */
  readonly archives: TypedTable<Archive>;
  readonly retrievals: TypedTable<Retrieval>;
  /** Pages of an import, by dispatch and number. */
  importPages(jobId: string): TypedTable<ImportPage>;
  /** Parts of large points of an import, by dispatch, point and part. */
  importParts(jobId: string): TypedTable<ImportPart>;
  /** Pages of a health check, by dispatch and number. */
  checkPages(jobId: string): TypedTable<CheckPage>;
  readonly workers: TypedTable<WorkerRecord>;
  /** By location: those of operators. */
  readonly workerConfigurations: TypedTable<WorkerConfiguration>;
  /** By a digest of the resource's id: what looked like a leftover of a worker, and since when. */
  readonly strays: TypedTable<Stray>;
  readonly jobs: TypedTable<JobRecord>;
  /** By `<job>~<number>`. */
  readonly grants: TypedTable<GrantRecord>;
  /** By location. */
  readonly regions: TypedTable<RegionRecord>;
  /** By location: what an operator said of its network. */
  readonly regionSettings: TypedTable<RegionSettings>;
  /** By a digest of the resource's id, one partition per region. */
  regionChanges(location: string): TypedTable<RegionChange>;
  /** By location: what the doctor last said. */
  readonly doctors: TypedTable<DoctorRecord>;
  /** Claims of address prefixes: by the prefix with `-` for `/`, holds the location. */
  readonly prefixes: TypedTable<PrefixClaim>;
  /** By `<region>~<subscription>`: when the disk accesses there were needed last. */
  readonly diskPools: TypedTable<DiskPoolRecord>;
  /** Slots of a policy that were claimed. */
  slots(policyId: string): TypedTable<SlotClaim>;
  /** By policy id: the latest slot that was started. */
  readonly lastSlots: TypedTable<SlotClaim>;
}

const prefixClaimSchema = z.object({ location: z.string(), addressPrefix: z.string() });
export type PrefixClaim = z.infer<typeof prefixClaimSchema>;

const straySchema = z.object({ resourceId: z.string(), firstSeenAt: z.iso.datetime() });
export type Stray = z.infer<typeof straySchema>;

const diskPoolRecordSchema = z.object({
  location: z.string(),
  subscriptionId: z.string(),
  /** By name of the disk access. */
  neededAt: z.record(z.string(), z.iso.datetime()),
});
export type DiskPoolRecord = z.infer<typeof diskPoolRecordSchema>;

const slotClaimSchema = z.object({ slot: z.iso.datetime() });
export type SlotClaim = z.infer<typeof slotClaimSchema>;

/** Ledger of restores: the row is there before anything is made. */
const restorationSchema = z.object({ plannedAt: z.iso.datetime() });
export type Restoration = z.infer<typeof restorationSchema>;

/** What one page of an import told, after its points were indexed. */
const importPageSchema = z.object({
  pointCount: z.number(),
  archiveCount: z.number(),
  /** Points that the index knows in another repository. */
  conflictingIds: z.array(z.string()),
});
export type ImportPage = z.infer<typeof importPageSchema>;

const importPartSchema = z.object({ text: z.string() });
export type ImportPart = z.infer<typeof importPartSchema>;

/** Restore points that cannot be restored completely. */
const checkPageSchema = z.object({ pointIds: z.array(z.string()) });
export type CheckPage = z.infer<typeof checkPageSchema>;

export function createRecords(store: RecordStore): Records {
  const sessions = store.table("sessions");
  const schedule = store.table("schedule");
  const regions = store.table("regions");
  const points = store.table("restorepoints");
  const workers = store.table("workers");
  return {
    policies: createTypedTable(store.table("policies"), "policy", policySchema, "Policy"),
    repositories: createTypedTable(
      store.table("repositories"),
      "repository",
      repositorySchema,
      "Repository",
    ),
    sessions: createTypedTable(sessions, "session", sessionSchema, "Session"),
    claims: createTypedTable(sessions, "running", claimSchema, "Claim"),
    sessionLog: (sessionId) =>
      createTypedTable(store.table("sessionlog"), sessionId, sessionLogLineSchema, "LogLine"),
    restorations: createTypedTable(sessions, "restoring", restorationSchema, "Restoration"),
    points: createTypedTable(points, "point", restorePointSchema, "RestorePoint"),
    archives: createTypedTable(points, "archive", archiveSchema, "Archive"),
    retrievals: createTypedTable(points, "retrieval", retrievalSchema, "Retrieval"),
    importPages: (jobId) =>
      createTypedTable(points, `import-${jobId}`, importPageSchema, "ImportPage"),
    importParts: (jobId) =>
      createTypedTable(points, `import-parts-${jobId}`, importPartSchema, "ImportPart"),
    checkPages: (jobId) => createTypedTable(points, `check-${jobId}`, checkPageSchema, "CheckPage"),
    workers: createTypedTable(workers, "worker", workerRecordSchema, "Worker"),
    workerConfigurations: createTypedTable(
      workers,
      "configuration",
      workerConfigurationSchema,
      "WorkerConfiguration",
    ),
    strays: createTypedTable(workers, "stray", straySchema, "Stray"),
    jobs: createTypedTable(store.table("jobs"), "job", jobRecordSchema, "Job"),
    grants: createTypedTable(store.table("grants"), "grant", grantRecordSchema, "Grant"),
    regions: createTypedTable(regions, "region", regionRecordSchema, "Region"),
    regionSettings: createTypedTable(regions, "settings", regionSettingsSchema, "RegionSettings"),
    regionChanges: (location) =>
      createTypedTable(regions, `changes-${location}`, regionChangeSchema, "RegionChange"),
    doctors: createTypedTable(regions, "doctor", doctorRecordSchema, "DoctorReport"),
    prefixes: createTypedTable(regions, "prefix", prefixClaimSchema, "Prefix"),
    diskPools: createTypedTable(regions, "disk-pool", diskPoolRecordSchema, "DiskPool"),
    slots: (policyId) => createTypedTable(schedule, `slot-${policyId}`, slotClaimSchema, "Slot"),
    lastSlots: createTypedTable(schedule, "last", slotClaimSchema, "Slot"),
  };
}
