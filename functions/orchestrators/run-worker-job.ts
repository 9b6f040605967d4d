/**
 * Runs one job of any kind on a worker: acquire, dispatch, wait, revoke, release. A worker that falls
 * silent is removed and the job goes to another; so does a job whose error may pass. In every ending
 * the grants are revoked and the worker is given back or removed.
 */
import type { OrchestrationContext } from "durable-functions";
import { fail, failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import { releaseDiskSlots, renewDiskSlots, takeDiskSlots, type DiskPoolUse } from "./disk-slots.ts";
import { examineEnding, explainFailure, lookAtNetwork, type Ending } from "./doctor.ts";
import type { DiskPool } from "#core/network/plan-disk-accesses.ts";
import { ORCHESTRATORS } from "./names.ts";
import type { AwaitedJob, AwaitJobInput } from "./await-job.ts";
import { callChild, createRun, log, must, nowOf, pauseSeconds, step, wait } from "./steps.ts";
import type { Run, Steps } from "./steps.ts";
import {
  acquireWorker,
  advanceLease,
  discardWorker,
  releaseWorker,
  revokeGrants,
} from "./workers.ts";

export interface RunWorkerJobInput {
  readonly jobId: string;
  readonly sessionId: string;
  readonly location: string;
  readonly settings: RunSettings;
  /** Disk accesses that the job's disks are reached through; a job without disks has none. */
  readonly diskPool?: DiskPoolUse | undefined;
  /** One of several jobs of its session at the same time. */
  readonly sibling?:
    | {
        /** Numbers of its log's lines begin here: those of no other job lie above within reach. */
        readonly logNumber: number;
        readonly logPrefix: string;
        /** Holds the seats of its disks in the pool until all siblings are done. */
        readonly holder: string;
        readonly pool: DiskPool;
      }
    | undefined;
}

export interface WorkerJobValue {
  readonly workerId: string;
  readonly attempts: number;
}

export const LOG_NUMBERS_PER_JOB = 1000;
/** Dispatches of one job, first included; evictions do not count, they are nobody's fault. */
const DISPATCHES_MAX = 3;
/** Far above what a configuration allows before it turns to regular workers. */
const EVICTIONS_MAX = 10;
const EVICTED = "WorkerEvicted";

export function* runWorkerJob(context: OrchestrationContext): Steps<Outcome<WorkerJobValue>> {
  const input = context.df.getInput<RunWorkerJobInput>();
  const { jobId, sessionId, location, diskPool, sibling } = input;
  const run = createRun(context, input.settings, sessionId, sibling?.logPrefix);
  // Lines of the parent and of this job never share a number.
  run.logNumber = sibling?.logNumber ?? LOG_NUMBERS_PER_JOB;
  const deadline = nowOf(run) + input.settings.jobDeadlineSeconds * 1000;
  let evictions = 0;
  for (let attempt = 1; ; attempt++) {
    const holder = { holder: `${jobId}#${attempt}`, location };
    const acquisition = { ...holder, jobId, sessionId, evictions, deadline };
    const acquired = yield* acquireWorker(run, acquisition);
    let last: Outcome<null>;
    if (acquired.ok) {
      const workerId = acquired.value;
      const ended = yield* useWorker(run, input, attempt, workerId, deadline);
      const look = { workerId, label: `${attempt}-after` };
      const { outcome, unwell } = yield* examineEnding(run, input, look, ended);
      const isRevoked = yield* revokeGrants(run, jobId);
      if (isRevoked && diskPool !== undefined) yield* releaseDiskSlots(run, diskPool, jobId);
      if (unwell === undefined) yield* releaseWorker(run, holder, workerId);
      else yield* discardWorker(run, holder, workerId, unwell);
      if (outcome.ok) return succeed({ workerId, attempts: attempt });
      last = outcome;
    } else {
      last = yield* explainFailure(run, jobId, acquired);
    }
    if (last.error.code === EVICTED) evictions++;
    if (last.error.retry === "never" || nowOf(run) >= deadline) return last;
    if (attempt - evictions >= DISPATCHES_MAX || evictions >= EVICTIONS_MAX) return last;
    yield* log(run, "warning", `dispatch ${attempt} failed: ${last.error.message}; trying again`);
    yield* wait(run, pauseSeconds(run.settings, attempt));
  }
}

/** One dispatch and its end. Never throws. */
function* useWorker(
  run: Run,
  input: RunWorkerJobInput,
  attempt: number,
  workerId: string,
  deadline: number,
): Steps<Ending> {
  try {
    const seated = yield* seatDisks(run, input, attempt, deadline);
    // Nothing was sent: the worker is as it was.
    if (!seated.ok) return { outcome: seated };
    const looked = yield* lookAtNetwork(run, input, {
      workerId,
      label: `${attempt}`,
      force: false,
    });
    if (!looked.outcome.ok) return looked;
    yield* step(run, "dispatch-job", { jobId: input.jobId, attempt, workerId });
    yield* log(run, "info", `worker ${workerId} has the job (dispatch ${attempt})`);
    for (let window = 0; ; window++) {
      const awaited = must(yield* awaitWindow(run, input, attempt, deadline, window));
      switch (awaited.kind) {
        case "running":
          yield* advanceLease(run, {
            holder: `${input.jobId}#${attempt}`,
            location: input.location,
          });
          yield* renewSlots(run, input);
          break;
        case "succeeded":
          return { outcome: succeed(null) };
        case "failed": {
          const { error } = awaited;
          // Its key is lost: nothing can be sealed to it any more.
          const isLost = error.code === "AgentRestarted";
          return { outcome: { ok: false, error }, ...(isLost ? { unwell: error.message } : {}) };
        }
        case "gone": {
          const code = awaited.wasSpot ? EVICTED : "WorkerGone";
          const message = `Worker ${workerId} is lost: ${awaited.reason}.`;
          return { outcome: fail(code, message, "backoff"), unwell: message };
        }
        case "lost": {
          const message = `Worker ${workerId} has been silent for ${awaited.silentSeconds} s.`;
          return { outcome: fail("WorkerLost", message, "backoff"), unwell: message };
        }
        case "late": {
          const message = `The job was not done within ${run.settings.jobDeadlineSeconds} s.`;
          return { outcome: fail("DeadlineExceeded", message), unwell: message };
        }
      }
    }
  } catch (error) {
    // Whether the message was sent is not known: the worker may be at work.
    const outcome = failureOf(error);
    return { outcome, unwell: outcome.error.message };
  }
}

function* renewSlots(run: Run, { diskPool, jobId, sibling }: RunWorkerJobInput): Steps<void> {
  if (diskPool !== undefined) yield* renewDiskSlots(run, diskPool, jobId);
  if (sibling !== undefined) yield* renewDiskSlots(run, sibling.pool, sibling.holder);
}

/** Slots for all that the job reads or writes, before any access to it is granted. */
function* seatDisks(
  run: Run,
  { jobId, location, diskPool: pool }: RunWorkerJobInput,
  attempt: number,
  deadline: number,
): Steps<Outcome<unknown>> {
  if (pool === undefined) return succeed(null);
  const keepWorker = (): Steps<void> =>
    advanceLease(run, { holder: `${jobId}#${attempt}`, location });
  try {
    return yield* takeDiskSlots(run, { pool, jobId, deadline }, keepWorker);
  } catch (error) {
    return failureOf(error);
  }
}

/** Waiting is a child of its own, window by window, so that no history grows without bound. */
function* awaitWindow(
  run: Run,
  { jobId, settings }: RunWorkerJobInput,
  attempt: number,
  deadline: number,
  window: number,
): Steps<Outcome<AwaitedJob>> {
  const input: AwaitJobInput = { jobId, attempt, deadline, settings };
  const instanceId = `await-${jobId}-${attempt}-${window}`;
  return yield* callChild<AwaitedJob>(run, ORCHESTRATORS.awaitJob, input, instanceId);
}
