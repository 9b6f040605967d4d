import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WORKER_PROFILES, type WorkerProfile } from "#core/model/worker-configuration.ts";
import {
  acquire,
  advance,
  discard,
  forget,
  holdersOf,
  markDeallocated,
  release,
  type AcquireRequest,
} from "#core/workers/pool.ts";
import {
  applyWorkerEvent,
  EMPTY_POOL,
  LEASED_STATES,
  WORKER_EVENTS,
  WORKER_STATES,
  WORKER_TRANSITIONS,
  type PoolState,
} from "#core/workers/pool-state.ts";
import {
  DEALLOCATED_MS_MAX,
  retire,
  type RetireAnswer,
  type RetireRequest,
} from "#core/workers/retire-workers.ts";

const request = (
  holder: string,
  now = 0,
  max = 2,
  fields: Partial<AcquireRequest> = {},
): AcquireRequest => ({
  holder,
  candidateWorkerId: `w-${holder}`,
  profile: "small",
  priority: "regular",
  mustBeRegular: false,
  now,
  max,
  leaseMs: 100,
  waiterMs: 50,
  ...fields,
});

const retirement = (now: number, fields: Partial<RetireRequest> = {}): RetireRequest => ({
  now,
  idleMs: 1000,
  idleAction: "delete",
  minimum: 0,
  recorded: [],
  lost: [],
  endedHolders: [],
  ...fields,
});

const removed = ({ remove }: RetireAnswer): string[] => remove.map(({ workerId }) => workerId);

/** A worker `w-<holder>` that was launched and is at work. */
function busy(
  state: PoolState,
  holder: string,
  now = 0,
  max = 2,
  fields: Partial<AcquireRequest> = {},
): PoolState {
  const asked = acquire(state, request(holder, now, max, fields)).state;
  const made = advance(asked, { holder, now, leaseMs: 100, event: "made" }).state;
  return advance(made, { holder, now, leaseMs: 100, event: "enrolled" }).state;
}

const idle = (holder: string, now: number, fields: Partial<AcquireRequest> = {}): PoolState =>
  release(busy(EMPTY_POOL, holder, now, 2, fields), { holder, now });

describe("life of a worker", () => {
  const worker = { workerId: "w", profile: "large", priority: "spot" } as const;

  it.each(WORKER_STATES.flatMap((state) => WORKER_EVENTS.map((event) => [state, event] as const)))(
    "%s + %s follows the table and keeps a lease only where there is a holder",
    (state, event) => {
      const before = { ...worker, state, holder: "h", leaseExpiresAt: 9 };
      const after = applyWorkerEvent(before, event, { now: 5 });
      expect(after?.state).toBe(WORKER_TRANSITIONS[state][event]);
      if (after === undefined) return;
      expect(after).toMatchObject(worker);
      expect(after.holder !== undefined).toBe(LEASED_STATES.has(after.state));
      const rests = after.state === "idle" || after.state === "deallocated";
      expect(after.restingSince).toBe(rests ? 5 : undefined);
      expect(after.goal).toBe(after.state === "stopping" ? "delete" : undefined);
    },
  );

  it("ends as removed from every state, and nothing comes after that", () => {
    for (const start of WORKER_STATES) {
      const seen = new Set([start]);
      for (const state of seen)
        for (const next of Object.values(WORKER_TRANSITIONS[state])) seen.add(next);
      expect(seen).toContain("removed");
    }
    expect(WORKER_TRANSITIONS.removed).toEqual({});
  });

  it("gives a job only to a worker that has enrolled", () => {
    for (const [state, events] of Object.entries(WORKER_TRANSITIONS))
      for (const [event, next] of Object.entries(events))
        if (next === "busy")
          expect([`${state} ${event}`]).toContainEqual(
            expect.stringMatching(/^(enrolling enrolled|idle acquired)$/),
          );
  });
});

