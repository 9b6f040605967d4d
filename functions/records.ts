import { z } from "zod";
import { grantRecordSchema, jobRecordSchema } from "#core/model/job-record.ts";
import type { GrantRecord, JobRecord } from "#core/model/job-record.ts";
import { policySchema, type Policy } from "#core/model/policy.ts";
import { repositorySchema, type Repository } from "#core/model/repository.ts";
import { restorePointSchema, type RestorePoint } from "#core/model/restore-point.ts";
import {
  sessionLogLineSchema,
  sessionSchema,
  vmClaimSchema,
  type Session,
  type SessionLogLine,
  type VmClaim,
} from "#core/model/session.ts";
import {
  regionRecordSchema,
  workerRecordSchema,
  type RegionRecord,
  type WorkerRecord,
} from "#core/model/worker-record.ts";
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
  /** By VM id: the session that may back it up now. */
  readonly vmClaims: TypedTable<VmClaim>;
  /** By time and number, one partition per session. */
  sessionLog(sessionId: string): TypedTable<SessionLogLine>;
  /** By session id: restores whose objects may have to be removed. */
  readonly restorations: TypedTable<Restoration>;
  /** By point id, which begins with the VM's id. */
  readonly points: TypedTable<RestorePoint>;
  readonly workers: TypedTable<WorkerRecord>;
  readonly jobs: TypedTable<JobRecord>;
  /** By `<job>~<number>`. */
  readonly grants: TypedTable<GrantRecord>;
  /** By location. */
  readonly regions: TypedTable<RegionRecord>;
  /** Claims of address prefixes: by the prefix with `-` for `/`, holds the location. */
  readonly prefixes: TypedTable<PrefixClaim>;
  /** Slots of a policy that were claimed. */
  slots(policyId: string): TypedTable<SlotClaim>;
  /** By policy id: the latest slot that was started. */
  readonly lastSlots: TypedTable<SlotClaim>;
}

const prefixClaimSchema = z.object({ location: z.string(), addressPrefix: z.string() });
export type PrefixClaim = z.infer<typeof prefixClaimSchema>;

const slotClaimSchema = z.object({ slot: z.iso.datetime() });
export type SlotClaim = z.infer<typeof slotClaimSchema>;

/** Ledger of restores: the row is there before anything is made. */
const restorationSchema = z.object({ plannedAt: z.iso.datetime() });
export type Restoration = z.infer<typeof restorationSchema>;

export function createRecords(store: RecordStore): Records {
  const sessions = store.table("sessions");
  const schedule = store.table("schedule");
  const regions = store.table("regions");
  return {
    policies: createTypedTable(store.table("policies"), "policy", policySchema, "Policy"),
    repositories: createTypedTable(
      store.table("repositories"),
      "repository",
      repositorySchema,
      "Repository",
    ),
    sessions: createTypedTable(sessions, "session", sessionSchema, "Session"),
    vmClaims: createTypedTable(sessions, "running", vmClaimSchema, "VmClaim"),
    sessionLog: (sessionId) =>
      createTypedTable(store.table("sessionlog"), sessionId, sessionLogLineSchema, "LogLine"),
    restorations: createTypedTable(sessions, "restoring", restorationSchema, "Restoration"),
    points: createTypedTable(
      store.table("restorepoints"),
      "point",
      restorePointSchema,
      "RestorePoint",
    ),
    workers: createTypedTable(store.table("workers"), "worker", workerRecordSchema, "Worker"),
    jobs: createTypedTable(store.table("jobs"), "job", jobRecordSchema, "Job"),
    grants: createTypedTable(store.table("grants"), "grant", grantRecordSchema, "Grant"),
    regions: createTypedTable(regions, "region", regionRecordSchema, "Region"),
    prefixes: createTypedTable(regions, "prefix", prefixClaimSchema, "Prefix"),
    slots: (policyId) => createTypedTable(schedule, `slot-${policyId}`, slotClaimSchema, "Slot"),
    lastSlots: createTypedTable(schedule, "last", slotClaimSchema, "Slot"),
  };
}
