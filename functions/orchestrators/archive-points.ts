/**
 * Archives: one restore point, on demand; or, by a policy's schedule, the newest of each of its VMs,
 * one after the other, because nobody waits for them and workers are few.
 */
import type { OrchestrationContext } from "durable-functions";
import type { Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import { archiveSessionId } from "#core/model/session.ts";
import type { SessionEnd } from "./backup-vm.ts";
import { ORCHESTRATORS, SESSION_OVER } from "./names.ts";
import { closing, runJob, type Ending } from "./session-run.ts";
import { attempt, callChild, createRun, log, step, type Run, type Steps } from "./steps.ts";

export interface ArchivePointInput {
  readonly sessionId: string;
  readonly archiveId: string;
  readonly restorePointId: string;
  readonly repositoryId: string;
  readonly vmId: string;
  readonly vmName: string;
  readonly retentionDays: number;
  readonly trigger: "schedule" | "manual";
  readonly policyId?: string | undefined;
  readonly parentSessionId?: string | undefined;
  readonly settings: RunSettings;
}

export function* archivePoint(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const { settings, ...input } = context.df.getInput<ArchivePointInput>();
  const { sessionId } = input;
  const run = createRun(context, settings, sessionId);
  return yield* closing(run, sessionId, function* (): Steps<Ending> {
    yield* step(run, "claim-archive", input);
    const { location } = yield* step(run, "plan-archive", { sessionId });
    yield* log(run, "info", `archiving restore point ${input.restorePointId} in ${location}`);
    yield* runJob(run, { jobId: sessionId, sessionId, location });
    const done = yield* step(run, "index-archive", { sessionId });
    yield* log(
      run,
      "info",
      `archive ${done.archiveId} is complete: ${done.objectCount} objects of ${done.storedBytes} bytes`,
    );
    return { state: "succeeded" };
  });
}

export interface ArchiveRunInput {
  readonly sessionId: string;
  readonly policyId: string;
  readonly settings: RunSettings;
}

export function* archiveRun(context: OrchestrationContext): Steps<Outcome<SessionEnd>> {
  const input = context.df.getInput<ArchiveRunInput>();
  const run = createRun(context, input.settings, input.sessionId);
  return yield* closing(run, input.sessionId, () => archiveAll(run, input));
}

function* archiveAll(run: Run, input: ArchiveRunInput): Steps<Ending> {
  const { sessionId, policyId, settings } = input;
  const { count, retentionDays } = yield* step(run, "choose-archives", { sessionId, policyId });
  yield* log(run, "info", `${count} restore points are to be archived`);
  let failed = 0;
  for (let index = 0; index < count; index++) {
    const target = yield* attempt(run, "read-archive-target", { sessionId, index });
    // The run was terminated: it starts nothing more.
    if (!target.ok && target.error.code === SESSION_OVER) break;
    if (!target.ok) {
      failed++;
      continue;
    }
    const childId = archiveSessionId(target.value.archiveId);
    const child: ArchivePointInput = {
      ...target.value,
      sessionId: childId,
      retentionDays,
      trigger: "schedule",
      policyId,
      parentSessionId: sessionId,
      settings,
    };
    const ended = yield* callChild<SessionEnd>(run, ORCHESTRATORS.archivePoint, child, childId);
    if (!ended.ok || ended.value.state !== "succeeded") failed++;
  }
  if (failed === 0) return { state: "succeeded" };
  const state = failed === count ? "failed" : "warning";
  return { state, reason: `of ${count} restore points ${failed} were not archived` };
}
