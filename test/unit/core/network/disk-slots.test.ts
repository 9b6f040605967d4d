import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  announce,
  EMPTY_DISK_SLOTS,
  forget,
  leave,
  release,
  renew,
  retire,
  SLOT_TRANSITIONS,
  slotHoldersOf,
  take,
  type DiskSlots,
  type SlotEventName,
  type SlotHolderState,
  type SlotWish,
} from "#core/network/disk-slots.ts";
import { SLOTS_PER_DISK_ACCESS } from "#core/network/plan-disk-accesses.ts";

const leaseMs = 100;
const waiterMs = 50;

function wishesOf(count: number, access?: string, fixed?: boolean): SlotWish[] {
  return Array.from({ length: count }, (_, index) => ({
    item: String(index),
    ...(access === undefined ? {} : { access }),
    ...(fixed === undefined ? {} : { fixed }),
  }));
}

function ask(
  state: DiskSlots,
  holder: string,
  wishes: number | readonly SlotWish[],
  { now = 0, accesses = ["a", "b"] }: { now?: number; accesses?: readonly string[] } = {},
) {
  const list = typeof wishes === "number" ? wishesOf(wishes) : wishes;
  return take(state, { holder, wishes: list, accesses, now, leaseMs, waiterMs });
}

const say = (state: DiskSlots, holder: string, slots: number, jobsMax = 5, now = 0) =>
  announce(state, { holder, slots, now, leaseMs, jobsMax });

/** Seats by disk access. */
function load(state: DiskSlots): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { seats } of state.holders)
    for (const { access } of seats) counts.set(access, (counts.get(access) ?? 0) + 1);
  return counts;
}

function stateOf(state: DiskSlots, holder: string): SlotHolderState | undefined {
  return state.holders.find((each) => each.holder === holder)?.state;
}

describe("life of a holder", () => {
  const prepare: Record<SlotHolderState, (state: DiskSlots) => DiskSlots> = {
    announced: (state) => say(state, "h", 3).state,
    waiting: (state) => ask(ask(state, "other", 10).state, "h", 3).state,
    holding: (state) => ask(state, "h", 3).state,
  };
  const apply: Record<SlotEventName, (state: DiskSlots) => DiskSlots> = {
    queued: (state) => ask(state, "h", 3, { accesses: [] }).state,
    seated: (state) => ask(leave(state, { holder: "other", now: 0 }), "h", 3).state,
    released: (state) => release(state, { holder: "h", now: 0 }),
  };
  const states = Object.keys(prepare) as SlotHolderState[];
  const events = Object.keys(apply) as SlotEventName[];
  it.each(states.flatMap((state) => events.map((event) => [state, event] as const)))(
    "%s + %s follows the table",
    (state, event) => {
      const before = prepare[state](EMPTY_DISK_SLOTS);
      expect(stateOf(before, "h")).toBe(state);
      const after = apply[event](before);
      expect(stateOf(after, "h")).toBe(SLOT_TRANSITIONS[state][event] ?? state);
    },
  );

  it.each(states)("%s ends by leaving, and by silence", (state) => {
    const before = prepare[state](EMPTY_DISK_SLOTS);
    expect(stateOf(leave(before, { holder: "h", now: 0 }), "h")).toBeUndefined();
    const silent = renew(before, { holder: "nobody", now: 1000, leaseMs }).state;
    expect(stateOf(silent, "h")).toBeUndefined();
  });

  it("gives nothing to one that left", () => {
    const left = leave(ask(EMPTY_DISK_SLOTS, "h", 2).state, { holder: "h", now: 0 });
    expect(ask(left, "h", 2).answer.kind).toBe("over");
    expect(say(left, "h", 2).answer.kind).toBe("over");
    expect(load(ask(left, "h", 2).state).size).toBe(0);
  });

  it("is told by the sweep who there is", () => {
    expect(slotHoldersOf(ask(say(EMPTY_DISK_SLOTS, "a", 1).state, "b", 1).state)).toEqual([
      "a",
      "b",
    ]);
  });
});

describe("announcing", () => {
  it("adds up the largest of as many jobs as run at the same time", () => {
    let state = EMPTY_DISK_SLOTS;
    for (const [holder, slots] of [
      ["a", 4],
      ["b", 16],
      ["c", 2],
    ] as const)
      state = say(state, holder, slots, 2).state;
    expect(say(state, "d", 6, 2).answer).toMatchObject({ wantedSlots: 22 });
    expect(say(state, "d", 6, 9).answer).toMatchObject({ wantedSlots: 28 });
  });

  it("counts seats that are held without a worker beside those of all jobs", () => {
    let state = EMPTY_DISK_SLOTS;
    for (const [holder, slots] of [
      ["a", 4],
      ["b", 2],
    ] as const)
      state = say(state, holder, slots, 1).state;
    const beside = { holder: "a~parts", slots: 3, now: 0, leaseMs, jobsMax: 1, isBeside: true };
    const { state: after, answer } = announce(state, beside);
    expect(answer).toMatchObject({ wantedSlots: 4 + 3 });
    // It stays so, also when others announce after it, until it leaves.
    expect(say(after, "c", 5, 1).answer).toMatchObject({ wantedSlots: 5 + 3 });
    const left = leave(after, { holder: "a~parts", now: 0 });
    expect(say(left, "c", 5, 1).answer).toMatchObject({ wantedSlots: 5 });
  });

  it("never shrinks what a holder announced", () => {
    const state = say(EMPTY_DISK_SLOTS, "a", 16).state;
    expect(say(state, "a", 3).answer).toMatchObject({ wantedSlots: 16 });
  });
});

