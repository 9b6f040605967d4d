import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_RETENTION, retentionSchema } from "#core/model/retention.ts";
import { HELD_COUNT_MIN, whyHeldBack } from "#core/retention/hold-back.ts";
import { periodKey, periodStartAfter } from "#core/retention/local-calendar.ts";
import {
  expiryOf,
  planRetention,
  type RetainedPoint,
  type RetentionRules,
} from "#core/retention/plan-retention.ts";

const NOTHING = { days: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, minimumCount: 1 };
const HOUR = 3600 * 1000;
const rulesOf = (fields: Partial<RetentionRules>): RetentionRules => ({
  ...NOTHING,
  policyId: "p",
  timeZone: "Europe/Berlin",
  ...fields,
});
const pointAt = (takenAt: string, fields: Partial<RetainedPoint> = {}): RetainedPoint => ({
  pointId: takenAt,
  takenAt,
  isSound: true,
  ...fields,
});

/** Every day at 01:00 in Berlin, from the first to the last day. */
function daily(first: string, last: string, rules: RetentionRules): RetainedPoint[] {
  const points: RetainedPoint[] = [];
  for (let at = Date.parse(first); at <= Date.parse(last); at += 24 * HOUR)
    points.push(pointAt(new Date(at).toISOString(), { rules }));
  return points;
}
const kept = (points: readonly RetainedPoint[], now: string): string[] =>
  planRetention(points, new Date(now)).flatMap(({ pointId, decision }) =>
    decision === "keep" ? pointId.slice(0, 10) : [],
  );

describe("retention of daily points", () => {
  const year = (fields: Partial<RetentionRules>): RetainedPoint[] =>
    daily("2025-11-01T00:00:00.000Z", "2026-11-22T00:00:00.000Z", rulesOf(fields));
  const now = "2026-11-22T12:00:00.000Z";

  it.each([
    [{ days: 3 }, ["2026-11-20", "2026-11-21", "2026-11-22"]],
    [{ daily: 2 }, ["2026-11-21", "2026-11-22"]],
    [{ weekly: 2 }, ["2026-11-09", "2026-11-16", "2026-11-22"]],
    [{ monthly: 3 }, ["2026-09-01", "2026-10-01", "2026-11-01", "2026-11-22"]],
    [{ yearly: 1 }, ["2026-01-01", "2026-11-22"]],
    [{ yearly: 2 }, ["2025-11-01", "2026-01-01", "2026-11-22"]],
    [{ days: 1, minimumCount: 4 }, ["2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22"]],
  ])("by %j", (fields, expected) => {
    expect(kept(year(fields), now)).toEqual(expected);
  });

  it("gives each its reasons", () => {
    const decisions = planRetention(year({ days: 2, monthly: 12 }), new Date(now));
    const of = (day: string) => decisions.find(({ pointId }) => pointId.startsWith(day));
    expect(of("2026-11-22")?.reasons).toEqual([
      "the newest restore point",
      "within 2 days until 2026-11-24T00:00:00.000Z",
    ]);
    expect(of("2026-11-01")?.reasons).toEqual([
      "first of its month, one of 12 until 2027-10-31T23:00:00.000Z",
    ]);
    expect(of("2026-11-03")).toMatchObject({
      decision: "expire",
      reasons: ["expired at 2026-11-05T00:00:00.000Z"],
    });
  });
});

