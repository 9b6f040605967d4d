/**
 * Worker pool of one region. Each worker is in one state; the table below is its whole life.
 *
 * | state       | means                                                              | leased |
 * | ----------- | ------------------------------------------------------------------ | ------ |
 * | creating    | its NIC and VM are being made for a job                            | yes    |
 * | enrolling   | its agent is being installed, its key is awaited                   | yes    |
 * | busy        | works for a job                                                    | yes    |
 * | idle        | waits for a job                                                    |        |
 * | stopping    | well and going out of service: being deallocated or deleted        |        |
 * | deallocated | its VM exists and costs its disk only                              |        |
 * | recovering  | its VM is being started again for a job                            | yes    |
 * | failed      | lost, evicted or of an unknown state: being deleted                |        |
 * | removed     | nothing of it is left; the pool forgets it                         |        |
 *
 * Invariants: never more than `max` workers; each holder (a dispatch of a job) leases at most one; a
 * lease that was not renewed expires and its worker is removed, because nobody knows what it is doing;
 * who waits longest is served first.
 */
import type { WorkerProfile } from "../model/worker-configuration.ts";

export const WORKER_STATES = [
  "creating",
  "enrolling",
  "busy",
  "idle",
  "stopping",
  "deallocated",
  "recovering",
  "failed",
  "removed",
] as const;
export type WorkerState = (typeof WORKER_STATES)[number];

export interface PoolWorker {
  readonly workerId: string;
  readonly state: WorkerState;
  readonly profile: WorkerProfile;
  readonly priority: "spot" | "regular";
  readonly holder?: string | undefined;
  /** Milliseconds since the epoch, as all times here. */
  readonly leaseExpiresAt?: number | undefined;
  /** When it became idle or deallocated. */
  readonly restingSince?: number | undefined;
  /** Of a worker that is stopping. */
  readonly goal?: "deallocate" | "delete" | undefined;
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

export const WORKER_EVENTS = [
  /** The VM is there, or runs again. */
  "made",
  "enrolled",
  "acquired",
  "released",
  /** It was idle for long enough, or is not wanted any more. */
  "retired",
  "deallocated",
  /** Its holder gave it up, or its VM is gone. */
  "discarded",
  "lease-expired",
  /** Everything of it is gone. */
  "gone",
] as const;
export type WorkerEventName = (typeof WORKER_EVENTS)[number];

/**
 * State, what happened, next state. What is not here cannot happen and is ignored (a message that came
 * twice, or too late).
 */
export const WORKER_TRANSITIONS: Readonly<
  Record<WorkerState, Partial<Readonly<Record<WorkerEventName, WorkerState>>>>
> = {
  creating: { made: "enrolling", discarded: "failed", "lease-expired": "failed" },
  enrolling: { enrolled: "busy", discarded: "failed", "lease-expired": "failed" },
  busy: { released: "idle", discarded: "failed", "lease-expired": "failed" },
  idle: { acquired: "busy", retired: "stopping", discarded: "failed" },
  stopping: { deallocated: "deallocated", discarded: "failed", gone: "removed" },
  deallocated: { acquired: "recovering", retired: "stopping", discarded: "failed" },
  recovering: { made: "enrolling", discarded: "failed", "lease-expired": "failed" },
  failed: { gone: "removed" },
  removed: {},
};

/** States in which a holder leases the worker. */
export const LEASED_STATES: ReadonlySet<WorkerState> = new Set([
  "creating",
  "enrolling",
  "busy",
  "recovering",
]);

/** The worker after the event, or `undefined` when it does not apply. */
export function applyWorkerEvent(
  worker: PoolWorker,
  event: WorkerEventName,
  details: {
    readonly now: number;
    readonly holder?: string;
    readonly leaseExpiresAt?: number;
    readonly goal?: "deallocate" | "delete";
  },
): PoolWorker | undefined {
  const state = WORKER_TRANSITIONS[worker.state][event];
  if (state === undefined) return undefined;
  const { workerId, profile, priority } = worker;
  const after = { workerId, profile, priority, state };
  if (LEASED_STATES.has(state))
    return {
      ...after,
      holder: details.holder ?? worker.holder,
      leaseExpiresAt: details.leaseExpiresAt ?? worker.leaseExpiresAt,
    };
  if (state === "idle" || state === "deallocated") return { ...after, restingSince: details.now };
  if (state === "stopping") return { ...after, goal: details.goal ?? "delete" };
  return after;
}
