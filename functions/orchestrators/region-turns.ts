/** How sessions that begin at once in one region let one of them change its network for all. */
import { ENTITIES } from "./names.ts";
import { askEntity, log, nowOf, pauseSeconds, wait, type Run, type Steps } from "./steps.ts";

/** Far longer than a round of changes; a session that died holds the others up for so long at most. */
const LEASE_SECONDS = 300;
/** Of the time that a region may take: whoever waited for a dead session still has the rest. */
const LEASE_PARTS = 3;
/** Longest pause of whoever waits, in poll intervals. */
const PAUSE_POLLS = 3;

/**
 * Takes the turn or renews it; answers whether it is this session's. An entity that does not answer
 * stops nobody: changes can be repeated.
 */
export function* takeTurn(run: Run, location: string): Steps<boolean> {
  const seconds = Math.min(LEASE_SECONDS, run.settings.regionSeconds / LEASE_PARTS);
  const taken = yield* askEntity<{ readonly isOurs: boolean }>(
    run,
    ENTITIES.regionTurn,
    location,
    "take",
    { holder: run.context.df.instanceId, now: nowOf(run), leaseMs: Math.ceil(seconds * 1000) },
  );
  return !taken.ok || taken.value.isOurs;
}

/** A message that fails costs the others the rest of the lease. */
export function* leaveTurn(run: Run, location: string): Steps<void> {
  const input = { holder: run.context.df.instanceId };
  yield* askEntity(run, ENTITIES.regionTurn, location, "leave", input);
}

/** Until nobody has the turn, or the time is over. All who waited plan at once then, and rarely lack anything. */
export function* awaitTurn(run: Run, location: string, deadline: number): Steps<void> {
  yield* log(run, "info", `region ${location}: another session makes what is missing`);
  const longest = PAUSE_POLLS * run.settings.pollSeconds;
  for (let polls = 0; nowOf(run) < deadline; polls++) {
    yield* wait(run, Math.min(pauseSeconds(run.settings, polls), longest));
    const input = { now: nowOf(run) };
    const looked = yield* askEntity<{ readonly isFree: boolean }>(
      run,
      ENTITIES.regionTurn,
      location,
      "look",
      input,
    );
    if (!looked.ok || looked.value.isFree) return;
  }
}
