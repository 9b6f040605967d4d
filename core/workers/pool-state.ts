/**
 * Worker pool of one region. A worker is `launching`, `busy` (both leased by a holder, the job that
 * it works for), `idle`, or `removing`. Invariants: never more than `max` workers; each holder leases
 * at most one; a lease that was not renewed expires and its worker is removed, because nobody knows
 * what it is doing; who waits longest is served first.
 */
export type PoolWorkerState = "launching" | "idle" | "busy" | "removing";

export interface PoolWorker {
  readonly workerId: string;
  readonly state: PoolWorkerState;
  readonly holder?: string | undefined;
  /** Milliseconds since the epoch, as all times here. */
  readonly leaseExpiresAt?: number | undefined;
  readonly idleSince?: number | undefined;
}

export interface Waiter {
  readonly holder: string;
  readonly expiresAt: number;
}

export interface PoolState {
  readonly workers: readonly PoolWorker[];
  readonly waiting: readonly Waiter[];
  /** Holders that are done: a late duplicate of their request gets nothing. */
  readonly finished: readonly string[];
}

export const EMPTY_POOL: PoolState = { workers: [], waiting: [], finished: [] };

/** The latest holders that are remembered as done: more than one region ever has at once. */
export const FINISHED_HOLDERS_MAX = 200;

export type WorkerEventName =
  "launched" | "released" | "acquired" | "discarded" | "lease-expired" | "retired";

/**
 * The whole life of a worker: state, what happened, next state. What is not here cannot happen and
 * is ignored (a message that came twice, or too late). `removed` takes a worker out of the pool.
 */
export const POOL_TRANSITIONS: Readonly<
  Record<PoolWorkerState, Partial<Readonly<Record<WorkerEventName, PoolWorkerState>>>>
> = {
  launching: { launched: "busy", discarded: "removing", "lease-expired": "removing" },
  busy: { released: "idle", discarded: "removing", "lease-expired": "removing" },
  idle: { acquired: "busy", discarded: "removing", retired: "removing" },
  removing: {},
};

/** The worker after the event, or `undefined` when it does not apply. */
export function applyWorkerEvent(
  worker: PoolWorker,
  event: WorkerEventName,
  details: { readonly now: number; readonly holder?: string; readonly leaseExpiresAt?: number },
): PoolWorker | undefined {
  const state = POOL_TRANSITIONS[worker.state][event];
  if (state === undefined) return undefined;
  const { workerId } = worker;
  switch (state) {
    case "idle":
      return { workerId, state, idleSince: details.now };
    case "busy":
    case "launching":
      return {
        workerId,
        state,
        holder: details.holder ?? worker.holder,
        leaseExpiresAt: details.leaseExpiresAt ?? worker.leaseExpiresAt,
      };
    case "removing":
      return { workerId, state };
  }
}
