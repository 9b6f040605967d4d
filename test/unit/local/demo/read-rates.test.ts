import { expect, test } from "vitest";
import { formatRate } from "#local/commands/table.ts";
import { ReadRates } from "#local/demo/read-rates.ts";

function measure() {
  const clock = { nowMs: 1000 };
  return { clock, rates: new ReadRates(() => clock.nowMs) };
}

test("a rate needs two reports, and each disk has its own", () => {
  const { clock, rates } = measure();
  expect(rates.note("os", 500)).toBeUndefined();
  expect(rates.note("os", 500)).toBeUndefined();
  clock.nowMs += 500;
  expect(rates.note("os", 1500)).toBe(2000);
  // The same report, read again a little later.
  clock.nowMs += 500;
  expect(rates.note("os", 1500)).toBe(2000);
  expect(rates.note("data", 7)).toBeUndefined();
});

test("a rate looks at the last seconds only", () => {
  const { clock, rates } = measure();
  rates.note("os", 0);
  for (const readBytes of [50_000, 100_000, 100_400]) {
    clock.nowMs += 6000;
    rates.note("os", readBytes);
  }
  clock.nowMs += 2000;
  expect(rates.note("os", 100_800)).toBe(100);
});

test("a disk without news for a while has a rate of 0", () => {
  const { clock, rates } = measure();
  rates.note("os", 0);
  clock.nowMs += 1000;
  expect(rates.note("os", 1000)).toBe(1000);
  clock.nowMs += 5000;
  expect(rates.note("os", 1000)).toBe(0);
});

test("a job that starts again has no negative rate", () => {
  const { clock, rates } = measure();
  rates.note("os", 10_000);
  clock.nowMs += 1000;
  expect(rates.note("os", 100)).toBeUndefined();
  clock.nowMs += 1000;
  expect(rates.note("os", 600)).toBe(500);
});

test("rates are shown in MiB per second", () => {
  expect(formatRate(0)).toBe("0.0 MiB/s");
  expect(formatRate(12.34 * 1024 ** 2)).toBe("12.3 MiB/s");
  expect(formatRate(200.4 * 1024 ** 2)).toBe("200 MiB/s");
});
