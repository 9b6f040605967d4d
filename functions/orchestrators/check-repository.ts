/** Verifies a repository's content on a worker; one check at a time per repository. */
import type { OrchestrationContext } from "durable-functions";
import type { Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { closing, runJob, type Ending } from "./session-run.ts";
import { createRun, log, step, until, type Run, type Steps } from "./steps.ts";

export interface CheckRepositoryInput {
  readonly sessionId: string;
  readonly repositoryId: string;
  readonly trigger: "schedule" | "manual";
  readonly policyId?: string | undefined;
  readonly level: "presence" | "metadata" | "sample" | "complete";
  /** All VMs when missing. */
  readonly vmIds?: string[] | undefined;
  readonly settings: RunSettings;
}

/** Pages that were sent before the job's end may lie in the queue so long. */
const PAGES_SECONDS_MAX = 1800;

export function* checkRepository(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const input = context.df.getInput<CheckRepositoryInput>();
  const run = createRun(context, input.settings, input.sessionId);
  return yield* closing(run, input.sessionId, () => check(run, input));
}

function* check(run: Run, input: CheckRepositoryInput): Steps<Ending> {
  const { sessionId, repositoryId, trigger, level, policyId, vmIds } = input;
  const claim = yield* step(run, "claim-repository", {
    sessionId,
    repositoryId,
    type: "health-check",
    trigger,
    checkLevel: level,
    ...(policyId === undefined ? {} : { policyId }),
  });
  if (!claim.claimed) return { state: "skipped", reason: claim.reason ?? "it runs already" };
  const ofVms = vmIds === undefined ? {} : { vmIds };
  const { location } = yield* step(run, "plan-check", { sessionId, level, ...ofVms });
  yield* log(run, "info", `checking with level ${level} in ${location}`);
  yield* runJob(run, { jobId: sessionId, sessionId, location });
  yield* until(run, "read-check", { sessionId }, PAGES_SECONDS_MAX);
  const found = yield* step(run, "index-check", { sessionId });
  const { findingCount, damagedCount, checkedObjects, verifiedBlocks } = found;
  yield* log(run, "info", `checked ${checkedObjects} objects and ${verifiedBlocks} blocks`);
  for (const message of found.findings) yield* log(run, "warning", message);
  if (findingCount === 0) return { state: "succeeded" };
  const reason = `${findingCount} findings; ${damagedCount} restore points cannot be restored completely`;
  return { state: "warning", reason };
}
