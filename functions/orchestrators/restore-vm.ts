/**
 * Restores a whole VM under a new name: disks that accept an upload, a worker that writes them, NICs,
 * the VM. A failure deletes what it made, and nothing else.
 */
import type { OrchestrationContext } from "durable-functions";
import { failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { ensureDiskAccesses, leaveDiskPool } from "./disk-slots.ts";
import { ORCHESTRATORS } from "./names.ts";
import type { RunWorkerJobInput, WorkerJobValue } from "./run-worker-job.ts";
import { attempt, callChild, createRun, log, must, step, undoAll, until } from "./steps.ts";
import type { Run, Steps, Undo } from "./steps.ts";
import { ensureRegion } from "./regions.ts";
import { revokeGrants } from "./workers.ts";

export interface RestoreVmInput {
  /** Its session holds what was asked for. */
  readonly sessionId: string;
  readonly settings: RunSettings;
}

const PROVISION_SECONDS_MAX = 1800;

export function* restoreVm(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const { sessionId, settings } = context.df.getInput<RestoreVmInput>();
  const run = createRun(context, settings, sessionId);
  const undos: Undo[] = [];
  let end: { state: SessionEnd["state"]; reason?: string; errorCode?: string };
  try {
    yield* runRestore(run, sessionId, undos);
    end = { state: "succeeded" };
  } catch (error) {
    const { code, message } = failureOf(error).error;
    yield* log(run, "error", message);
    yield* undoAll(run, undos);
    end = { state: "failed", reason: message, errorCode: code };
  }
  yield* attempt(run, "close-session", { sessionId, ...end });
  return succeed({ sessionId, state: end.state });
}

function* runRestore(run: Run, sessionId: string, undos: Undo[]): Steps<void> {
  const { settings } = run;
  const { location, diskCount } = yield* step(run, "plan-restore", { sessionId });
  yield* ensureRegion(run, { location, jobId: sessionId });
  const { accesses, ...diskPool } = yield* ensureDiskAccesses(run, sessionId, (pool) =>
    undos.push({
      what: "give back disk accesses",
      run: () => leaveDiskPool(run, pool, sessionId),
    }),
  );

  undos.push({
    what: "delete what was restored",
    run: () => until(run, "delete-restored", { sessionId }, PROVISION_SECONDS_MAX),
  });
  yield* log(run, "info", `making the disks in ${location} (${diskCount})`);
  yield* step(run, "start-restore-disks", { sessionId, accesses: [...accesses] });
  const writable = { sessionId, stage: "writable" } as const;
  yield* until(run, "read-restore-disks", writable, PROVISION_SECONDS_MAX);

  // Azure deletes no disk that has a live SAS: this undo runs before the one above.
  undos.push({ what: "revoke access", run: () => revokeGrants(run, sessionId) });
  const child: RunWorkerJobInput = { jobId: sessionId, sessionId, location, settings, diskPool };
  const instanceId = `job-${sessionId}`;
  must(yield* callChild<WorkerJobValue>(run, ORCHESTRATORS.runWorkerJob, child, instanceId));

  // Revoking the write access sealed the disks.
  const sealed = { sessionId, stage: "sealed" } as const;
  yield* until(run, "read-restore-disks", sealed, PROVISION_SECONDS_MAX);
  yield* leaveDiskPool(run, diskPool, sessionId);
  const { notes } = yield* step(run, "finish-restore-disks", { sessionId });
  for (const note of notes) yield* log(run, "warning", note);
  yield* until(run, "finish-restore-disks", { sessionId }, PROVISION_SECONDS_MAX);
  yield* log(run, "info", "the disks are written and sealed; making network interfaces");
  yield* step(run, "start-restore-nics", { sessionId });
  yield* until(run, "read-restore-nics", { sessionId }, PROVISION_SECONDS_MAX);
  yield* log(run, "info", "making the virtual machine");
  yield* step(run, "start-restore-vm", { sessionId });
  yield* until(run, "read-restore-vm", { sessionId }, PROVISION_SECONDS_MAX);
  yield* step(run, "index-restore", { sessionId });
  yield* log(run, "info", "the virtual machine runs");
}
