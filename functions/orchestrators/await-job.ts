/**
 * Waits for the end of one dispatch, for a bounded number of polls. The event `job-finished` only
 * wakes it up: the truth is in the tables, so that a lost event costs one poll and a false one nothing.
 */
import type { OrchestrationContext } from "durable-functions";
import { failureOf, succeed, type Outcome, type StepError } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import { JOB_FINISHED_EVENT } from "./names.ts";
import { createRun, nowOf, step, type Steps } from "./steps.ts";

export interface AwaitJobInput {
  readonly jobId: string;
  readonly attempt: number;
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  readonly settings: RunSettings;
}

export type AwaitedJob =
  | { readonly kind: "running" | "succeeded" | "late" }
  | { readonly kind: "failed"; readonly error: StepError }
  | { readonly kind: "lost"; readonly silentSeconds: number }
  | { readonly kind: "gone"; readonly wasSpot: boolean; readonly reason: string };

/** Polls of one window: about 700 events of history. */
export const POLLS_PER_WINDOW = 100;
/** A silent worker is noticed after at most this part of the time that makes it lost. */
const LOST_PARTS = 3;

export function* awaitJob(context: OrchestrationContext): Steps<Outcome<AwaitedJob>> {
  const { jobId, attempt, deadline, settings } = context.df.getInput<AwaitJobInput>();
  const run = createRun(context, settings);
  const pollMs = Math.max(settings.pollSeconds, settings.workerLostSeconds / LOST_PARTS) * 1000;
  try {
    for (let polls = 0; polls < POLLS_PER_WINDOW; polls++) {
      const waiterInstanceId = context.df.instanceId;
      const job = yield* step(run, "read-job-state", { jobId, attempt, waiterInstanceId });
      if (job.state === "succeeded") return succeed({ kind: "succeeded" });
      if (job.state === "failed") return succeed({ kind: "failed", error: job.error });
      if (job.state === "gone") {
        const { wasSpot, reason } = job;
        return succeed({ kind: "gone", wasSpot, reason });
      }
      if (job.silentSeconds > settings.workerLostSeconds)
        return succeed({ kind: "lost", silentSeconds: job.silentSeconds });
      if (nowOf(run) >= deadline) return succeed({ kind: "late" });
      const finished = context.df.waitForExternalEvent(JOB_FINISHED_EVENT);
      const timer = context.df.createTimer(new Date(nowOf(run) + pollMs));
      yield context.df.Task.any([finished, timer]);
      // A timer that is left would hold up the end of this instance.
      if (!timer.isCompleted) timer.cancel();
    }
    return succeed({ kind: "running" });
  } catch (error) {
    return failureOf(error);
  }
}
