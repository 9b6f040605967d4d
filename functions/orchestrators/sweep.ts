/**
 * Sweep: removes what a crash or a quiet hour left: grants, what broken restores made, snapshots,
 * idle, lost and unknown workers.
 */
import type { OrchestrationContext } from "durable-functions";
import { succeed, type Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import { ENTITIES } from "./names.ts";
import { askEntity, attempt, createRun, nowOf, type Run, type Steps } from "./steps.ts";
import { finishRemoval } from "./workers.ts";

export interface SweepInput {
  readonly settings: RunSettings;
}

/** Each part stands for itself: one that fails is tried again by the next sweep. */
export function* sweep(context: OrchestrationContext): Steps<Outcome<{ removedCount: number }>> {
  const { settings } = context.df.getInput<SweepInput>();
  const run = createRun(context, settings);
  // Azure deletes nothing that has a live SAS: grants go first.
  yield* attempt(run, "sweep-grants", {});
  yield* attempt(run, "sweep-restores", {});
  yield* attempt(run, "sweep-snapshots", {});
  const listed = yield* attempt(run, "list-workers", {});
  if (!listed.ok) return listed;
  let removedCount = 0;
  for (const { location, workerIds } of listed.value.regions)
    removedCount += yield* sweepRegion(run, location, workerIds);
  yield* attempt(run, "sweep-strays", {});
  return succeed({ removedCount });
}

function* sweepRegion(run: Run, location: string, recorded: readonly string[]): Steps<number> {
  const endedHolders = yield* findEndedHolders(run, location);
  const retired = yield* askEntity<string[]>(run, ENTITIES.workerPool, location, "retire", {
    now: nowOf(run),
    idleMs: run.settings.workerIdleSeconds * 1000,
    recorded,
    endedHolders,
  });
  if (!retired.ok) return 0;
  // All deletions are under way before the first is waited for.
  for (const workerId of retired.value) yield* attempt(run, "start-worker-removal", { workerId });
  for (const workerId of retired.value) yield* finishRemoval(run, location, workerId);
  return retired.value.length;
}

/** Who holds a worker or waits for one although its session is over: it was terminated. */
function* findEndedHolders(run: Run, location: string): Steps<readonly string[]> {
  const asked = yield* askEntity<string[]>(run, ENTITIES.workerPool, location, "holders", {});
  if (!asked.ok || asked.value.length === 0) return [];
  const found = yield* attempt(run, "find-ended-holders", { holders: asked.value });
  return found.ok ? found.value.ended : [];
}
