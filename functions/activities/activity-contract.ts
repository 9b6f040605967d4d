import type { z } from "zod";
import type { RegionActionBody } from "#core/model/region-action.ts";
import type { RetentionCounts } from "#core/model/session.ts";
import type { SlotWish } from "#core/network/disk-slots.ts";
import type { DiskAccessAction } from "#core/network/plan-disk-accesses.ts";
import type { Outcome } from "#core/model/outcome.ts";
import type { WorkerChoice } from "#core/workers/choose-worker.ts";
import type { PartJob } from "./disk-parts.ts";
import type { ACTIVITY_INPUTS } from "./activity-inputs.ts";

/**
 * Activities: thin steps of the orchestrations. Each parses its input, makes its calls, and answers
 * a small outcome. They run at least once, so each finds its own traces and can be repeated. Inputs
 * and answers rest in the history: never a SAS, a secret or a large object.
 */
export type ActivityName = keyof typeof ACTIVITY_INPUTS;
export type ActivityInput<Name extends ActivityName> = z.infer<(typeof ACTIVITY_INPUTS)[Name]>;

/** What is polled: ready, or what it waits for. Failure is an error of the outcome. */
export interface Readiness {
  readonly ready: boolean;
  readonly waitingFor?: string;
}

export interface NetworkVerdict {
  readonly ok: boolean;
  /** Resource Manager itself shows what is broken: trying again does not help. */
  readonly isCertain: boolean;
  /** Names what is broken, for the session's end. */
  readonly text: string;
}

type Nothing = Record<string, never>;

