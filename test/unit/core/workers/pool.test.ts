import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  acquire,
  discard,
  forget,
  holdersOf,
  release,
  renew,
  retire,
  type RetireRequest,
} from "#core/workers/pool.ts";
import {
  applyWorkerEvent,
  EMPTY_POOL,
  POOL_TRANSITIONS,
  type PoolState,
  type PoolWorkerState,
  type WorkerEventName,
} from "#core/workers/pool-state.ts";

const request = (holder: string, now = 0, max = 2) => ({
  holder,
  candidateWorkerId: `w-${holder}`,
  now,
  max,
  leaseMs: 100,
  waiterMs: 50,
});

const retirement = (now: number, fields: Partial<RetireRequest> = {}): RetireRequest => ({
  now,
  idleMs: 1000,
  recorded: [],
  endedHolders: [],
  ...fields,
});

describe("life of a worker", () => {
  const states: PoolWorkerState[] = ["launching", "idle", "busy", "removing"];
  const events: WorkerEventName[] = [
    "launched",
    "released",
    "acquired",
    "discarded",
    "lease-expired",
    "retired",
  ];
  it.each(states.flatMap((state) => events.map((event) => [state, event] as const)))(
    "%s + %s follows the table and keeps a lease only where there is a holder",
    (state, event) => {
      const before = { workerId: "w", state, holder: "h", leaseExpiresAt: 9 };
      const after = applyWorkerEvent(before, event, { now: 5 });
      expect(after?.state).toBe(POOL_TRANSITIONS[state][event]);
      if (after === undefined) return;
      const leased = after.state === "busy" || after.state === "launching";
      expect(after.holder !== undefined).toBe(leased);
      expect(after.idleSince).toBe(after.state === "idle" ? 5 : undefined);
    },
  );
});