describe("taking", () => {
  it("keeps items where they are, and moves those that find no slot there", () => {
    const full = ask(EMPTY_DISK_SLOTS, "x", wishesOf(4, "a")).state;
    const { answer } = ask(full, "y", wishesOf(3, "a"));
    expect(answer).toEqual({
      kind: "seated",
      seats: [
        { item: "0", access: "a" },
        { item: "1", access: "b" },
        { item: "2", access: "b" },
      ],
    });
  });

  it("waits for fixed items and lets those pass that need other disk accesses", () => {
    let state = ask(EMPTY_DISK_SLOTS, "x", wishesOf(5, "a", true)).state;
    const upload = ask(state, "y", wishesOf(2, "a", true));
    expect(upload.answer).toEqual({ kind: "wait", ahead: 0, freeSlots: 5 });
    state = upload.state;
    expect(ask(state, "z", wishesOf(2, "b")).answer.kind).toBe("seated");
    // What the upload waits for is nobody else's.
    state = release(state, { holder: "x", now: 1 });
    expect(ask(state, "z", wishesOf(9), { now: 1 }).answer.kind).toBe("wait");
    expect(ask(state, "y", wishesOf(2, "a", true), { now: 1 }).answer.kind).toBe("seated");
  });

  it("does not let small jobs starve a large one", () => {
    let state = ask(EMPTY_DISK_SLOTS, "x", 4).state;
    state = ask(state, "large", 8).state;
    expect(ask(state, "small", 1).answer).toMatchObject({ kind: "wait", ahead: 1 });
    state = release(ask(state, "small", 1).state, { holder: "x", now: 1 });
    // There is room for both once the large one is served: the order of asking does not matter.
    expect(ask(state, "small", 1, { now: 1 }).answer.kind).toBe("seated");
    expect(ask(state, "large", 8, { now: 1 }).answer.kind).toBe("seated");
  });

  it("is not held up by one that the pool is too small for", () => {
    const state = ask(EMPTY_DISK_SLOTS, "huge", 11).state;
    expect(ask(state, "small", 10).answer.kind).toBe("seated");
    const grown = ask(state, "huge", 11, { accesses: ["a", "b", "c"] });
    expect(grown.answer.kind).toBe("seated");
  });

  it("keeps the place of a waiter that asks again, and forgets one that does not", () => {
    let state = ask(EMPTY_DISK_SLOTS, "x", 10).state;
    state = ask(state, "first", 6).state;
    state = ask(state, "second", 6, { now: 40 }).state;
    const again = ask(state, "first", 6, { now: 45 });
    expect(again.answer).toMatchObject({ kind: "wait", ahead: 0 });
    expect(ask(state, "second", 6, { now: 60 }).answer).toMatchObject({ ahead: 0 });
    expect(ask(again.state, "second", 6, { now: 60 }).answer).toMatchObject({ ahead: 1 });
  });

  it("answers the same seats again, and renews them", () => {
    const once = ask(EMPTY_DISK_SLOTS, "h", 3);
    const twice = ask(once.state, "h", 3, { now: 90 });
    expect(twice.answer).toEqual(once.answer);
    expect(renew(twice.state, { holder: "h", now: 150, leaseMs }).answer).toBe(true);
    expect(renew(twice.state, { holder: "h", now: 190, leaseMs }).answer).toBe(false);
  });

  it("gives a holder other seats when it asks for other items", () => {
    const once = ask(EMPTY_DISK_SLOTS, "h", 10).state;
    expect(ask(once, "h", wishesOf(2, "b", true)).answer.kind).toBe("seated");
    const blocked = ask(ask(EMPTY_DISK_SLOTS, "x", wishesOf(5, "b")).state, "h", 5).state;
    const asked = ask(blocked, "h", wishesOf(1, "b", true));
    expect([asked.answer.kind, stateOf(asked.state, "h")]).toEqual(["wait", "waiting"]);
  });
});

