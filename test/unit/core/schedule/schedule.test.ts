import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_RETENTION } from "#core/model/retention.ts";
import type { Policy } from "#core/model/policy.ts";
import {
  findScheduleFault,
  latestSlot,
  nextSlot,
  planDueBackups,
} from "#core/schedule/schedule.ts";

const BERLIN = "Europe/Berlin";
const NO_VMS = { vmIds: [], tags: [], locations: [], subscriptionIds: [] };

function policyOf(fields: Partial<Policy>): Policy {
  return {
    policyId: "p",
    name: "p",
    enabled: true,
    schedule: { cron: "0 1 * * *", timeZone: "UTC" },
    selection: { include: NO_VMS, exclude: NO_VMS },
    repositoryId: "r",
    maxConcurrentVms: 1,
    retention: DEFAULT_RETENTION,
    createdAt: "2026-01-01T00:00:00.000Z",
    enabledAt: "2026-01-01T00:00:00.000Z",
    updatedAt: "2026-01-01T00:00:00.000Z",
    ...fields,
  };
}

describe("schedule", () => {
  it("is refused with the field that is wrong", () => {
    expect(findScheduleFault({ cron: "0 1 * * *", timeZone: BERLIN })).toBeUndefined();
    expect(findScheduleFault({ cron: "0 1 * * *", timeZone: "Mars/Base" })?.field).toBe("timeZone");
    for (const cron of ["0 1 * *", "0 0 1 * * *", "61 1 * * *", "x 1 * * *", "0 0 30 2 *"])
      expect([cron, findScheduleFault({ cron, timeZone: "UTC" })?.field]).toEqual([cron, "cron"]);
  });

  it("runs a time of day once when the clock is set back, and when it skips that time", () => {
    const schedule = { cron: "30 2 * * *", timeZone: BERLIN };
    const slots: string[] = [];
    let slot = new Date("2026-10-24T00:00:00Z");
    for (let count = 0; count < 3; count++) {
      slot = nextSlot(schedule, slot)!;
      slots.push(slot.toISOString());
    }
    expect(slots).toEqual([
      "2026-10-24T00:30:00.000Z",
      "2026-10-25T00:30:00.000Z",
      "2026-10-26T01:30:00.000Z",
    ]);
    const spring = nextSlot(schedule, new Date("2026-03-28T12:00:00Z"));
    expect(spring?.toISOString().slice(0, 10)).toBe("2026-03-29");
    const after = nextSlot(schedule, spring!);
    expect(after?.toISOString()).toBe("2026-03-30T00:30:00.000Z");
  });

  it("increases strictly, and the latest slot is the one before the next", () => {
    const crons = ["*/15 * * * *", "30 2 * * *", "0 1 1 * *", "15 3 * * 1-5", "0 * * * *"];
    const at = { min: Date.parse("2026-01-01T00:00:00Z"), max: Date.parse("2028-01-01T00:00:00Z") };
    fc.assert(
      fc.property(
        fc.constantFrom(...crons),
        fc.constantFrom("UTC", BERLIN, "America/New_York", "Australia/Lord_Howe"),
        fc.integer(at),
        (cron, timeZone, instant) => {
          const now = new Date(instant);
          const next = nextSlot({ cron, timeZone }, now)!;
          const latest = latestSlot({ cron, timeZone }, now)!;
          expect(next.getTime()).toBeGreaterThan(instant);
          expect(latest.getTime()).toBeLessThanOrEqual(instant);
          expect(latestSlot({ cron, timeZone }, next)).toEqual(next);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("due backups", () => {
  const now = new Date("2026-06-10T01:00:30.000Z");
  const slotsOf = (policies: Policy[], last?: string): string[] =>
    planDueBackups(policies, new Map(last === undefined ? [] : [["p", new Date(last)]]), now).map(
      (due) => due.slot.toISOString(),
    );

  it.each([
    ["due now", policyOf({}), "2026-06-09T01:00:00Z", ["2026-06-10T01:00:00.000Z"]],
    ["started already", policyOf({}), "2026-06-10T01:00:00Z", []],
    ["disabled", policyOf({ enabled: false }), undefined, []],
    ["never started", policyOf({}), undefined, ["2026-06-10T01:00:00.000Z"]],
    ["enabled after the slot", policyOf({ enabledAt: "2026-06-10T01:00:01.000Z" }), undefined, []],
    [
      "enabled again after its last slot",
      policyOf({ enabledAt: "2026-06-10T01:00:01.000Z" }),
      "2026-06-01T01:00:00Z",
      [],
    ],
  ])("%s", (_name, policy, last, expected) => {
    expect(slotsOf([policy], last)).toEqual(expected);
  });

  it("runs missed slots once and says how many there were", () => {
    const last = new Map([["p", new Date("2026-06-06T01:00:00Z")]]);
    const [due, ...others] = planDueBackups([policyOf({})], last, now);
    expect(others).toEqual([]);
    expect(due?.reasons).toEqual([
      "slot 2026-06-10T01:00:00.000Z is due",
      "3 earlier slots were missed: run once, as this",
    ]);
  });
});
