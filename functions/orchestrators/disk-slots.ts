/**
 * How a job comes by the disk accesses that it reads or writes through, and by slots of them. The
 * order is always the same, worker first and slots then, so that no two jobs wait for each other.
 */
import { fail, succeed, type Outcome } from "#core/model/outcome.ts";
import { diskPoolKeyOf, type DiskPool } from "#core/network/plan-disk-accesses.ts";
import type { AnnounceAnswer, Seat, TakeAnswer } from "#core/network/disk-slots.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import { ENTITIES, SESSION_OVER } from "./names.ts";
import { askEntity, log, must, nowOf, pauseSeconds, step, until, wait } from "./steps.ts";
import type { Run, Steps } from "./steps.ts";
import { revokeGrants } from "./workers.ts";

/** What a job has of a pool of disk accesses. */
export interface DiskPoolUse extends DiskPool {
  /** Slots that the job needs at most. */
  readonly slots: number;
  /** Jobs that run at the same time in the region. */
  readonly jobsMax: number;
}

const PLACE_SECONDS_MAX = 600;
/** Announcements and seats outlive a restart of the host; both are renewed by those who are at work. */
const LEASE_SECONDS = 12 * 3600;
/** A waiter asks at least every minute. */
const WAITER_SECONDS = 600;

/**
 * Announces the job and waits until the pool has what is needed; names of what can be used.
 * `onAnnounce` comes before the announcement, which must be taken back in every ending.
 */
export function* ensureDiskAccesses(
  run: Run,
  jobId: string,
  onAnnounce: (pool: DiskPool) => unknown,
): Steps<DiskPoolUse & { readonly accesses: readonly string[] }> {
  const pool = yield* step(run, "read-disk-pool", { jobId });
  onAnnounce(pool);
  const { regionSeconds } = run.settings;
  const deadline = nowOf(run) + regionSeconds * 1000;
  for (let polls = 0; ; polls++) {
    const plan = yield* growPool(run, pool, { holder: jobId });
    if (polls === 0 && plan.bounded !== undefined)
      yield* log(run, "warning", `region ${pool.location}: ${plan.bounded}`);
    if (plan.ready) return { ...pool, accesses: plan.accesses };
    if (nowOf(run) >= deadline)
      throw new HoldfastError(
        "TimedOut",
        `Waited ${regionSeconds} s in vain for ${plan.waitingFor ?? "disk accesses"}.`,
        { retry: "backoff" },
      );
    yield* wait(run, pauseSeconds(run.settings, polls));
  }
}

/** Who announces, waits and holds. */
interface SlotUser {
  readonly holder: string;
  /** It holds its seats without a worker. */
  readonly isBeside?: true;
}

/** Announces the job's needs and begins to make what the pool lacks for all that are announced. */
function* growPool(
  run: Run,
  { location, subscriptionId, slots, jobsMax }: DiskPoolUse,
  { holder, isBeside }: SlotUser,
): Steps<{
  readonly ready: boolean;
  readonly accesses: readonly string[];
  readonly waitingFor?: string;
  /** Why the pool stays smaller than what all jobs want together. */
  readonly bounded?: string;
}> {
  const announced = must(
    yield* ask<AnnounceAnswer>(run, { location, subscriptionId }, "announce", {
      holder,
      slots,
      leaseMs: LEASE_SECONDS * 1000,
      jobsMax,
      ...(isBeside === undefined ? {} : { isBeside }),
    }),
  );
  if (announced.kind === "over") throw sessionOver(holder);
  const plan = yield* step(run, "plan-disk-accesses", {
    location,
    subscriptionId,
    slots: announced.wantedSlots,
    retiring: [...announced.retiring],
  });
  if (plan.actions.length > 0) {
    for (const { kind, name, reason } of plan.actions)
      yield* log(run, "info", `region ${location}: ${kind} ${name}, because ${reason}`);
    const actions = plan.actions.map(({ kind, name }) => ({ kind, name }));
    yield* step(run, "make-disk-accesses", { location, subscriptionId, actions });
  }
  return plan;
}

