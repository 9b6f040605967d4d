/**
 * The sweep's part for disk accesses: slots of jobs that are over are given back, and disk accesses
 * that nothing needed for long are removed with their endpoints.
 */
import type { DiskPool } from "#core/network/plan-disk-accesses.ts";
import { ask } from "./disk-slots.ts";
import { attempt, type Run, type Steps } from "./steps.ts";

/** After the grants were swept: a slot is free only when its access is revoked. */
export function* sweepDiskAccesses(run: Run): Steps<void> {
  const listed = yield* attempt(run, "list-disk-pools", {});
  if (!listed.ok) return;
  for (const pool of listed.value.pools) {
    yield* releaseEndedHolders(run, pool);
    yield* removeUnused(run, pool);
  }
}

function* releaseEndedHolders(run: Run, pool: DiskPool): Steps<void> {
  const asked = yield* ask<string[]>(run, pool, "holders", {});
  if (!asked.ok || asked.value.length === 0) return;
  const found = yield* attempt(run, "find-ended-slot-holders", { holders: asked.value });
  if (!found.ok) return;
  for (const holder of found.value.ended) yield* ask(run, pool, "leave", { holder });
}

/** One step for each in every sweep; the pool gives nobody a slot on them meanwhile. */
function* removeUnused(run: Run, { location, subscriptionId }: DiskPool): Steps<void> {
  const pool = { location, subscriptionId };
  const found = yield* attempt(run, "find-unused-disk-accesses", pool);
  if (!found.ok) return;
  const going = yield* ask<string[]>(run, pool, "retire", { names: [...found.value.names] });
  if (!going.ok || going.value.length === 0) return;
  const removed = yield* attempt(run, "remove-disk-accesses", { ...pool, names: going.value });
  if (removed.ok && removed.value.done.length > 0)
    yield* ask(run, pool, "forget", { names: [...removed.value.done] });
}