describe("retiring", () => {
  it("takes disk accesses away only where nobody is, and gives no seat on them", () => {
    const busy = say(EMPTY_DISK_SLOTS, "h", 1).state;
    expect(retire(busy, { names: ["a"], now: 0 }).answer).toEqual([]);
    const going = retire(EMPTY_DISK_SLOTS, { names: ["a"], now: 0 }).state;
    expect(say(going, "h", 1).answer).toMatchObject({ retiring: ["a"] });
    expect(load(ask(going, "h", wishesOf(3, "a")).state)).toEqual(new Map([["b", 3]]));
    expect(ask(going, "h", 6).answer.kind).toBe("wait");
    expect(ask(forget(going, ["a"]), "h", 6).answer.kind).toBe("seated");
  });
});

type Step =
  | { readonly kind: "ask"; readonly holder: number }
  | { readonly kind: "release" | "leave" | "renew"; readonly holder: number }
  | { readonly kind: "pass"; readonly ms: number };

describe("whatever happens", () => {
  const holders = 6;
  const anyJob = fc.array(
    fc.record({
      access: fc.option(fc.constantFrom("a", "b", "c"), { nil: undefined }),
      fixed: fc.boolean(),
    }),
    { minLength: 1, maxLength: 15 },
  );
  const anyJobs = fc
    .array(anyJob, { minLength: holders, maxLength: holders })
    .map((jobs) => jobs.map((job) => fittingWishes(job)));
  const anyStep: fc.Arbitrary<Step> = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant("ask"), holder: fc.nat(holders - 1) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constantFrom("release", "leave", "renew"),
        holder: fc.nat(holders - 1),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("pass"), ms: fc.nat(60) }) },
  );

  /** No more fixed items on a disk access than it has slots: one job fits into an empty pool. */
  function fittingWishes(
    job: readonly { readonly access: string | undefined; readonly fixed: boolean }[],
  ): SlotWish[] {
    const fixedOn = new Map<string, number>();
    return job.map(({ access, fixed }, index) => {
      const count = fixedOn.get(access ?? "") ?? 0;
      const isFixed = fixed && access !== undefined && count < SLOTS_PER_DISK_ACCESS;
      if (isFixed) fixedOn.set(access, count + 1);
      return { item: String(index), access, fixed: isFixed };
    });
  }

  const accesses = ["a", "b", "c"];

  it("no disk access has more than five, and every holder has all or nothing where it wants it", () => {
    fc.assert(
      fc.property(anyJobs, fc.array(anyStep, { maxLength: 60 }), (jobs, steps) => {
        let state = EMPTY_DISK_SLOTS;
        let now = 0;
        for (const step of steps) {
          state = after(state, step, jobs, now);
          if (step.kind === "pass") now += step.ms;
          for (const count of load(state).values())
            expect(count).toBeLessThanOrEqual(SLOTS_PER_DISK_ACCESS);
          for (const holder of state.holders) {
            const wishes = jobs[Number(holder.holder)] ?? [];
            expect(holder.seats.length).toBe(holder.state === "holding" ? wishes.length : 0);
            for (const { item, access } of holder.seats) {
              const wish = wishes[Number(item)];
              if (wish?.fixed === true) expect(access).toBe(wish.access);
            }
          }
        }
      }),
    );
  });

  function after(
    state: DiskSlots,
    step: Step,
    jobs: readonly (readonly SlotWish[])[],
    now: number,
  ): DiskSlots {
    if (step.kind === "pass") return state;
    const holder = String(step.holder);
    switch (step.kind) {
      case "ask":
        return ask(state, holder, jobs[step.holder] ?? [], { now, accesses }).state;
      case "release":
        return release(release(state, { holder, now }), { holder, now });
      case "leave":
        return leave(leave(state, { holder, now }), { holder, now });
      case "renew":
        return renew(state, { holder, now, leaseMs }).state;
    }
  }

  it("everybody is served in the end, and nobody overtakes to another's cost", () => {
    fc.assert(
      fc.property(anyJobs, fc.array(fc.nat(holders - 1), { maxLength: 40 }), (jobs, order) => {
        let state = EMPTY_DISK_SLOTS;
        const served = new Set<string>();
        const poll = (index: number): void => {
          const holder = String(index);
          if (served.has(holder)) return;
          const { state: next, answer } = ask(state, holder, jobs[index] ?? [], { accesses });
          state = next;
          if (answer.kind === "seated") served.add(holder);
        };
        for (const index of order) poll(index);
        // Each holder that is served gives back once; all that wait ask in turn.
        for (let round = 0; round <= holders; round++) {
          for (const holder of served) state = release(state, { holder, now: 0 });
          const [head] = state.holders.filter((each) => each.state === "waiting");
          if (head !== undefined) {
            poll(Number(head.holder));
            expect(served).toContain(head.holder);
          }
          for (let index = 0; index < holders; index++) poll(index);
        }
        expect(served.size).toBe(holders);
      }),
    );
  });
});
