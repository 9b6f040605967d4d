/**
 * Slots of one pool of disk accesses (`plan-disk-accesses.ts`). A *holder* is a job. It *announces*
 * how many slots it will need, so that enough disk accesses are made in time; it *queues* once it has
 * a worker; and it *holds* a *seat* (a slot of a named disk access) for each of its *items*, a
 * snapshot or disk that is to be exported or uploaded. Invariants: never more than five seats on a
 * disk access; a holder has seats for all its items or for none; who waits longest is served first,
 * and whoever comes later gets only what is left when those before were served, so that a large job
 * is not starved by small ones; who falls silent loses what it has.
 */
import { SLOTS_PER_DISK_ACCESS } from "./plan-disk-accesses.ts";

export type SlotHolderState = "announced" | "waiting" | "holding";
export type SlotEventName = "queued" | "seated" | "released";

/**
 * The life of a holder: state, what happened, next state. What is not here cannot happen and changes
 * nothing (a message that came twice, or too late). Leaving and expiry end every state.
 */
export const SLOT_TRANSITIONS: Readonly<
  Record<SlotHolderState, Partial<Readonly<Record<SlotEventName, SlotHolderState>>>>
> = {
  announced: { queued: "waiting", seated: "holding" },
  waiting: { queued: "waiting", seated: "holding", released: "announced" },
  holding: { released: "announced" },
};

export interface SlotWish {
  readonly item: string;
  /** Name of the disk access that it is on already, or that it is to be on. */
  readonly access?: string | undefined;
  /** It cannot be moved to another disk access. */
  readonly fixed?: boolean | undefined;
}

export interface Seat {
  readonly item: string;
  readonly access: string;
}

export interface SlotHolder {
  readonly holder: string;
  readonly state: SlotHolderState;
  /** Most seats that it will hold. */
  readonly slots: number;
  /** It holds them without a worker: beside all jobs that have one. */
  readonly isBeside?: boolean | undefined;
  /** Milliseconds since the epoch, as all times here. */
  readonly expiresAt: number;
  /** While it waits. */
  readonly wishes: readonly SlotWish[];
  /** While it holds. */
  readonly seats: readonly Seat[];
}

export interface DiskSlots {
  /** Those that wait are in the order in which they began to. */
  readonly holders: readonly SlotHolder[];
  /** Disk accesses that the sweep is removing. */
  readonly retiring: readonly string[];
  /** Holders that left: a late duplicate of their request gets nothing. */
  readonly finished: readonly string[];
}

export const EMPTY_DISK_SLOTS: DiskSlots = { holders: [], retiring: [], finished: [] };

/** The latest holders that are remembered as gone: more than a pool ever has at once. */
const FINISHED_HOLDERS_MAX = 200;

export interface SlotsStep<Answer> {
  readonly state: DiskSlots;
  readonly answer: Answer;
}

export interface AnnounceRequest {
  readonly holder: string;
  readonly slots: number;
  readonly now: number;
  readonly leaseMs: number;
  /** Jobs that run at the same time: more have no worker. */
  readonly jobsMax: number;
  /** It will hold its seats without a worker. */
  readonly isBeside?: boolean | undefined;
}

export type AnnounceAnswer =
  | {
      readonly kind: "announced";
      /** Slots that are needed at the same time: those of the largest `jobsMax` jobs, and those beside. */
      readonly wantedSlots: number;
      readonly retiring: readonly string[];
    }
  | { readonly kind: "over" };

/** Says that the holder is going to need slots, and what the pool needs now. Safe to repeat. */
export function announce(before: DiskSlots, request: AnnounceRequest): SlotsStep<AnnounceAnswer> {
  const state = expire(before, request.now);
  if (state.finished.includes(request.holder)) return { state, answer: { kind: "over" } };
  const known = find(state, request.holder);
  const expiresAt = Math.max(known?.expiresAt ?? 0, request.now + request.leaseMs);
  const slots = Math.max(known?.slots ?? 0, request.slots);
  const { isBeside } = request;
  const holder: SlotHolder = {
    ...(known ?? newHolder(request.holder, slots, expiresAt)),
    slots,
    expiresAt,
    ...(isBeside === undefined ? {} : { isBeside }),
  };
  const after = withHolder(state, holder);
  const wantedSlots = wantedOf(after, request.jobsMax);
  return { state: after, answer: { kind: "announced", wantedSlots, retiring: after.retiring } };
}

export interface TakeRequest {
  readonly holder: string;
  readonly wishes: readonly SlotWish[];
  /** Names of the disk accesses that can be used now. */
  readonly accesses: readonly string[];
  readonly now: number;
  readonly leaseMs: number;
  /** A waiter that has not asked again for so long is forgotten. */
  readonly waiterMs: number;
}

