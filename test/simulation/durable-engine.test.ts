import { describe, expect, test } from "vitest";
import { runSimulation } from "./simulation.ts";

describe("the durable engine under crashes, duplicates and reordering", () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])(
    "completes every orchestration with the right answer (seed %i)",
    async (seed) => {
      const report = await runSimulation(seed);
      expect(report.orchestrationCount).toBeGreaterThan(0);
    },
  );

  test("does the same for the same seed", async () => {
    expect(await runSimulation(42)).toEqual(await runSimulation(42));
  });

  test("really crashes on the way", async () => {
    let crashCount = 0;
    for (const seed of [1, 2, 3, 4, 5, 6]) crashCount += (await runSimulation(seed)).crashCount;
    expect(crashCount).toBeGreaterThan(0);
  });
});