describe("worker pool", () => {
  it("launches up to its maximum, then lets wait, first come first served", () => {
    const first = acquire(EMPTY_POOL, request("a", 0, 1));
    expect(first.answer).toEqual({ kind: "launch", workerId: "w-a" });
    const second = acquire(first.state, request("b", 1, 1));
    expect(second.answer).toEqual({ kind: "wait", ahead: 0 });
    const third = acquire(second.state, request("c", 2, 1));
    expect(third.answer).toEqual({ kind: "wait", ahead: 1 });
    const launched = renew(third.state, { holder: "a", now: 3, leaseMs: 100 }).state;
    const idle = release(launched, { holder: "a", now: 4 });
    const overtaking = acquire(idle, request("c", 5, 1));
    expect(overtaking.answer.kind).toBe("wait");
    expect(acquire(overtaking.state, request("b", 6, 1)).answer).toEqual({
      kind: "reuse",
      workerId: "w-a",
    });
  });

  it("forgets a waiter that no longer asks", () => {
    const full = acquire(EMPTY_POOL, request("a", 0, 1)).state;
    const waiting = acquire(full, request("b", 0, 1)).state;
    const freed = release(renew(waiting, { holder: "a", now: 1, leaseMs: 100 }).state, {
      holder: "a",
      now: 2,
    });
    expect(acquire(freed, request("c", 60, 1)).answer.kind).toBe("reuse");
  });

  it("gives nothing to a late duplicate of a holder that is done", () => {
    const held = acquire(EMPTY_POOL, request("a")).state;
    const done = release(renew(held, { holder: "a", now: 1, leaseMs: 100 }).state, {
      holder: "a",
      now: 2,
    });
    expect(acquire(done, request("a", 3)).answer).toEqual({ kind: "over" });
    expect(release(done, { holder: "a", now: 4 }).workers).toEqual(done.workers);
  });

  it("removes a worker whose lease expired, one that was idle for long, and unknown ones", () => {
    const held = acquire(EMPTY_POOL, request("a")).state;
    const expired = retire(held, {
      now: 100,
      idleMs: 10,
      recorded: ["w-a", "stray"],
      endedHolders: [],
    });
    expect(expired.answer).toEqual(["w-a", "stray"]);
    expect(forget(expired.state, "w-a").workers).toEqual([]);
    const busy = renew(held, { holder: "a", now: 1, leaseMs: 100 }).state;
    expect(forget(busy, "w-a").workers).toHaveLength(1);
    const idle = release(busy, { holder: "a", now: 5 });
    expect(retire(idle, { now: 14, idleMs: 10, recorded: [], endedHolders: [] }).answer).toEqual(
      [],
    );
    expect(retire(idle, { now: 15, idleMs: 10, recorded: [], endedHolders: [] }).answer).toEqual([
      "w-a",
    ]);
  });

  it("frees what ended holders hold or wait for, and nothing of others", () => {
    const launching = acquire(EMPTY_POOL, request("a")).state;
    const both = renew(acquire(launching, request("b")).state, {
      holder: "b",
      now: 1,
      leaseMs: 100,
    }).state;
    const full = acquire(acquire(both, request("c", 2)).state, request("d", 2)).state;
    expect(holdersOf(full)).toEqual(["a", "b", "c", "d"]);

    const freed = retire(full, retirement(3, { endedHolders: ["a", "c", "stranger"] }));
    expect(freed.answer).toEqual(["w-a"]);
    expect(holdersOf(freed.state)).toEqual(["b", "d"]);
    // A busy worker of an ended holder may still be at work: it is removed, never reused.
    expect(retire(freed.state, retirement(4, { endedHolders: ["b"] })).answer).toEqual([
      "w-a",
      "w-b",
    ]);
    for (const holder of ["a", "c"]) {
      expect(acquire(freed.state, request(holder, 5)).answer).toEqual({ kind: "over" });
    }
    const next = forget(freed.state, "w-a");
    expect(acquire(next, request("d", 6)).answer.kind).toBe("launch");
  });

  it("does not make idle what was never launched", () => {
    const launching = acquire(EMPTY_POOL, request("a")).state;
    expect(release(launching, { holder: "a", now: 1 }).workers[0]?.state).toBe("removing");
  });

  it("never has more workers than its maximum, and never leaks a lease", () => {
    const command = fc.record({
      kind: fc.constantFrom("acquire", "renew", "release", "discard", "retire", "end", "forget"),
      holder: fc.nat(5),
      later: fc.nat(40),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.array(command, { maxLength: 80 }),
        (max, all) => {
          let state: PoolState = EMPTY_POOL;
          let now = 0;
          for (const { kind, holder: number, later } of all) {
            now += later;
            const holder = `h${number}`;
            if (kind === "acquire") state = acquire(state, request(holder, now, max)).state;
            if (kind === "renew") state = renew(state, { holder, now, leaseMs: 100 }).state;
            if (kind === "release") state = release(state, { holder, now });
            if (kind === "discard") state = discard(state, { holder, now });
            if (kind === "end")
              state = retire(state, retirement(now, { idleMs: 30, endedHolders: [holder] })).state;
            if (kind === "retire")
              state = retire(state, { now, idleMs: 30, recorded: [], endedHolders: [] }).state;
            if (kind === "forget") state = forget(state, `w-${holder}`);
            expect(state.workers.length).toBeLessThanOrEqual(max);
            const ids = state.workers.map((worker) => worker.workerId);
            expect(new Set(ids).size).toBe(ids.length);
            const holders = state.workers.flatMap((worker) => worker.holder ?? []);
            expect(new Set(holders).size).toBe(holders.length);
          }
          // Nobody asks any more: in the end every worker is taken out, whoever held it.
          const ended = retire(
            retire(state, { now: now + 200, idleMs: 30, recorded: [], endedHolders: [] }).state,
            {
              now: now + 400,
              idleMs: 30,
              recorded: [],
              endedHolders: [],
            },
          );
          expect(ended.answer.length).toBe(ended.state.workers.length);
          expect(ended.answer.reduce(forget, ended.state).workers).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
