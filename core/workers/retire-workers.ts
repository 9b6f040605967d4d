import { applyTo, discard, expireLeases, type PoolStep } from "./pool.ts";
import type { PoolState, PoolWorker } from "./pool-state.ts";

export interface RetireRequest {
  readonly now: number;
  readonly idleMs: number;
  readonly idleAction: "delete" | "deallocate";
  /** Workers that stay when they are idle. */
  readonly minimum: number;
  /** Workers that have a record. */
  readonly recorded: readonly string[];
  /** Resting workers whose VM is not what it should be, e.g. evicted. */
  readonly lost: readonly string[];
  /** Holders whose session is over: nobody else will give their workers back. */
  readonly endedHolders: readonly string[];
}

export interface RetireAnswer {
  readonly remove: readonly {
    readonly workerId: string;
    readonly state: "stopping" | "failed";
  }[];
  readonly deallocate: readonly string[];
}

/**
 * A deallocated worker costs its disk and gets no updates: after a week without work a new one is
 * better.
 */
export const DEALLOCATED_MS_MAX = 7 * 24 * 3600 * 1000;

/**
 * Takes out of service the workers that have been idle for too long, down to the minimum, those that
 * are lost, and those of ended holders (they may still be at work, so they never become idle). Answers
 * all that are to be deallocated, and all that are to be removed: with them those that an earlier
 * sweep did not get rid of, and recorded ones that the pool does not know.
 */
export function retire(before: PoolState, request: RetireRequest): PoolStep<RetireAnswer> {
  const { now } = request;
  let state = request.endedHolders.reduce(
    (each, holder) => discard(each, { holder, now }),
    expireLeases(before, now),
  );
  for (const { workerId, state: its } of state.workers) {
    const isResting = its === "idle" || its === "deallocated";
    if (isResting && request.lost.includes(workerId))
      state = applyTo(state, workerId, "discarded", { now });
  }
  for (const worker of longestRestingFirst(state)) {
    if (!isDue(worker, request)) continue;
    const isDeallocated = worker.state === "deallocated";
    if (!isDeallocated && countWell(state) <= request.minimum) continue;
    const goal = isDeallocated ? "delete" : request.idleAction;
    state = applyTo(state, worker.workerId, "retired", { now, goal });
  }
  const known = new Set(state.workers.map((worker) => worker.workerId));
  const remove: RetireAnswer["remove"] = [
    ...state.workers.flatMap(({ workerId, state: its, goal }): RetireAnswer["remove"] => {
      if (its === "failed") return [{ workerId, state: its }];
      return its === "stopping" && goal === "delete" ? [{ workerId, state: its }] : [];
    }),
    ...request.recorded
      .filter((workerId) => !known.has(workerId))
      .map((workerId) => ({ workerId, state: "failed" as const })),
  ];
  const deallocate = state.workers
    .filter((worker) => worker.goal === "deallocate")
    .map((worker) => worker.workerId);
  return { state, answer: { remove, deallocate } };
}

function longestRestingFirst({ workers }: PoolState): readonly PoolWorker[] {
  return workers
    .filter((worker) => worker.restingSince !== undefined)
    .toSorted((left, right) => (left.restingSince ?? 0) - (right.restingSince ?? 0));
}

function isDue({ state, restingSince = 0 }: PoolWorker, request: RetireRequest): boolean {
  const restedMs = request.now - restingSince;
  if (state === "idle") return restedMs >= request.idleMs;
  // The operator wants no deallocated workers any more, or it was not needed for long.
  return request.idleAction === "delete" || restedMs >= DEALLOCATED_MS_MAX;
}

/** Workers that can take a job at once, or have one. */
function countWell({ workers }: PoolState): number {
  const isWell = ({ state }: PoolWorker): boolean => state === "idle" || state === "busy";
  return workers.filter(isWell).length;
}
