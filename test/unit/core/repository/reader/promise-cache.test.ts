import { expect, it } from "vitest";
import { PromiseCache } from "#core/repository/reader/promise-cache.ts";
import { signal } from "../fixtures.ts";

/** Loads that end when the test says so, or when their signal aborts. */
class Loads {
  readonly started: { readonly signal: AbortSignal; readonly finish: (value: string) => void }[] =
    [];

  readonly load = (signal: AbortSignal): Promise<string> => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    signal.addEventListener("abort", () => reject(signal.reason));
    this.started.push({ signal, finish: resolve });
    return promise;
  };
}

it("shares one load between requests, and keeps its result", async () => {
  const cache = new PromiseCache<string>(2);
  const { load, started } = new Loads();
  const both = Promise.all([cache.get(1, load, signal), cache.get(1, load, signal)]);
  started[0]?.finish("value");
  expect(await both).toEqual(["value", "value"]);
  expect(await cache.get(1, load, signal)).toBe("value");
  expect(started).toHaveLength(1);
});

it("goes on for the others when the request that began a load is aborted", async () => {
  const cache = new PromiseCache<string>(2);
  const { load, started } = new Loads();
  const first = new AbortController();
  const aborted = cache.get(1, load, first.signal);
  const other = cache.get(1, load, signal);
  first.abort(new Error("first gave up"));
  await expect(aborted).rejects.toThrow("first gave up");
  started[0]?.finish("value");
  expect(await other).toBe("value");
  expect(started).toHaveLength(1);
});

it("ends a load that nobody waits for any more, and begins anew for the next request", async () => {
  const cache = new PromiseCache<string>(2);
  const { load, started } = new Loads();
  const stops = [new AbortController(), new AbortController()];
  const requests = stops.map((stop) => cache.get(1, load, stop.signal));
  for (const stop of stops) stop.abort(new Error("gave up"));
  for (const request of requests) await expect(request).rejects.toThrow("gave up");
  expect(started[0]?.signal.aborted).toBe(true);
  const next = cache.get(1, load, signal);
  started[1]?.finish("again");
  expect(await next).toBe("again");
});

it("does not begin a load for a request that is aborted already", async () => {
  const cache = new PromiseCache<string>(2);
  const { load, started } = new Loads();
  await expect(cache.get(1, load, AbortSignal.abort(new Error("too late")))).rejects.toThrow(
    "too late",
  );
  expect(started).toHaveLength(0);
});

it("forgets a load that failed", async () => {
  const cache = new PromiseCache<string>(2);
  const failing = cache.get(1, async () => Promise.reject(new Error("busy")), signal);
  await expect(failing).rejects.toThrow("busy");
  expect(cache.has(1)).toBe(false);
  expect(await cache.get(1, async () => "value", signal)).toBe("value");
});

it("drops what was not used for longest, but serves those who wait for it", async () => {
  const cache = new PromiseCache<string>(2);
  const { load, started } = new Loads();
  const slow = cache.get(1, load, signal);
  for (const key of [2, 3]) await cache.get(key, async () => "other", signal);
  expect([1, 2, 3].filter((key) => cache.has(key))).toEqual([2, 3]);
  started[0]?.finish("late");
  expect(await slow).toBe("late");
});
