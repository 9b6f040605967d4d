import { describe, expect, test } from "vitest";
import { parseSchedule } from "#local/functions-host/triggers/timer-schedule.ts";

const after = new Date("2026-03-02T10:20:30.500Z"); // a Monday

function next(expression: string, timeZone?: string): string {
  return parseSchedule(expression, timeZone).next(after).toISOString();
}

describe("an NCRONTAB schedule", () => {
  test.each([
    ["* * * * * *", "2026-03-02T10:20:31.000Z"],
    ["0 */5 * * * *", "2026-03-02T10:25:00.000Z"],
    ["*/5 * * * *", "2026-03-02T10:25:00.000Z"],
    ["0 30 9 * * 1-5", "2026-03-03T09:30:00.000Z"],
    ["0 0 0 1,15 * *", "2026-03-15T00:00:00.000Z"],
    ["0 0 0 * Jan Mon", "2027-01-04T00:00:00.000Z"],
    ["15-20 20 10 * * *", "2026-03-03T10:20:15.000Z"],
  ])("%s comes next at %s", (expression, expected) => {
    expect(next(expression)).toBe(expected);
  });

  test("needs both day fields to fit, as NCRONTAB does", () => {
    expect(next("0 0 0 13 * Fri")).toBe("2026-03-13T00:00:00.000Z");
    expect(next("0 0 0 14 * Fri")).toBe("2026-08-14T00:00:00.000Z");
  });

  test("follows a time zone", () => {
    expect(next("0 0 12 * * *", "America/New_York")).toBe("2026-03-02T17:00:00.000Z");
  });

  test("is strictly after the time given", () => {
    const schedule = parseSchedule("0 * * * * *", undefined);
    const first = schedule.next(after);
    expect(schedule.next(first).getTime() - first.getTime()).toBe(60_000);
  });

  test.each(["", "* * *", "@daily", "0 0 0 L * *", "0 0 0 * * 1#2", "0 61 * * * *", "00:05:00"])(
    "%j is refused",
    (expression) => {
      expect(() => parseSchedule(expression, undefined)).toThrow("is not valid");
    },
  );
});
