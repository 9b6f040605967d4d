import { WORKER_PROFILES, type WorkerProfile } from "../model/worker-configuration.ts";
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
  readonly profile: WorkerProfile;
  /** Of the worker that would be launched. */
  readonly priority: PoolWorker["priority"];
  /** No spot worker will do. */
  readonly mustBeRegular: boolean;
  readonly now: number;
  readonly max: number;
  readonly leaseMs: number;
  /** A waiter that has not asked again for so long is forgotten. */
  readonly waiterMs: number;
}

export type AcquireAnswer =
  /** `recover`: its VM is deallocated and must be started. */
  | { readonly kind: "reuse" | "recover" | "launch"; readonly workerId: string }
  | { readonly kind: "wait"; readonly ahead: number }
  /** The holder is done, or its session is over: it gets nothing any more. */
  | { readonly kind: "over" };

export interface PoolStep<Answer> {
  readonly state: PoolState;
  readonly answer: Answer;
}

/**
 * Gives an idle worker, one that is deallocated, or a new one below the maximum; else lets wait behind
 * those who came earlier. A worker of another profile is better than waiting: it is slower or dearer,
 * never wrong.
 */
export function acquire(before: PoolState, request: AcquireRequest): PoolStep<AcquireAnswer> {
  const state = expireLeases(before, request.now);
  const held = state.workers.find((worker) => worker.holder === request.holder);
  if (held !== undefined) return repeatAnswer(state, held, request);
  if (state.finished.includes(request.holder)) return { state, answer: { kind: "over" } };

  const waiting = state.waiting.filter((waiter) => waiter.holder !== request.holder);
  const place = state.waiting.findIndex((waiter) => waiter.holder === request.holder);
  const ahead = place < 0 ? waiting.length : place;
  const resting = state.workers.filter((worker) => isEligible(worker, request));
  const room = Math.max(0, request.max - state.workers.length);
  if (ahead >= resting.length + room) {
    const kept = keepWaiting(room === 0 ? makeRoom(state, request) : state, request);
    return { state: kept, answer: { kind: "wait", ahead } };
  }
  const chosen = chooseResting(resting, request.profile, room > 0);
  const lease = { holder: request.holder, leaseExpiresAt: request.now + request.leaseMs };
  if (chosen !== undefined) {
    const kind = chosen.state === "idle" ? "reuse" : "recover";
    const taken = applyWorkerEvent(chosen, "acquired", { now: request.now, ...lease }) ?? chosen;
    const workers = state.workers.map((worker) => (worker === chosen ? taken : worker));
    return { state: { ...state, waiting, workers }, answer: { kind, workerId: chosen.workerId } };
  }
  const { candidateWorkerId: workerId, profile, priority } = request;
  // The candidate's id is taken (its holder lost the lease): it must not be launched a second time.
  if (state.workers.some((worker) => worker.workerId === workerId))
    return { state: keepWaiting(state, request), answer: { kind: "wait", ahead } };
  const creating: PoolWorker = { workerId, state: "creating", profile, priority, ...lease };
  return {
    state: { ...state, waiting, workers: [...state.workers, creating] },
    answer: { kind: "launch", workerId },
  };
}

/** The holder asks again for what it has: its request or the answer came twice. */
function repeatAnswer(
  state: PoolState,
  held: PoolWorker,
  { now, leaseMs }: AcquireRequest,
): PoolStep<AcquireAnswer> {
  const workers = state.workers.map((worker) =>
    worker === held ? { ...held, leaseExpiresAt: now + leaseMs } : worker,
  );
  const kind = { busy: "reuse", recovering: "recover" } as const;
  const answer = held.state === "busy" || held.state === "recovering" ? kind[held.state] : "launch";
  return { state: { ...state, workers }, answer: { kind: answer, workerId: held.workerId } };
}

function isEligible(worker: PoolWorker, request: AcquireRequest): boolean {
  if (worker.state !== "idle" && worker.state !== "deallocated") return false;
  return !request.mustBeRegular || worker.priority === "regular";
}

/** Preference among workers that rest; `undefined` when a new one is better than any of them. */
function chooseResting(
  resting: readonly PoolWorker[],
  profile: WorkerProfile,
  hasRoom: boolean,
): PoolWorker | undefined {
  const rank = ({ state, profile: own }: PoolWorker): number => {
    const wanted = WORKER_PROFILES.indexOf(profile);
    const isEnough = WORKER_PROFILES.indexOf(own) >= wanted;
    if (own === profile) return state === "idle" ? 0 : 2;
    if (isEnough) return state === "idle" ? 1 : 3;
    return state === "idle" ? 4 : 5;
  };
  const [best] = resting.toSorted((left, right) => rank(left) - rank(right));
  const isWorse = best !== undefined && rank(best) >= 4;
  return hasRoom && isWorse ? undefined : best;
}

/**
 * The pool is full and none of its resting workers will do: one of them goes, so that the wait has an
 * end. One at a time: while something is going already, nothing else has to.
 */
function makeRoom(state: PoolState, { now, mustBeRegular }: AcquireRequest): PoolState {
  if (!mustBeRegular) return state;
  if (state.workers.some(({ state: its }) => its === "stopping" || its === "failed")) return state;
  const spare = state.workers.find(({ state: its }) => its === "idle" || its === "deallocated");
  if (spare?.priority !== "spot") return state;
  return applyTo(state, spare.workerId, "retired", { now, goal: "delete" });
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

export interface AdvanceRequest extends HolderRequest {
  readonly leaseMs: number;
  readonly event?: "made" | "enrolled" | undefined;
  /** What the VM became in the end. */
  readonly priority?: PoolWorker["priority"] | undefined;
}

/** The launch got on, or the work goes on: the lease starts anew. Answers whether it is still held. */
export function advance(before: PoolState, request: AdvanceRequest): PoolStep<boolean> {
  const state = expireLeases(before, request.now);
  let held = false;
  const workers = state.workers.map((worker) => {
    if (worker.holder !== request.holder) return worker;
    held = true;
    const details = { now: request.now, leaseExpiresAt: request.now + request.leaseMs };
    const { event, priority = worker.priority } = request;
    const moved = event === undefined ? undefined : applyWorkerEvent(worker, event, details);
    return { ...(moved ?? worker), leaseExpiresAt: details.leaseExpiresAt, priority };
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

/** All who hold a worker or wait for one. */
export function holdersOf(state: PoolState): readonly string[] {
  const holding = state.workers.flatMap((worker) => worker.holder ?? []);
  return [...holding, ...state.waiting.map((waiter) => waiter.holder)];
}

/** The VM is deallocated: only of a worker that was stopping for that. */
export function markDeallocated(state: PoolState, workerId: string, now: number): PoolState {
  const worker = state.workers.find((each) => each.workerId === workerId);
  return worker?.goal === "deallocate" ? applyTo(state, workerId, "deallocated", { now }) : state;
}

/** Everything of the worker is gone; a worker in service is not forgotten. */
export function forget(state: PoolState, workerId: string): PoolState {
  const after = applyTo(state, workerId, "gone", { now: 0 });
  return { ...after, workers: after.workers.filter((worker) => worker.state !== "removed") };
}

/** The state with one event for one worker; unchanged when it does not apply. */
export function applyTo(
  state: PoolState,
  workerId: string,
  event: WorkerEventName,
  details: { readonly now: number; readonly goal?: "deallocate" | "delete" },
): PoolState {
  return {
    ...state,
    workers: state.workers.map((worker) =>
      worker.workerId === workerId ? (applyWorkerEvent(worker, event, details) ?? worker) : worker,
    ),
  };
}
