import { expect, it } from "vitest";
import { AdaptiveLimit } from "#azure/disk/adaptive-limit.ts";

const signal = new AbortController().signal;

it("grows by about one per round of successes, up to its maximum", async () => {
  const limit = new AdaptiveLimit({ initial: 2, max: 5 });
  for (let round = 0; round < 40; round++) (await limit.acquire(signal)).release("ok");
  expect(limit.limit).toBe(5);
});

it("halves once for push-backs of one round, and never below one", async () => {
  const limit = new AdaptiveLimit({ initial: 8, max: 16 });
  const round = await Promise.all(Array.from({ length: 8 }, () => limit.acquire(signal)));
  for (const slot of round) slot.release("congested");
  expect(limit.limit).toBe(4);
  for (let index = 0; index < 5; index++) (await limit.acquire(signal)).release("congested");
  expect(limit.limit).toBe(1);
});

it("never runs more than its limit, and starts who waits in order", async () => {
  const limit = new AdaptiveLimit({ initial: 2, max: 2 });
  let running = 0;
  let most = 0;
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const slot = await limit.acquire(signal);
      order.push(index);
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      slot.release("failed");
    }),
  );
  expect(most).toBe(2);
  expect(order).toEqual([...order].sort((left, right) => left - right));
});

it("lets a waiting request go when it is cancelled, without losing a slot", async () => {
  const limit = new AdaptiveLimit({ initial: 1, max: 1 });
  const slot = await limit.acquire(signal);
  const controller = new AbortController();
  const waiting = limit.acquire(controller.signal);
  controller.abort(new Error("stop"));
  await expect(waiting).rejects.toThrow("stop");
  slot.release("failed");
  (await limit.acquire(signal)).release("failed");
});