/** Value of each activity's outcome. */
export interface ActivityValues {
  "claim-backup": { readonly claimed: boolean; readonly reason?: string };
  "claim-repository": { readonly claimed: boolean; readonly reason?: string };
  "plan-maintenance": {
    /** Nothing when there is nothing to look after. */
    readonly location: string | null;
    readonly counts: RetentionCounts;
    /** VMs that would lose too much at once, with numbers. */
    readonly heldBack: readonly string[];
  };
  "index-maintenance": {
    readonly expiredCount: number;
    readonly keptCount: number;
    readonly deletedObjects: number;
    readonly deletedBytes: number;
    readonly markedObjects: number;
    readonly skipped: readonly string[];
    readonly skippedCount: number;
  };
  "claim-archive": Nothing;
  "plan-archive": { readonly location: string };
  "index-archive": {
    readonly archiveId: string;
    readonly storedBytes: number;
    readonly objectCount: number;
  };
  "choose-archives": { readonly count: number; readonly retentionDays: number };
  "read-archive-target": {
    readonly restorePointId: string;
    readonly archiveId: string;
    readonly repositoryId: string;
    readonly vmId: string;
    readonly vmName: string;
  };
  "plan-retrieval": {
    readonly jobId: string;
    readonly location: string;
    /** When to ask again how far the copies are. */
    readonly lookSeconds: number;
  };
  "index-retrieval": {
    readonly objectCount: number;
    readonly pendingObjects: number;
    readonly windowEndsAt: string | null;
  };
  /** End of the window in which it can be read; nothing when it cannot. */
  "read-retrieval": { readonly windowEndsAt: string | null };
  "plan-check": { readonly location: string };
  "read-check": Readiness;
  "index-check": {
    readonly findingCount: number;
    readonly damagedCount: number;
    readonly checkedObjects: number;
    readonly verifiedBlocks: number;
    readonly findings: readonly string[];
  };
  "plan-import": { readonly location: string };
  "read-import": Readiness;
  "index-import": {
    readonly pointCount: number;
    readonly archiveCount: number;
    readonly unreadableCount: number;
    readonly unreadable: readonly string[];
    readonly conflictCount: number;
    readonly conflicting: readonly string[];
  };
  "capture-vm": { readonly location: string; readonly diskCount: number };
  /** Of the disk accesses that the job works with; `jobsMax` jobs run at once in the region. */
  "read-disk-pool": {
    readonly location: string;
    readonly subscriptionId: string;
    readonly slots: number;
    readonly jobsMax: number;
  };
  "plan-disk-accesses": Readiness & {
    readonly actions: readonly DiskAccessAction[];
    /** Names of those that can be used now. */
    readonly accesses: readonly string[];
    readonly bounded?: string;
  };
  "make-disk-accesses": Nothing;
  "read-disk-wishes": { readonly wishes: readonly SlotWish[] };
  "place-disks": Readiness;
  "start-snapshots": { readonly snapshotCount: number };
  "read-snapshots": Readiness;
  "plan-region": Readiness & {
    readonly actions: readonly {
      readonly action: RegionActionBody;
      readonly reason: string;
      /** What it needs is there: it can be carried out now. */
      readonly isDue: boolean;
    }[];
    /** What only a person can change. */
    readonly findings: readonly { readonly code: string; readonly message: string }[];
    readonly notes: readonly string[];
    /** Sessions of a region carry plans out in turn. Absent in histories of earlier versions. */
    readonly inTurns?: true;
  };
  "execute-region-action": { readonly isDone: boolean };
  "plan-backup": {
    readonly fullCount: number;
    readonly incrementalCount: number;
    /**
     * Of the disks that several workers share; together never more than the region's workers. Absent
     * in histories of earlier versions.
     */
    readonly partJobs?: readonly PartJob[];
  };
  "hold-disk-parts": Nothing;
  "conclude-disk-parts": {
    readonly joinedCount: number;
    /** Disks of which a part failed. */
    readonly failed: readonly { readonly name: string; readonly why: string }[];
  };
  "index-restore-point": { readonly pointId: string; readonly warningCount: number };
  "clean-snapshots": { readonly deletedCount: number; readonly keptCount: number };
  "delete-session-snapshots": { readonly deletedCount: number };
  "close-session": Nothing;
  "append-log": Nothing;
  "choose-worker": WorkerChoice & { readonly maximum: number };
  "register-worker": Nothing;
  "recover-worker": Nothing;
  "rest-worker": Nothing;
  "start-worker-nic": Nothing;
  "read-worker-nic": Readiness;
  /** `noRoom`: why Azure has none for this size. */
  "start-worker-vm": { readonly noRoom?: string };
  "read-worker-vm": Readiness;
  "install-agent": Nothing;
  "read-install": Readiness;
  "read-worker": Readiness;
  "start-worker-deallocation": Nothing;
  "read-worker-deallocation": Readiness;
  "start-worker-removal": Nothing;
  "finish-worker-removal": Readiness;
  "dispatch-job": { readonly sent: boolean };
  "read-job-state": JobStateAnswer;
  "plan-doctor": { readonly needed: boolean };
  "conclude-doctor": NetworkVerdict;
  "explain-network": NetworkVerdict;
  "revoke-grants": { readonly revokedCount: number };
  "plan-restore": { readonly location: string; readonly diskCount: number };
  "start-restore-disks": Nothing;
  "read-restore-disks": Readiness;
  "start-restore-nics": Nothing;
  "read-restore-nics": Readiness;
  "start-restore-vm": Nothing;
  "read-restore-vm": Readiness;
  /** What cannot be as it was at the source is told. */
  "finish-restore-disks": Readiness & { readonly notes: readonly string[] };
  "index-restore": Nothing;
  "delete-restored": Readiness;
  "choose-vms": { readonly count: number; readonly maxConcurrentVms: number };
  "read-policy-target": {
    readonly vmId: string;
    readonly vmResourceId: string;
    readonly vmName: string;
    readonly repositoryId: string;
  };
  "list-workers": { readonly regions: readonly RegionWorkers[] };
  "list-disk-pools": {
    readonly pools: readonly { readonly location: string; readonly subscriptionId: string }[];
  };
  "find-ended-slot-holders": { readonly ended: readonly string[] };
  "find-unused-disk-accesses": { readonly names: readonly string[] };
  "remove-disk-accesses": { readonly done: readonly string[] };
  "sweep-grants": { readonly revokedCount: number };
  "sweep-snapshots": { readonly deletedCount: number };
  "sweep-restores": { readonly openCount: number };
  "sweep-strays": { readonly deletedCount: number };
  "find-ended-holders": { readonly ended: string[] };
}

/** What the sweep needs to know of one region. */
export interface RegionWorkers {
  readonly location: string;
  readonly workerIds: readonly string[];
  /** Resting workers whose VM is gone or whose agent is silent. */
  readonly lost: readonly string[];
  readonly minimum: number;
  readonly idleSeconds: number;
  readonly idleAction: "delete" | "deallocate";
}

export type JobStateAnswer =
  | { readonly state: "running"; readonly silentSeconds: number }
  /** Its worker's VM is not there, or does not run. */
  | { readonly state: "gone"; readonly wasSpot: boolean; readonly reason: string }
  | { readonly state: "succeeded" }
  | {
      readonly state: "failed";
      readonly error: {
        readonly code: string;
        readonly message: string;
        readonly retry: "never" | "backoff";
      };
    };

export type ActivityOutcome<Name extends ActivityName> = Outcome<ActivityValues[Name]>;