describe("retention of single points", () => {
  const later = pointAt("2026-11-20T00:00:00.000Z", { keepUntil: "2026-12-01T00:00:00.000Z" });

  it("keeps what nobody gave rules", () => {
    const points = [pointAt("2016-01-01T00:00:00.000Z"), later];
    const [first] = planRetention(points, new Date("2026-11-22T00:00:00Z"));
    expect(first).toMatchObject({ decision: "keep", reasons: ["no rule says how long it stays"] });
  });

  it("expires what was stated, when it was stated", () => {
    const keepUntil = "2026-11-10T00:00:00.000Z";
    const point = pointAt("2026-11-01T00:00:00.000Z", { keepUntil });
    expect(kept([point, later], "2026-11-09T23:59:59Z")).toContain("2026-11-01");
    expect(kept([point, later], keepUntil)).not.toContain("2026-11-01");
  });

  it("keeps what is immutable or held longer than its rules", () => {
    const rules = rulesOf({ days: 1 });
    const until = "2027-01-01T00:00:00.000Z";
    const points = [
      pointAt("2026-11-01T00:00:00.000Z", { rules, immutableUntil: until }),
      pointAt("2026-11-02T00:00:00.000Z", { rules, keepUntil: until }),
      pointAt("2026-11-03T00:00:00.000Z", { rules }),
      later,
    ];
    expect(kept(points, "2026-11-22T00:00:00Z")).toEqual([
      "2026-11-01",
      "2026-11-02",
      "2026-11-20",
    ]);
  });

  it("lets a sound point stand for a period whose first one is damaged", () => {
    const rules = rulesOf({ monthly: 6 });
    const points = [
      pointAt("2026-10-01T00:00:00.000Z", { rules, isSound: false }),
      pointAt("2026-10-02T00:00:00.000Z", { rules }),
      pointAt("2026-10-03T00:00:00.000Z", { rules }),
      later,
    ];
    expect(kept(points, "2026-11-22T00:00:00Z")).toEqual([
      "2026-10-01",
      "2026-10-02",
      "2026-11-20",
    ]);
  });

  it("compares no points of different policies", () => {
    const points = [
      pointAt("2026-10-01T00:00:00.000Z", { rules: rulesOf({ days: 1, policyId: "other" }) }),
      pointAt("2026-10-02T00:00:00.000Z", { rules: rulesOf({ monthly: 6 }) }),
      pointAt("2026-10-03T00:00:00.000Z", { rules: rulesOf({ monthly: 6 }) }),
      later,
    ];
    expect(kept(points, "2026-11-22T00:00:00Z")).toEqual(["2026-10-02", "2026-11-20"]);
  });

  it("counts no damaged point as the newest", () => {
    const rules = rulesOf({ days: 1 });
    const points = [
      pointAt("2026-10-01T00:00:00.000Z", { rules }),
      pointAt("2026-10-02T00:00:00.000Z", { rules, isSound: false }),
    ];
    expect(kept(points, "2026-11-22T00:00:00Z")).toEqual(["2026-10-01"]);
  });
});

describe("calendar of a zone", () => {
  it.each([
    // Clocks go forward on 29 March 2026 in Berlin: that day has 23 hours.
    ["2026-03-28T12:00:00Z", "day", 1, "Europe/Berlin", "2026-03-28T23:00:00.000Z"],
    ["2026-03-28T12:00:00Z", "day", 2, "Europe/Berlin", "2026-03-29T22:00:00.000Z"],
    ["2026-10-25T12:00:00Z", "day", 1, "Europe/Berlin", "2026-10-25T23:00:00.000Z"],
    ["2026-10-21T12:00:00Z", "week", 1, "Europe/Berlin", "2026-10-25T23:00:00.000Z"],
    ["2026-12-31T23:30:00Z", "year", 1, "Europe/Berlin", "2027-12-31T23:00:00.000Z"],
    ["2026-01-31T12:00:00Z", "month", 1, "UTC", "2026-02-01T00:00:00.000Z"],
    // In Cairo clocks go from 00:00 to 01:00 on 24 April 2026: that midnight does not exist.
    ["2026-04-23T12:00:00Z", "day", 1, "Africa/Cairo", "2026-04-23T22:00:00.000Z"],
    ["2026-11-22T12:00:00Z", "day", 1, "Pacific/Kiritimati", "2026-11-23T10:00:00.000Z"],
  ] as const)("after %s the %s +%i in %s starts at %s", (at, period, after, zone, expected) => {
    const start = periodStartAfter(new Date(at), period, after, zone);
    expect(start.toISOString()).toBe(expected);
    const before = new Date(start.getTime() - 1);
    expect(periodKey(start, period, zone)).not.toBe(periodKey(before, period, zone));
  });
});

const counts = fc.record({
  days: fc.integer({ min: 0, max: 40 }),
  daily: fc.integer({ min: 0, max: 20 }),
  weekly: fc.integer({ min: 0, max: 10 }),
  monthly: fc.integer({ min: 0, max: 6 }),
  yearly: fc.integer({ min: 0, max: 2 }),
  minimumCount: fc.integer({ min: 1, max: 5 }),
  policyId: fc.constant("p"),
  timeZone: fc.constantFrom("UTC", "Europe/Berlin", "America/New_York", "Africa/Cairo"),
});
/** Points over two years, from hours to weeks apart. */
const times = fc.uniqueArray(fc.integer({ min: 0, max: 17_000 }), { minLength: 1, maxLength: 40 });
const BASE = Date.parse("2024-10-01T00:00:00Z");
const pointsOf = (hours: readonly number[], rules: RetentionRules): RetainedPoint[] =>
  hours.map((hour, index) =>
    pointAt(new Date(BASE + hour * HOUR).toISOString(), {
      pointId: `p${hour}`,
      rules,
      isSound: index % 7 !== 3,
    }),
  );
