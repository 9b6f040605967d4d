import { expect, it } from "vitest";
import { memoryVerdictsOf } from "../../../bench/memory-verdicts.ts";

const peaks = (fullMib: number, incrementalMib: number, restoreMib: number) => ({
  fullMib,
  incrementalMib,
  restoreMib,
});

it("meets both bars below 512 MiB and with like peaks for all sizes", () => {
  const verdicts = memoryVerdictsOf([peaks(400, 410, 420), peaks(390, 405, 470)]);
  expect(verdicts.map(({ valueMib, isMet }) => [valueMib, isMet])).toEqual([
    [470, true],
    [50, true],
  ]);
});

it("misses the first bar when any step of any size reaches 512 MiB", () => {
  const verdicts = memoryVerdictsOf([peaks(480, 490, 512), peaks(470, 480, 490)]);
  expect(verdicts.map(({ isMet }) => isMet)).toEqual([false, true]);
});

it("misses the second bar when one step takes more for another size", () => {
  const verdicts = memoryVerdictsOf([peaks(300, 310, 320), peaks(300, 380, 381)]);
  expect(verdicts.map(({ valueMib, isMet }) => [valueMib, isMet])).toEqual([
    [381, true],
    [70, false],
  ]);
});
