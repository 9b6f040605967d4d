/** What orchestrations of one session share: their end, and a job of theirs on a worker. */
import { failureOf, succeed, type Outcome } from "#core/model/outcome.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { ORCHESTRATORS } from "./names.ts";
import type { RunWorkerJobInput, WorkerJobValue } from "./run-worker-job.ts";
import { attempt, callChild, log, must, type Run, type Steps } from "./steps.ts";
import { ensureRegion } from "./regions.ts";

export interface Ending {
  readonly state: SessionEnd["state"];
  readonly reason?: string;
}

/** Runs the body and ends the session as it says; what it throws is a failure of the session. */
export function* closing(
  run: Run,
  sessionId: string,
  body: () => Steps<Ending>,
): Steps<Outcome<SessionEnd>> {
  let end: Ending & { errorCode?: string };
  try {
    end = yield* body();
  } catch (error) {
    const { code, message } = failureOf(error).error;
    yield* log(run, "error", message);
    end = { state: "failed", reason: message, errorCode: code };
  }
  // When even this fails, the sweep closes the session: its orchestration is over.
  yield* attempt(run, "close-session", { sessionId, ...end });
  return succeed({ sessionId, state: end.state });
}

/** Has a job that was prepared done by a worker of the region; throws its error. */
export function* runJob(
  run: Run,
  job: { readonly jobId: string; readonly sessionId: string; readonly location: string },
): Steps<WorkerJobValue> {
  yield* ensureRegion(run, { location: job.location, jobId: job.jobId });
  const child: RunWorkerJobInput = { ...job, settings: run.settings };
  const instanceId = `job-${job.jobId}`;
  return must(yield* callChild<WorkerJobValue>(run, ORCHESTRATORS.runWorkerJob, child, instanceId));
}
