import { expect, test } from "vitest";
import { mapBounded } from "#core/lib/bounded-pool.ts";

test("keeps the order of the items and never runs more than the limit at once", async () => {
  let running = 0;
  let mostRunning = 0;
  const results = await mapBounded([5, 1, 4, 2, 3, 0], 2, async (item) => {
    running += 1;
    mostRunning = Math.max(mostRunning, running);
    await new Promise((resolve) => setTimeout(resolve, item));
    running -= 1;
    return item * 10;
  });
  expect(results).toEqual([50, 10, 40, 20, 30, 0]);
  expect(mostRunning).toBe(2);
});

test("throws the first failure, after what runs has ended, and starts nothing more", async () => {
  const started: number[] = [];
  const ended: number[] = [];
  await expect(
    mapBounded([0, 1, 2, 3, 4], 2, async (item) => {
      started.push(item);
      if (item === 0) throw new Error("first");
      await new Promise((resolve) => setTimeout(resolve, 5));
      ended.push(item);
    }),
  ).rejects.toThrow("first");
  expect(started).toEqual([0, 1]);
  expect(ended).toEqual([1]);
});

test("refuses a limit that would never run anything", async () => {
  await expect(mapBounded([1], 0, async () => 1)).rejects.toThrow(/limit 0/);
});