export interface SlotsWanted {
  readonly pool: DiskPoolUse;
  readonly jobId: string;
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  /** Seats for some of the job's disks only, held by another name and without a worker. */
  readonly beside?: {
    readonly holder: string;
    readonly isBeside: true;
    readonly only: "parts";
  };
}

/**
 * A seat for everything that the job reads or writes, and everything in its seat. Waits its turn;
 * `onWait` runs before each pause.
 */
export function* takeDiskSlots(
  run: Run,
  { pool, jobId, deadline, beside }: SlotsWanted,
  onWait: () => Steps<void>,
): Steps<Outcome<readonly Seat[]>> {
  const only = beside === undefined ? {} : { only: beside.only };
  const user: SlotUser = beside ?? { holder: jobId };
  const { holder } = user;
  const { wishes } = yield* step(run, "read-disk-wishes", { jobId, ...only });
  for (let polls = 0; ; polls++) {
    const { accesses, waitingFor, bounded } = yield* growPool(run, pool, user);
    // Who holds seats without a worker must never be waited for by those that have the workers.
    if (beside !== undefined && bounded !== undefined) return fail("NoDiskAccess", `${bounded}.`);
    const asked = yield* ask<TakeAnswer>(run, pool, "take", {
      holder,
      wishes,
      accesses,
      leaseMs: LEASE_SECONDS * 1000,
      waiterMs: WAITER_SECONDS * 1000,
    });
    if (!asked.ok) return asked;
    const answer = asked.value;
    if (answer.kind === "seated") {
      const placing = { jobId, seats: [...answer.seats], ...only };
      yield* until(run, "place-disks", placing, PLACE_SECONDS_MAX);
      return succeed(answer.seats);
    }
    if (answer.kind === "over") throw sessionOver(holder);
    if (polls === 0)
      yield* log(
        run,
        "info",
        `waiting for ${wishes.length} slots of disk accesses in ${pool.location}: ${answer.freeSlots} are free, ${answer.ahead} jobs wait before`,
      );
    if (nowOf(run) >= deadline) {
      yield* releaseDiskSlots(run, pool, holder);
      return fail(
        "NoDiskAccess",
        `No ${wishes.length} slots of disk accesses in ${pool.location} became free before the job's deadline${waitingFor === undefined ? "" : `; waiting for ${waitingFor}`}.`,
      );
    }
    yield* onWait();
    yield* wait(run, pauseSeconds(run.settings, polls));
  }
}

function sessionOver(jobId: string): HoldfastError {
  return new HoldfastError(SESSION_OVER, `${jobId} gets no disk access any more: it is over.`);
}

export function* renewDiskSlots(run: Run, pool: DiskPool, holder: string): Steps<void> {
  yield* ask(run, pool, "renew", { holder, leaseMs: LEASE_SECONDS * 1000 });
}

/** Only after every grant of the job was revoked: until then its exports count. */
export function* releaseDiskSlots(run: Run, pool: DiskPool, holder: string): Steps<void> {
  yield* ask(run, pool, "release", { holder });
}

/**
 * The end of a job's way to its disks: access is revoked, and its slots and announcement are given
 * back. What cannot be revoked now keeps its slots until the sweep has revoked it.
 */
export function* leaveDiskPool(
  run: Run,
  pool: DiskPool,
  jobId: string,
  holder = jobId,
): Steps<void> {
  if (yield* revokeGrants(run, jobId)) yield* ask(run, pool, "leave", { holder });
}

/** Asks the pool's entity, with the time. */
export function* ask<Value>(
  run: Run,
  pool: DiskPool,
  operation: string,
  input: object,
): Steps<Outcome<Value>> {
  const key = diskPoolKeyOf(pool);
  const request = { ...input, now: nowOf(run) };
  return yield* askEntity<Value>(run, ENTITIES.diskAccessSlots, key, operation, request);
}