const keptIds = (points: readonly RetainedPoint[], hour: number): Set<string> =>
  new Set(
    planRetention(points, new Date(BASE + hour * HOUR)).flatMap(({ pointId, decision }) =>
      decision === "keep" ? pointId : [],
    ),
  );
const isSubset = (left: Set<string>, right: Set<string>): boolean =>
  [...left].every((each) => right.has(each));

describe("any retention", () => {
  it("never revives what expired, whenever it is planned again", () => {
    fc.assert(
      fc.property(times, counts, fc.nat(20_000), fc.nat(9000), (hours, rules, hour, more) => {
        const points = pointsOf(hours, rules);
        expect(isSubset(keptIds(points, hour + more), keptIds(points, hour))).toBe(true);
      }),
    );
  });

  it("expires nothing more once the expired ones are gone", () => {
    fc.assert(
      fc.property(times, counts, fc.nat(20_000), (hours, rules, hour) => {
        const points = pointsOf(hours, rules);
        const left = keptIds(points, hour);
        const rest = points.filter(({ pointId }) => left.has(pointId));
        expect(keptIds(rest, hour)).toEqual(left);
      }),
    );
  });

  it("keeps the newest sound point, and the minimum of them", () => {
    fc.assert(
      fc.property(times, counts, fc.nat(90_000), (hours, rules, hour) => {
        const points = pointsOf(hours, rules);
        const sound = points
          .filter(({ isSound }) => isSound)
          .toSorted((left, right) => Date.parse(left.takenAt) - Date.parse(right.takenAt));
        const left = keptIds(points, hour);
        for (const { pointId } of sound.slice(-rules.minimumCount))
          expect(left.has(pointId)).toBe(true);
      }),
    );
  });

  it("keeps a superset when a rule becomes more generous", () => {
    fc.assert(
      fc.property(times, counts, counts, fc.nat(20_000), (hours, rules, more, hour) => {
        const generous = {
          days: rules.days + more.days,
          daily: rules.daily + more.daily,
          weekly: rules.weekly + more.weekly,
          monthly: rules.monthly + more.monthly,
          yearly: rules.yearly + more.yearly,
          minimumCount: rules.minimumCount + more.minimumCount,
          policyId: rules.policyId,
          timeZone: rules.timeZone,
        };
        const left = keptIds(pointsOf(hours, rules), hour);
        expect(isSubset(left, keptIds(pointsOf(hours, generous), hour))).toBe(true);
      }),
    );
  });

  it("expires a point no earlier than was known when it was made", () => {
    fc.assert(
      fc.property(times, counts, fc.nat(20_000), (hours, rules, wanted) => {
        // Retention never looks from before a point was taken.
        const hour = Math.max(wanted, ...hours);
        const points = pointsOf(
          hours.toSorted((left, right) => left - right),
          rules,
        );
        const now = BASE + hour * HOUR;
        const left = keptIds(points, hour);
        for (const [index, point] of points.entries()) {
          const until = expiryOf(point, points.slice(0, index));
          if (until !== undefined && until.getTime() > now) expect(left).toContain(point.pointId);
        }
      }),
    );
  });
});

describe("the rules of a policy", () => {
  it("have a default, and must keep something", () => {
    expect(retentionSchema.parse({ days: 30 })).toEqual(DEFAULT_RETENTION);
    expect(retentionSchema.safeParse({}).success).toBe(false);
    expect(retentionSchema.safeParse({ days: 7, minimumCount: 0 }).success).toBe(false);
    expect(retentionSchema.safeParse({ hourly: 7 }).success).toBe(false);
  });
});

describe("the safety gate", () => {
  const decisions = (expiring: number, keeping: number) =>
    Array.from({ length: expiring + keeping }, (_, index) => ({
      pointId: `p${index}`,
      decision: index < expiring ? ("expire" as const) : ("keep" as const),
      reasons: [],
    }));

  it.each([
    [0, 0, undefined],
    [HELD_COUNT_MIN, 1, undefined],
    [HELD_COUNT_MIN + 1, 1, `${HELD_COUNT_MIN + 1} of ${HELD_COUNT_MIN + 2} restore points`],
    [10, 10, undefined],
    [11, 10, "11 of 21 restore points"],
  ])("%i expiring beside %i", (expiring, keeping, held) => {
    const why = whyHeldBack(decisions(expiring, keeping));
    if (held === undefined) expect(why).toBeUndefined();
    else expect(why).toContain(held);
  });
});
