/**
 * Sweep: removes what a crash or a quiet hour left: grants, what broken restores made, snapshots,
 * idle, lost and unknown workers.
 */
import type { OrchestrationContext } from "durable-functions";
import { succeed, type Outcome } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import type { RetireAnswer } from "#core/workers/retire-workers.ts";
import type { RegionWorkers } from "../activities/activity-contract.ts";
import { ENTITIES } from "./names.ts";
import { askEntity, attempt, createRun, nowOf, type Run, type Steps } from "./steps.ts";
import { sweepDiskAccesses } from "./sweep-disk-accesses.ts";
import { finishDeallocation, finishRemoval } from "./workers.ts";

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
  yield* sweepDiskAccesses(run);
  const listed = yield* attempt(run, "list-workers", {});
  if (!listed.ok) return listed;
  let removedCount = 0;
  for (const region of listed.value.regions) removedCount += yield* sweepRegion(run, region);
  yield* attempt(run, "sweep-strays", {});
  return succeed({ removedCount });
}

/** Answers how many workers were removed. */
function* sweepRegion(run: Run, region: RegionWorkers): Steps<number> {
  const { location, workerIds, lost, minimum, idleSeconds, idleAction } = region;
  const endedHolders = yield* findEndedHolders(run, location);
  const retired = yield* askEntity<RetireAnswer>(run, ENTITIES.workerPool, location, "retire", {
    now: nowOf(run),
    idleMs: idleSeconds * 1000,
    idleAction,
    minimum,
    recorded: workerIds,
    lost,
    endedHolders,
  });
  if (!retired.ok) return 0;
  const { remove, deallocate } = retired.value;
  // All of it is under way before the first is waited for.
  for (const { workerId, state } of remove)
    yield* attempt(run, "start-worker-removal", { workerId, state });
  for (const workerId of deallocate) yield* attempt(run, "start-worker-deallocation", { workerId });
  for (const { workerId } of remove) yield* finishRemoval(run, location, workerId);
  for (const workerId of deallocate) yield* finishDeallocation(run, location, workerId);
  return remove.length;
}

/** Who holds a worker or waits for one although its session is over: it was terminated. */
function* findEndedHolders(run: Run, location: string): Steps<readonly string[]> {
  const asked = yield* askEntity<string[]>(run, ENTITIES.workerPool, location, "holders", {});
  if (!asked.ok || asked.value.length === 0) return [];
  const found = yield* attempt(run, "find-ended-holders", { holders: asked.value });
  return found.ok ? found.value.ended : [];
}