export type TakeAnswer =
  | { readonly kind: "seated"; readonly seats: readonly Seat[] }
  | { readonly kind: "wait"; readonly ahead: number; readonly freeSlots: number }
  | { readonly kind: "over" };

/**
 * Seats for all wishes or none. An item stays on its disk access where a slot is free there, else it
 * gets another one, unless it is fixed. Safe to repeat: who holds seats gets the same again.
 */
export function take(before: DiskSlots, request: TakeRequest): SlotsStep<TakeAnswer> {
  const state = expire(before, request.now);
  if (state.finished.includes(request.holder)) return { state, answer: { kind: "over" } };
  const known = find(state, request.holder);
  const expiresAt = request.now + request.leaseMs;
  if (known?.state === "holding" && isSeated(known, request.wishes)) {
    const answer = { kind: "seated", seats: known.seats } as const;
    return { state: withHolder(state, { ...known, expiresAt }), answer };
  }
  // Who asks for something else has given back what it held.
  const mine =
    known === undefined
      ? newHolder(request.holder, request.wishes.length, expiresAt)
      : known.state === "holding"
        ? applySlotEvent(known, "released", { seats: [], wishes: [] })
        : known;
  const waiting = state.holders.filter(
    (each) => each.state === "waiting" && each.holder !== request.holder,
  );
  const place = state.holders
    .filter((each) => each.state === "waiting")
    .findIndex((each) => each.holder === request.holder);
  const ahead = place < 0 ? waiting : waiting.slice(0, place);
  const free = freeSlotsOf(state, request);
  const capacity = free.size * SLOTS_PER_DISK_ACCESS;
  // One that is too large for the pool as it is now holds up nobody until the pool has grown.
  for (const { wishes } of ahead) if (wishes.length <= capacity) serveOrReserve(free, wishes);
  const seats = seatsFor(free, request.wishes);
  if (seats === undefined) {
    const freeSlots = [...free.values()].reduce((sum, count) => sum + count, 0);
    const answer = { kind: "wait", ahead: ahead.length, freeSlots } as const;
    const asked = { ...mine, wishes: request.wishes, expiresAt: request.now + request.waiterMs };
    return { state: queue(state, asked, place >= 0), answer };
  }
  const seated = applySlotEvent(mine, "seated", { seats, wishes: [], expiresAt });
  return { state: withHolder(state, seated), answer: { kind: "seated", seats } };
}

/** Keeps its place when it waits already, else goes to the end of the line. */
function queue(state: DiskSlots, asked: SlotHolder, inLine: boolean): DiskSlots {
  const queued = applySlotEvent({ ...asked, seats: [] }, "queued", {});
  if (inLine) return withHolder(state, queued);
  const others = state.holders.filter((each) => each.holder !== asked.holder);
  return { ...state, holders: [...others, queued] };
}

export interface HolderRequest {
  readonly holder: string;
  readonly now: number;
}

/** The work goes on: seats and announcement last longer. Answers whether seats are held. */
export function renew(
  before: DiskSlots,
  request: HolderRequest & { readonly leaseMs: number },
): SlotsStep<boolean> {
  const state = expire(before, request.now);
  const known = find(state, request.holder);
  if (known === undefined) return { state, answer: false };
  const expiresAt = request.now + request.leaseMs;
  return {
    state: withHolder(state, { ...known, expiresAt }),
    answer: known.state === "holding",
  };
}

/** All access to its items was revoked: the seats are free, the announcement stays. */
export function release(before: DiskSlots, request: HolderRequest): DiskSlots {
  const state = expire(before, request.now);
  const known = find(state, request.holder);
  if (known === undefined) return state;
  return withHolder(state, applySlotEvent(known, "released", { seats: [], wishes: [] }));
}

/** The holder is done and needs nothing any more. */
export function leave(before: DiskSlots, request: HolderRequest): DiskSlots {
  const state = expire(before, request.now);
  const finished = state.finished.filter((holder) => holder !== request.holder);
  return {
    ...state,
    holders: state.holders.filter((each) => each.holder !== request.holder),
    finished: [...finished, request.holder].slice(-FINISHED_HOLDERS_MAX),
  };
}

/**
 * Takes disk accesses out of use for the sweep, when nobody holds, waits for or announced anything:
 * who announces from now on sees them as going. Answers all that are going.
 */
export function retire(
  before: DiskSlots,
  request: { readonly names: readonly string[]; readonly now: number },
): SlotsStep<readonly string[]> {
  const state = expire(before, request.now);
  if (state.holders.length > 0) return { state, answer: state.retiring };
  const retiring = [...new Set([...state.retiring, ...request.names])].sort();
  return { state: { ...state, retiring }, answer: retiring };
}

/** These disk accesses are gone: their names may be used again. */
export function forget(state: DiskSlots, names: readonly string[]): DiskSlots {
  return { ...state, retiring: state.retiring.filter((name) => !names.includes(name)) };
}

