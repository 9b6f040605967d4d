/**
 * Runs one job of any kind on a worker: acquire, dispatch, wait, revoke, release. A worker that falls
 * silent is removed and the job goes to another; so does a job whose error may pass. In every ending
 * the grants are revoked and the worker is given back or removed.
 */
import type { OrchestrationContext } from "durable-functions";
import { fail, failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import { ORCHESTRATORS } from "./names.ts";
import type { AwaitedJob, AwaitJobInput } from "./await-job.ts";
import { callChild, createRun, log, must, nowOf, pauseSeconds, step, wait } from "./steps.ts";
import type { Run, Steps } from "./steps.ts";
import {
  acquireWorker,
  discardWorker,
  releaseWorker,
  renewLease,
  revokeGrants,
} from "./workers.ts";

export interface RunWorkerJobInput {
  readonly jobId: string;
  readonly sessionId: string;
  readonly location: string;
  readonly settings: RunSettings;
}

export interface WorkerJobValue {
  readonly workerId: string;
  readonly attempts: number;
}

/** Dispatches of one job, first included. */
const DISPATCHES_MAX = 3;

interface Ending {
  readonly outcome: Outcome<null>;
  /** A worker that may still be at work must not get another job. */
  readonly workerIsWell: boolean;
}

export function* runWorkerJob(context: OrchestrationContext): Steps<Outcome<WorkerJobValue>> {
  const input = context.df.getInput<RunWorkerJobInput>();
  const run = createRun(context, input.settings, input.sessionId);
  // Lines of the parent and of this job never share a number.
  run.logNumber = 1000;
  const deadline = nowOf(run) + input.settings.jobDeadlineSeconds * 1000;
  let last: Outcome<WorkerJobValue> = fail("NotDispatched", "The job was never dispatched.");
  for (let attempt = 1; attempt <= DISPATCHES_MAX; attempt++) {
    const holder = { holder: `${input.jobId}#${attempt}`, location: input.location };
    const acquired = yield* acquireWorker(run, holder, deadline);
    if (acquired.ok) {
      const workerId = acquired.value;
      const { outcome, workerIsWell } = yield* useWorker(run, input, attempt, workerId, deadline);
      yield* revokeGrants(run, input.jobId);
      if (workerIsWell) yield* releaseWorker(run, holder);
      else yield* discardWorker(run, holder, workerId);
      if (outcome.ok) return succeed({ workerId, attempts: attempt });
      last = outcome;
    } else {
      last = acquired;
    }
    if (last.error.retry === "never" || nowOf(run) >= deadline) break;
    if (attempt < DISPATCHES_MAX) {
      yield* log(run, "warning", `dispatch ${attempt} failed: ${last.error.message}; trying again`);
      yield* wait(run, pauseSeconds(run.settings, attempt));
    }
  }
  return last;
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
    yield* step(run, "dispatch-job", { jobId: input.jobId, attempt, workerId });
    yield* log(run, "info", `worker ${workerId} has the job (dispatch ${attempt})`);
    for (let window = 0; ; window++) {
      const awaited = must(yield* awaitWindow(run, input, attempt, deadline, window));
      switch (awaited.kind) {
        case "running":
          yield* renewLease(run, {
            holder: `${input.jobId}#${attempt}`,
            location: input.location,
          });
          break;
        case "succeeded":
          return { outcome: succeed(null), workerIsWell: true };
        case "failed":
          return { outcome: { ok: false, error: awaited.error }, workerIsWell: true };
        case "lost": {
          const message = `Worker ${workerId} has been silent for ${awaited.silentSeconds} s.`;
          return { outcome: fail("WorkerLost", message, "backoff"), workerIsWell: false };
        }
        case "late": {
          const message = `The job was not done within ${run.settings.jobDeadlineSeconds} s.`;
          return { outcome: fail("DeadlineExceeded", message), workerIsWell: false };
        }
      }
    }
  } catch (error) {
    // Whether the message was sent is not known: the worker may be at work.
    return { outcome: failureOf(error), workerIsWell: false };
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