describe("worker pool", () => {
  it("launches up to its maximum, then lets wait, first come first served", () => {
    const first = acquire(EMPTY_POOL, request("a", 0, 1));
    expect(first.answer).toEqual({ kind: "launch", workerId: "w-a" });
    const working = busy(first.state, "a", 1, 1);
    const second = acquire(working, request("b", 1, 1));
    expect(second.answer).toEqual({ kind: "wait", ahead: 0 });
    const third = acquire(second.state, request("c", 2, 1));
    expect(third.answer).toEqual({ kind: "wait", ahead: 1 });
    const free = release(third.state, { holder: "a", now: 4 });
    const overtaking = acquire(free, request("c", 5, 1));
    expect(overtaking.answer.kind).toBe("wait");
    expect(acquire(overtaking.state, request("b", 6, 1)).answer).toEqual({
      kind: "reuse",
      workerId: "w-a",
    });
  });

  it("answers the same to a request that comes twice", () => {
    const asked = acquire(EMPTY_POOL, request("a"));
    const again = acquire(asked.state, request("a", 1));
    expect(again.answer).toEqual(asked.answer);
    expect(again.state.workers).toHaveLength(1);
    expect(acquire(busy(EMPTY_POOL, "a"), request("a", 2)).answer.kind).toBe("reuse");
  });

  it("forgets a waiter that no longer asks", () => {
    const waiting = acquire(busy(EMPTY_POOL, "a", 0, 1), request("b", 0, 1)).state;
    const freed = release(waiting, { holder: "a", now: 2 });
    expect(acquire(freed, request("c", 60, 1)).answer.kind).toBe("reuse");
  });

  it("gives nothing to a late duplicate of a holder that is done", () => {
    const done = idle("a", 2);
    expect(acquire(done, request("a", 3)).answer).toEqual({ kind: "over" });
    expect(release(done, { holder: "a", now: 4 }).workers).toEqual(done.workers);
  });

  it("does not make idle what was never launched", () => {
    const creating = acquire(EMPTY_POOL, request("a")).state;
    expect(release(creating, { holder: "a", now: 1 }).workers[0]?.state).toBe("failed");
  });

  it.each<[WorkerProfile, WorkerProfile, number, string]>([
    ["small", "small", 2, "reuse"],
    ["large", "small", 2, "reuse"],
    ["small", "large", 2, "launch"],
    // Better a smaller one than none.
    ["small", "large", 1, "reuse"],
  ])("an idle %s worker and a job for %s with at most %i: %s", (own, wanted, max, kind) => {
    const pool = idle("a", 0, { profile: own });
    expect(acquire(pool, request("b", 1, max, { profile: wanted })).answer.kind).toBe(kind);
  });

  it("starts a deallocated worker again before it launches a new one, and prefers an idle one", () => {
    const stopping = retire(idle("a", 0), retirement(2000, { idleAction: "deallocate" }));
    expect(stopping.answer).toEqual({ remove: [], deallocate: ["w-a"] });
    expect(acquire(stopping.state, request("b", 2000)).answer.kind).toBe("launch");
    const deallocated = markDeallocated(stopping.state, "w-a", 2001);
    const asked = acquire(deallocated, request("b", 2002));
    expect(asked.answer).toEqual({ kind: "recover", workerId: "w-a" });
    expect(acquire(asked.state, request("b", 2003)).answer.kind).toBe("recover");
    const second = release(busy(deallocated, "c", 2002, 2), { holder: "c", now: 2003 });
    expect(acquire(second, request("d", 2004)).answer.kind).toBe("reuse");
  });

  it("gives no spot worker to a job that must have a regular one, and makes room for it", () => {
    const spot = idle("a", 0, { priority: "spot" });
    const regular = { mustBeRegular: true };
    expect(acquire(spot, request("b", 1, 2, regular)).answer.kind).toBe("launch");
    const full = acquire(spot, request("b", 1, 1, regular));
    expect(full.answer.kind).toBe("wait");
    expect(full.state.workers[0]).toMatchObject({ state: "stopping", goal: "delete" });
    const gone = forget(full.state, "w-a");
    expect(acquire(gone, request("b", 2, 1, regular)).answer.kind).toBe("launch");
  });
});

describe("retirement", () => {
  it("removes a worker whose lease expired, one that was idle for long, and unknown ones", () => {
    const held = acquire(EMPTY_POOL, request("a")).state;
    const expired = retire(held, retirement(100, { recorded: ["w-a", "stray"] }));
    expect(expired.answer.remove).toEqual([
      { workerId: "w-a", state: "failed" },
      { workerId: "stray", state: "failed" },
    ]);
    expect(forget(expired.state, "w-a").workers).toEqual([]);
    expect(forget(busy(EMPTY_POOL, "a"), "w-a").workers).toHaveLength(1);
    const resting = idle("a", 5);
    expect(removed(retire(resting, retirement(14, { idleMs: 10 })).answer)).toEqual([]);
    expect(retire(resting, retirement(15, { idleMs: 10 })).answer.remove).toEqual([
      { workerId: "w-a", state: "stopping" },
    ]);
  });

  it("keeps the minimum, longest idle first to go", () => {
    const both = busy(busy(EMPTY_POOL, "a"), "b");
    const resting = release(release(both, { holder: "b", now: 1 }), { holder: "a", now: 2 });
    const late = retirement(9999, { minimum: 1 });
    expect(removed(retire(resting, late).answer)).toEqual(["w-b"]);
    expect(removed(retire(resting, { ...late, minimum: 2 }).answer)).toEqual([]);
  });

  it("removes lost workers that rest, never one that is at work", () => {
    const both = busy(idle("a", 0), "b", 1, 2, { profile: "large" });
    const answer = retire(both, retirement(2, { lost: ["w-a", "w-b"] })).answer;
    expect(answer.remove).toEqual([{ workerId: "w-a", state: "failed" }]);
  });

  it("deletes deallocated workers after a week, or at once when they are not wanted", () => {
    const stopping = retire(idle("a", 0), retirement(2000, { idleAction: "deallocate" })).state;
    const deallocated = markDeallocated(stopping, "w-a", 3000);
    const later = retirement(4000, { idleAction: "deallocate" });
    expect(retire(deallocated, later).answer).toEqual({ remove: [], deallocate: [] });
    const old = { ...later, now: 3000 + DEALLOCATED_MS_MAX };
    expect(removed(retire(deallocated, old).answer)).toEqual(["w-a"]);
    expect(removed(retire(deallocated, { ...later, idleAction: "delete" }).answer)).toEqual([
      "w-a",
    ]);
    // Only a worker that was to be deallocated is.
    expect(markDeallocated(idle("b", 0), "w-b", 1).workers[0]?.state).toBe("idle");
  });

  it("frees what ended holders hold or wait for, and nothing of others", () => {
    const both = busy(acquire(EMPTY_POOL, request("a")).state, "b", 1);
    const full = acquire(acquire(both, request("c", 2)).state, request("d", 2)).state;
    expect(holdersOf(full)).toEqual(["a", "b", "c", "d"]);

    const freed = retire(full, retirement(3, { endedHolders: ["a", "c", "stranger"] }));
    expect(removed(freed.answer)).toEqual(["w-a"]);
    expect(holdersOf(freed.state)).toEqual(["b", "d"]);
    // A busy worker of an ended holder may still be at work: it is removed, never reused.
    const all = retire(freed.state, retirement(4, { endedHolders: ["b"] }));
    expect(removed(all.answer)).toEqual(["w-a", "w-b"]);
    for (const holder of ["a", "c"]) {
      expect(acquire(freed.state, request(holder, 5)).answer).toEqual({ kind: "over" });
    }
    const next = forget(freed.state, "w-a");
    expect(acquire(next, request("d", 6)).answer.kind).toBe("launch");
  });
});

