import {
  applyWorkerEvent,
  FINISHED_HOLDERS_MAX,
  type PoolState,
  type PoolWorker,
  type WorkerEventName,
} from "./pool-state.ts";

/** Requests to the pool; `pool-state.ts` defines its nouns and invariants. All are safe to repeat. */
export interface AcquireRequest {
  readonly holder: string;
  /** Id of the worker to launch if it comes to that. */
  readonly candidateWorkerId: string;
  readonly now: number;
  readonly max: number;
  readonly leaseMs: number;
  /** A waiter that has not asked again for so long is forgotten. */
  readonly waiterMs: number;
}

export type AcquireAnswer =
  | { readonly kind: "reuse"; readonly workerId: string }
  | { readonly kind: "launch"; readonly workerId: string }
  | { readonly kind: "wait"; readonly ahead: number }
  /** The holder is done, or its session is over: it gets nothing any more. */
  | { readonly kind: "over" };

export interface PoolStep<Answer> {
  readonly state: PoolState;
  readonly answer: Answer;
}

/** Reuses an idle worker, launches one below the maximum, or waits behind those who came earlier. */
export function acquire(before: PoolState, request: AcquireRequest): PoolStep<AcquireAnswer> {
  const state = expireLeases(before, request.now);
  const held = state.workers.find((worker) => worker.holder === request.holder);
  if (held !== undefined) {
    const kind = held.state === "launching" ? "launch" : "reuse";
    const workers = state.workers.map((worker) =>
      worker === held ? { ...held, leaseExpiresAt: request.now + request.leaseMs } : worker,
    );
    return { state: { ...state, workers }, answer: { kind, workerId: held.workerId } };
  }
  if (state.finished.includes(request.holder)) return { state, answer: { kind: "over" } };

  const waiting = state.waiting.filter((waiter) => waiter.holder !== request.holder);
  const place = state.waiting.findIndex((waiter) => waiter.holder === request.holder);
  const ahead = place < 0 ? waiting.length : place;
  const idle = state.workers.find((worker) => worker.state === "idle");
  const idleCount = state.workers.filter((worker) => worker.state === "idle").length;
  const room = Math.max(0, request.max - state.workers.length);
  if (ahead >= idleCount + room || isKnown(state, request.candidateWorkerId, idle))
    return { state: keepWaiting(state, request), answer: { kind: "wait", ahead } };

  const lease = { holder: request.holder, leaseExpiresAt: request.now + request.leaseMs };
  if (idle !== undefined) {
    const busy = applyWorkerEvent(idle, "acquired", { now: request.now, ...lease }) ?? idle;
    const workers = state.workers.map((worker) => (worker === idle ? busy : worker));
    const answer = { kind: "reuse", workerId: idle.workerId } as const;
    return { state: { ...state, waiting, workers }, answer };
  }
  const launching: PoolWorker = {
    workerId: request.candidateWorkerId,
    state: "launching",
    ...lease,
  };
  return {
    state: { ...state, waiting, workers: [...state.workers, launching] },
    answer: { kind: "launch", workerId: request.candidateWorkerId },
  };
}

/** The candidate's id is taken (its holder lost the lease): it must not be launched a second time. */
function isKnown(state: PoolState, workerId: string, idle: PoolWorker | undefined): boolean {
  return idle === undefined && state.workers.some((worker) => worker.workerId === workerId);
}

function keepWaiting(state: PoolState, request: AcquireRequest): PoolState {
  const mine = { holder: request.holder, expiresAt: request.now + request.waiterMs };
  const known = state.waiting.some((waiter) => waiter.holder === request.holder);
  const waiting = known
    ? state.waiting.map((waiter) => (waiter.holder === request.holder ? mine : waiter))
    : [...state.waiting, mine];
  return { ...state, waiting };
}

