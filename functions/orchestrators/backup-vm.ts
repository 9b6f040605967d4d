/**
 * Backs up one VM, the same way for a policy and on demand: snapshots of all disks together, a worker
 * that reads them into the repository, the restore point in the index. Ends its session in every
 * case. Until the point is indexed, a failure deletes the new snapshots; from then on they are bases.
 */
import type { OrchestrationContext } from "durable-functions";
import { failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import type { SessionState } from "#core/model/session.ts";
import { ensureDiskAccesses, leaveDiskPool } from "./disk-slots.ts";
import { readInParts } from "./disk-parts.ts";
import { ORCHESTRATORS } from "./names.ts";
import type { RunWorkerJobInput, WorkerJobValue } from "./run-worker-job.ts";
import { attempt, callChild, createRun, log, must, step, undoAll, until } from "./steps.ts";
import type { Run, Steps, Undo } from "./steps.ts";
import { ensureRegion } from "./regions.ts";
import { revokeGrants } from "./workers.ts";

export interface BackupVmInput {
  readonly sessionId: string;
  readonly vmId: string;
  readonly vmResourceId: string;
  readonly vmName: string;
  readonly repositoryId: string;
  readonly trigger: "schedule" | "manual";
  readonly policyId?: string | undefined;
  readonly parentSessionId?: string | undefined;
  readonly forceFull: boolean;
  readonly settings: RunSettings;
}

export interface SessionEnd {
  readonly sessionId: string;
  readonly state: Exclude<SessionState, "running">;
}

/** Background copy of a snapshot: hours for large disks of the newest types. */
const SNAPSHOT_SECONDS_MAX = 6 * 3600;

export function* backupVm(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const input = context.df.getInput<BackupVmInput>();
  const { sessionId } = input;
  const run = createRun(context, input.settings, sessionId);
  const undos: Undo[] = [];
  let end: { state: SessionEnd["state"]; reason?: string; errorCode?: string };
  try {
    const claim = yield* step(run, "claim-backup", claimOf(input));
    if (claim.claimed) {
      end = yield* runBackup(run, input, undos);
    } else {
      end = { state: "skipped", ...(claim.reason === undefined ? {} : { reason: claim.reason }) };
    }
  } catch (error) {
    const { code, message } = failureOf(error).error;
    yield* log(run, "error", message);
    yield* undoAll(run, undos);
    end = { state: "failed", reason: message, errorCode: code };
  }
  // When even this fails, the sweep closes the session: its orchestration is over.
  yield* attempt(run, "close-session", { sessionId, ...end });
  return succeed({ sessionId, state: end.state });
}

function claimOf(input: BackupVmInput) {
  const { sessionId, vmId, vmName, repositoryId, trigger, policyId, parentSessionId } = input;
  return {
    sessionId,
    vmId,
    vmName,
    repositoryId,
    trigger,
    ...(policyId === undefined ? {} : { policyId }),
    ...(parentSessionId === undefined ? {} : { parentSessionId }),
  };
}

function* runBackup(
  run: Run,
  input: BackupVmInput,
  undos: Undo[],
): Steps<{ state: "succeeded" | "warning"; reason?: string }> {
  const { sessionId, vmId, vmResourceId, repositoryId, settings } = input;
  const jobId = sessionId;
  const captured = yield* step(run, "capture-vm", { jobId, vmId, vmResourceId, repositoryId });
  const { location, diskCount } = captured;

  yield* ensureRegion(run, { location, repositoryId });
  const { accesses, ...diskPool } = yield* ensureDiskAccesses(run, jobId, (pool) =>
    undos.push({
      what: "give back disk accesses",
      run: () => leaveDiskPool(run, pool, jobId),
    }),
  );

  undos.push({
    what: "delete the new snapshots",
    run: () => step(run, "delete-session-snapshots", { jobId }),
  });
  yield* log(
    run,
    "info",
    `taking snapshots of the disks of ${input.vmName} together (${diskCount})`,
  );
  yield* step(run, "start-snapshots", { jobId, accesses: [...accesses] });
  yield* until(run, "read-snapshots", { jobId }, SNAPSHOT_SECONDS_MAX);

  const plan = yield* step(run, "plan-backup", { jobId, forceFull: input.forceFull });
  yield* log(
    run,
    "info",
    `planned disks: ${plan.fullCount} full, ${plan.incrementalCount} incremental`,
  );

  undos.push({ what: "revoke access", run: () => revokeGrants(run, jobId) });
  const { partJobs = [] } = plan;
  if (partJobs.length > 0) yield* readInParts(run, { jobId, location, diskPool, partJobs }, undos);
  const child: RunWorkerJobInput = { jobId, sessionId, location, settings, diskPool };
  const instanceId = `job-${jobId}`;
  must(yield* callChild<WorkerJobValue>(run, ORCHESTRATORS.runWorkerJob, child, instanceId));

  const { policyId } = input;
  const indexed = yield* step(run, "index-restore-point", {
    jobId,
    ...(policyId === undefined ? {} : { policyId }),
  });
  yield* leaveDiskPool(run, diskPool, jobId);
  // From here the new snapshots are the bases of the next backup: nothing is undone any more.
  undos.length = 0;
  yield* log(run, "info", `restore point ${indexed.pointId} is complete`);
  return yield* finishBackup(run, vmId, indexed.warningCount);
}

/** The restore point exists: what goes wrong now is a warning. */
function* finishBackup(
  run: Run,
  vmId: string,
  warningCount: number,
): Steps<{ state: "succeeded" | "warning"; reason?: string }> {
  const cleaned = yield* attempt(run, "clean-snapshots", { vmId });
  if (!cleaned.ok) {
    const reason = `old snapshots were not deleted: ${cleaned.error.message}`;
    yield* log(run, "warning", reason);
    return { state: "warning", reason };
  }
  yield* log(run, "info", `deleted snapshots that are no base now: ${cleaned.value.deletedCount}`);
  if (warningCount === 0) return { state: "succeeded" };
  return { state: "warning", reason: `the worker reported ${warningCount} warnings` };
}