/** All who hold, wait or have announced. */
export function slotHoldersOf(state: DiskSlots): readonly string[] {
  return state.holders.map(({ holder }) => holder);
}

/** The holder after the event; unchanged when the event does not apply. */
function applySlotEvent(
  holder: SlotHolder,
  event: SlotEventName,
  details: Partial<Pick<SlotHolder, "seats" | "wishes" | "expiresAt">>,
): SlotHolder {
  const state = SLOT_TRANSITIONS[holder.state][event];
  return state === undefined ? holder : { ...holder, ...details, state };
}

function newHolder(holder: string, slots: number, expiresAt: number): SlotHolder {
  return { holder, state: "announced", slots, expiresAt, wishes: [], seats: [] };
}

function find(state: DiskSlots, holder: string): SlotHolder | undefined {
  return state.holders.find((each) => each.holder === holder);
}

function withHolder(state: DiskSlots, holder: SlotHolder): DiskSlots {
  const isKnown = find(state, holder.holder) !== undefined;
  const holders = isKnown
    ? state.holders.map((each) => (each.holder === holder.holder ? holder : each))
    : [...state.holders, holder];
  return { ...state, holders };
}

/** Who did not ask or renew in time loses its seats, its place and its announcement. */
function expire(state: DiskSlots, now: number): DiskSlots {
  return { ...state, holders: state.holders.filter(({ expiresAt }) => expiresAt > now) };
}

/**
 * Whoever holds seats without a worker is counted apart: were it one of the `jobsMax`, jobs that have
 * the workers could wait for its seats while it waits for a worker.
 */
function wantedOf({ holders }: DiskSlots, jobsMax: number): number {
  const sumOf = (counts: readonly number[]): number => counts.reduce((sum, each) => sum + each, 0);
  const beside = holders.filter(({ isBeside }) => isBeside === true);
  const jobs = holders.filter(({ isBeside }) => isBeside !== true);
  const largest = jobs.map(({ slots }) => slots).sort((one, other) => other - one);
  return sumOf(beside.map(({ slots }) => slots)) + sumOf(largest.slice(0, jobsMax));
}

function isSeated({ seats }: SlotHolder, wishes: readonly SlotWish[]): boolean {
  return wishes.every((wish) =>
    seats.some(
      ({ item, access }) => item === wish.item && (wish.fixed !== true || access === wish.access),
    ),
  );
}

/** Free slots by disk access; the requester's own seats count as free: it asks for all anew. */
function freeSlotsOf(state: DiskSlots, { holder, accesses }: TakeRequest): Map<string, number> {
  const retiring = new Set(state.retiring);
  const free = new Map<string, number>();
  for (const access of accesses) if (!retiring.has(access)) free.set(access, SLOTS_PER_DISK_ACCESS);
  for (const each of state.holders) {
    if (each.holder === holder) continue;
    for (const { access } of each.seats) {
      const count = free.get(access);
      if (count !== undefined) free.set(access, count - 1);
    }
  }
  return free;
}

/** Takes from `free` what an earlier waiter gets now, or all that it waits for when it gets nothing. */
function serveOrReserve(free: Map<string, number>, wishes: readonly SlotWish[]): void {
  if (seatsFor(free, wishes) !== undefined) return;
  if (wishes.every(({ fixed }) => fixed === true)) {
    for (const { access } of wishes) if (access !== undefined) free.delete(access);
    return;
  }
  free.clear();
}

/**
 * A seat for each wish, taken from `free`, or `undefined` and `free` as it was. Wishes that name a
 * disk access go first, fixed ones before all; the others go where most is free.
 */
function seatsFor(
  free: Map<string, number>,
  wishes: readonly SlotWish[],
): readonly Seat[] | undefined {
  const left = new Map(free);
  const seats = new Map<string, string>();
  const sit = (item: string, access: string): void => {
    seats.set(item, access);
    left.set(access, (left.get(access) ?? 0) - 1);
  };
  for (const { item, access = "" } of wishes.filter(({ fixed }) => fixed === true)) {
    if ((left.get(access) ?? 0) < 1) return undefined;
    sit(item, access);
  }
  const movable = wishes.filter(({ fixed }) => fixed !== true);
  for (const { item, access = "" } of movable) {
    if ((left.get(access) ?? 0) > 0) sit(item, access);
  }
  for (const { item } of movable) {
    if (seats.has(item)) continue;
    const access = mostFree(left);
    if (access === undefined) return undefined;
    sit(item, access);
  }
  for (const [access, count] of left) free.set(access, count);
  return wishes.map(({ item }) => ({ item, access: seats.get(item) ?? "" }));
}

function mostFree(left: ReadonlyMap<string, number>): string | undefined {
  let best: string | undefined;
  for (const [access, count] of left)
    if (count > 0 && (best === undefined || count > (left.get(best) ?? 0))) best = access;
  return best;
}
