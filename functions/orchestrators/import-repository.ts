/** Rebuilds the index of a repository from its manifests; one import at a time per repository. */
import type { OrchestrationContext } from "durable-functions";
import type { Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { closing, runJob, type Ending } from "./session-run.ts";
import { createRun, log, step, until, type Run, type Steps } from "./steps.ts";

export interface ImportRepositoryInput {
  readonly sessionId: string;
  readonly repositoryId: string;
  readonly trigger: "schedule" | "manual";
  /** Region of the workers; the repository's when missing. */
  readonly location?: string | undefined;
  readonly settings: RunSettings;
}

/** Pages that were sent before the job's end may lie in the queue so long. */
const PAGES_SECONDS_MAX = 1800;

export function* importRepository(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const input = context.df.getInput<ImportRepositoryInput>();
  const run = createRun(context, input.settings, input.sessionId);
  return yield* closing(run, input.sessionId, () => runImport(run, input));
}

function* runImport(run: Run, input: ImportRepositoryInput): Steps<Ending> {
  const { sessionId, repositoryId, trigger } = input;
  const claim = yield* step(run, "claim-repository", {
    sessionId,
    repositoryId,
    type: "import",
    trigger,
  });
  if (!claim.claimed) return { state: "skipped", reason: claim.reason ?? "it runs already" };
  const { location } = yield* step(run, "plan-import", {
    sessionId,
    ...(input.location === undefined ? {} : { location: input.location }),
  });
  yield* log(run, "info", `reading the manifests in ${location}`);
  yield* runJob(run, { jobId: sessionId, sessionId, location });
  yield* until(run, "read-import", { sessionId }, PAGES_SECONDS_MAX);
  const done = yield* step(run, "index-import", { sessionId });
  yield* log(
    run,
    "info",
    `the index has all ${done.pointCount} restore points and ${done.archiveCount} archives`,
  );
  for (const name of done.unreadable) yield* log(run, "warning", `${name} cannot be read`);
  for (const id of done.conflicting)
    yield* log(run, "warning", `${id} is known in another repository and stays there`);
  if (done.unreadableCount + done.conflictCount === 0) return { state: "succeeded" };
  const reason = `${done.unreadableCount} manifests cannot be read; ${done.conflictCount} are known in another repository`;
  return { state: "warning", reason };
}
