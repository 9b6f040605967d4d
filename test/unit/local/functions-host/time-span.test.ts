import { expect, test } from "vitest";
import { formatTimeSpan, parseTimeSpanMs } from "#local/functions-host/time-span.ts";

test.each([
  ["00:00:00", 0],
  ["00:05:00", 300_000],
  ["1.02:03:04", 93_784_000],
  ["00:00:00.250", 250],
])("reads %s", (text, expectedMs) => {
  expect(parseTimeSpanMs(text)).toBe(expectedMs);
});

test.each(["5", "00:05", "", "1:2:3", "later"])("refuses %j", (text) => {
  expect(() => parseTimeSpanMs(text)).toThrow("is not a time span");
});

test("writes days, hours, minutes and seconds", () => {
  expect(formatTimeSpan(3 * 86_400_000 + 3_723_000)).toBe("3.01:02:03");
});
