/**
 * Looks after a repository: retention marks what expires, a worker deletes it together with what
 * nothing needs any more, and the index forgets it. One at a time per repository. What is marked and
 * not deleted, because the run failed, is deleted by the next one.
 */
import type { OrchestrationContext } from "durable-functions";
import type { Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { closing, runJob, type Ending } from "./session-run.ts";
import { createRun, log, step, type Run, type Steps } from "./steps.ts";

export interface MaintainRepositoryInput {
  readonly sessionId: string;
  readonly repositoryId: string;
  readonly trigger: "schedule" | "manual";
  /** Also what the safety gate holds back. */
  readonly confirmed: boolean;
  readonly settings: RunSettings;
}

export function* maintainRepository(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const input = context.df.getInput<MaintainRepositoryInput>();
  const run = createRun(context, input.settings, input.sessionId);
  return yield* closing(run, input.sessionId, () => maintain(run, input));
}

function* maintain(run: Run, input: MaintainRepositoryInput): Steps<Ending> {
  const { sessionId, repositoryId, trigger, confirmed } = input;
  const claim = yield* step(run, "claim-repository", {
    sessionId,
    repositoryId,
    type: "retention",
    trigger,
  });
  if (!claim.claimed) return { state: "skipped", reason: claim.reason ?? "it runs already" };
  const { location, counts, heldBack } = yield* step(run, "plan-maintenance", {
    sessionId,
    confirmed,
  });
  yield* log(
    run,
    "info",
    `restore points: ${counts.kept} kept, ${counts.expired} expire now, ${counts.left} with the next run`,
  );
  for (const each of heldBack) yield* log(run, "warning", `held back: ${each}`);
  if (location === null)
    return { state: "succeeded", reason: "there is nothing in the repository" };
  yield* runJob(run, { jobId: sessionId, sessionId, location });
  const done = yield* step(run, "index-maintenance", { sessionId });
  yield* log(
    run,
    "info",
    `deleted: ${done.expiredCount} restore points, ${done.deletedObjects} objects of ${done.deletedBytes} bytes; kept after all: ${done.keptCount}; marked for later: ${done.markedObjects} objects`,
  );
  for (const each of done.skipped) yield* log(run, "warning", `disk left alone: ${each}`);
  if (counts.heldBack > 0)
    return {
      state: "warning",
      reason: `${counts.heldBack} restore points are held back: too many of a VM would go at once; start maintenance with "confirm" to delete them`,
    };
  if (done.skippedCount > 0)
    return { state: "warning", reason: `${done.skippedCount} disks were left alone` };
  return { state: "succeeded" };
}