/** Expired leases end their workers, silent waiters lose their place. */
export function expireLeases(state: PoolState, now: number): PoolState {
  return {
    ...state,
    workers: state.workers.map((worker) =>
      worker.leaseExpiresAt !== undefined && worker.leaseExpiresAt <= now
        ? (applyWorkerEvent(worker, "lease-expired", { now }) ?? worker)
        : worker,
    ),
    waiting: state.waiting.filter((waiter) => waiter.expiresAt > now),
  };
}

export interface HolderRequest {
  readonly holder: string;
  readonly now: number;
}

/** The launch is done, or the work goes on: the lease starts anew. Answers whether it is still held. */
export function renew(
  before: PoolState,
  request: HolderRequest & { readonly leaseMs: number },
): PoolStep<boolean> {
  const state = expireLeases(before, request.now);
  let held = false;
  const workers = state.workers.map((worker) => {
    if (worker.holder !== request.holder) return worker;
    held = true;
    const leaseExpiresAt = request.now + request.leaseMs;
    const details = { now: request.now, leaseExpiresAt };
    return applyWorkerEvent(worker, "launched", details) ?? { ...worker, leaseExpiresAt };
  });
  return { state: { ...state, workers }, answer: held };
}

/** The holder is done and the worker is well: it becomes idle. */
export function release(state: PoolState, request: HolderRequest): PoolState {
  return finish(state, request, "released");
}

/** The holder is done and the worker is not to be used again. */
export function discard(state: PoolState, request: HolderRequest): PoolState {
  return finish(state, request, "discarded");
}

function finish(
  before: PoolState,
  request: HolderRequest,
  event: Extract<WorkerEventName, "released" | "discarded">,
): PoolState {
  const state = expireLeases(before, request.now);
  return {
    workers: state.workers.map((worker) => {
      if (worker.holder !== request.holder) return worker;
      // A worker whose launch was never confirmed cannot become idle.
      return (
        applyWorkerEvent(worker, event, request) ??
        applyWorkerEvent(worker, "discarded", request) ??
        worker
      );
    }),
    waiting: state.waiting.filter((waiter) => waiter.holder !== request.holder),
    finished: [
      ...state.finished.filter((holder) => holder !== request.holder),
      request.holder,
    ].slice(-FINISHED_HOLDERS_MAX),
  };
}

export interface RetireRequest {
  readonly now: number;
  readonly idleMs: number;
  /** Workers that have a record. */
  readonly recorded: readonly string[];
  /** Holders whose session is over: nobody else will give their workers back. */
  readonly endedHolders: readonly string[];
}

/** All who hold a worker or wait for one. */
export function holdersOf(state: PoolState): readonly string[] {
  const holding = state.workers.flatMap((worker) => worker.holder ?? []);
  return [...holding, ...state.waiting.map((waiter) => waiter.holder)];
}

/**
 * Takes out of service the workers that have been idle for too long and those of ended holders (they
 * may still be at work, so they never become idle). Answers all that are to be removed: those, the
 * ones being removed, and recorded ones that the pool does not know.
 */
export function retire(before: PoolState, request: RetireRequest): PoolStep<readonly string[]> {
  const { now } = request;
  const expired = request.endedHolders.reduce(
    (state, holder) => discard(state, { holder, now }),
    expireLeases(before, now),
  );
  const workers = expired.workers.map((worker) =>
    worker.idleSince !== undefined && worker.idleSince + request.idleMs <= request.now
      ? (applyWorkerEvent(worker, "retired", { now: request.now }) ?? worker)
      : worker,
  );
  const known = new Set(workers.map((worker) => worker.workerId));
  const answer = [
    ...workers.filter((worker) => worker.state === "removing").map((worker) => worker.workerId),
    ...request.recorded.filter((workerId) => !known.has(workerId)),
  ];
  return { state: { ...expired, workers }, answer };
}

/** Everything of the worker is gone. */
export function forget(state: PoolState, workerId: string): PoolState {
  return {
    ...state,
    workers: state.workers.filter(
      (worker) => worker.workerId !== workerId || worker.state !== "removing",
    ),
  };
}