describe("worker pool under any sequence of requests", () => {
  const command = fc.record({
    kind: fc.constantFrom(
      "acquire",
      "made",
      "enrolled",
      "release",
      "discard",
      "retire",
      "end",
      "lost",
      "deallocated",
      "forget",
    ),
    holder: fc.nat(5),
    profile: fc.constantFrom(...WORKER_PROFILES),
    isSpot: fc.boolean(),
    idleAction: fc.constantFrom("delete" as const, "deallocate" as const),
    later: fc.nat(40),
  });

  function apply(
    state: PoolState,
    given: typeof command extends fc.Arbitrary<infer One> ? One : never,
    now: number,
    max: number,
  ): PoolState {
    const { kind, profile, isSpot, idleAction } = given;
    const holder = `h${given.holder}`;
    const workerId = `w-${holder}`;
    const priority = isSpot ? "spot" : "regular";
    const fields = { profile, priority, mustBeRegular: !isSpot } as const;
    const retiring = retirement(now, { idleMs: 30, idleAction });
    switch (kind) {
      case "acquire":
        return acquire(state, request(holder, now, max, fields)).state;
      case "made":
      case "enrolled":
        return advance(state, { holder, now, leaseMs: 100, event: kind }).state;
      case "release":
        return release(state, { holder, now });
      case "discard":
        return discard(state, { holder, now });
      case "retire":
        return retire(state, retiring).state;
      case "end":
        return retire(state, { ...retiring, endedHolders: [holder] }).state;
      case "lost":
        return retire(state, { ...retiring, lost: [workerId] }).state;
      case "deallocated":
        return markDeallocated(state, workerId, now);
      case "forget":
        return forget(state, workerId);
    }
  }

  it("never has more workers than its maximum, never leaks a lease, and gets rid of all", () => {
    const maximum = fc.integer({ min: 1, max: 3 });
    fc.assert(
      fc.property(maximum, fc.array(command, { maxLength: 80 }), (max, all) => {
        let state: PoolState = EMPTY_POOL;
        let now = 0;
        for (const each of all) {
          now += each.later;
          const before = new Map(state.workers.map((worker) => [worker.workerId, worker.state]));
          state = apply(state, each, now, max);
          expect(state.workers.length).toBeLessThanOrEqual(max);
          const ids = state.workers.map((worker) => worker.workerId);
          expect(new Set(ids).size).toBe(ids.length);
          const holders = state.workers.flatMap((worker) => worker.holder ?? []);
          expect(new Set(holders).size).toBe(holders.length);
          // Who is waiting has nothing, and nobody's turn comes twice.
          const waiting = state.waiting.map((waiter) => waiter.holder);
          expect(new Set([...waiting, ...holders]).size).toBe(waiting.length + holders.length);
          for (const worker of state.workers) {
            if (!before.has(worker.workerId)) expect(worker.state).toBe("creating");
            expect(worker.holder !== undefined).toBe(LEASED_STATES.has(worker.state));
          }
        }
        // Nobody asks any more: in the end every worker is taken out, whoever held it.
        const first = retire(state, retirement(now + 200, { idleMs: 30 }));
        const after = first.answer.deallocate.reduce(
          (each, workerId) => markDeallocated(each, workerId, now + 200),
          first.state,
        );
        const last = retire(after, retirement(now + 400, { idleMs: 30 }));
        expect(last.answer.remove.length).toBe(last.state.workers.length);
        expect(removed(last.answer).reduce(forget, last.state).workers).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
