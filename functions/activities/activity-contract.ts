import type { z } from "zod";
import type { RetentionCounts } from "#core/model/session.ts";
import type { Outcome } from "#core/model/outcome.ts";
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
  "start-snapshots": { readonly snapshotCount: number };
  "read-snapshots": Readiness;
  "plan-region": Readiness & {
    readonly actions: readonly {
      readonly kind: "create-network" | "create-staging-account";
      readonly reason: string;
    }[];
  };
  "execute-region-action": Nothing;
  "plan-backup": { readonly fullCount: number; readonly incrementalCount: number };
  "index-restore-point": { readonly pointId: string; readonly warningCount: number };
  "clean-snapshots": { readonly deletedCount: number; readonly keptCount: number };
  "delete-session-snapshots": { readonly deletedCount: number };
  "close-session": Nothing;
  "append-log": Nothing;
  "register-worker": Nothing;
  "start-worker-nic": Nothing;
  "read-worker-nic": Readiness;
  "start-worker-vm": Nothing;
  "read-worker-vm": Readiness;
  "install-agent": Nothing;
  "read-install": Readiness;
  "read-worker": Readiness;
  "start-worker-removal": Nothing;
  "finish-worker-removal": Readiness;
  "dispatch-job": { readonly sent: boolean };
  "read-job-state": JobStateAnswer;
  "revoke-grants": { readonly revokedCount: number };
  "plan-restore": { readonly location: string; readonly diskCount: number };
  "start-restore-disks": Nothing;
  "read-restore-disks": Readiness;
  "start-restore-nics": Nothing;
  "read-restore-nics": Readiness;
  "start-restore-vm": Nothing;
  "read-restore-vm": Readiness;
  "index-restore": Nothing;
  "delete-restored": Readiness;
  "choose-vms": { readonly count: number; readonly maxConcurrentVms: number };
  "read-policy-target": {
    readonly vmId: string;
    readonly vmResourceId: string;
    readonly vmName: string;
    readonly repositoryId: string;
  };
  "list-workers": { readonly regions: readonly { location: string; workerIds: string[] }[] };
  "sweep-grants": { readonly revokedCount: number };
  "sweep-snapshots": { readonly deletedCount: number };
  "sweep-restores": { readonly openCount: number };
  "sweep-strays": { readonly deletedCount: number };
  "find-ended-holders": { readonly ended: string[] };
}

export type JobStateAnswer =
  | { readonly state: "running"; readonly silentSeconds: number }
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
