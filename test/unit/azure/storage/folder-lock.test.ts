import { mkdtemp, readdir, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { codeOf } from "#core/lib/errors.ts";
import type { StoreLock } from "#core/ports/blob-store.ts";
import { lockFile } from "#azure/storage/folder-lock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "holdfast-folder-lock-"));
});
afterEach(async () => {
  vi.useRealTimers();
  await rm(folder, { recursive: true });
});

const ask = () => lockFile(join(folder, "lock"), "disks/d/lock");

async function take(): Promise<StoreLock> {
  const lock = await ask();
  if (lock === undefined) throw new Error("The lock was not given.");
  return lock;
}

/** Its holder died two minutes ago. */
async function silence(generation: number): Promise<void> {
  const then = new Date(Date.now() - 120_000);
  await utimes(join(folder, `lock.${generation}.held`), then, then);
}

const useFakeTimers = () =>
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date", "performance"] });

test("exactly one of many takes over the lock of a dead holder, again and again", async () => {
  const dead = await take();
  for (let generation = 1; generation <= 20; generation++) {
    await silence(generation);
    const got = (await Promise.all(Array.from({ length: 8 }, ask))).filter(Boolean);
    expect(got).toHaveLength(1);
  }
  await dead.release();
  expect(await ask()).toBeUndefined();
  expect((await readdir(folder)).length).toBeLessThanOrEqual(3);
});

test("many who take turns are never two at once", async () => {
  let holders = 0;
  let turns = 0;
  const work = async () => {
    for (let attempt = 0; attempt < 2_000 && turns < 30; attempt++) {
      const lock = await ask();
      if (lock === undefined) continue;
      expect(++holders).toBe(1);
      await new Promise((resolve) => setImmediate(resolve));
      holders--;
      turns++;
      await lock.release();
    }
  };
  await Promise.all([work(), work(), work(), work()]);
  expect(turns).toBeGreaterThanOrEqual(30);
});

test("a holder whose lock was taken over learns it at its next renewal", async () => {
  useFakeTimers();
  const first = await take();
  await silence(1);
  const second = await take();
  await vi.advanceTimersByTimeAsync(16_000);
  await vi.waitFor(() => expect(first.lost.aborted).toBe(true));
  expect(codeOf(first.lost.reason)).toBe("LockLost");
  expect(second.lost.aborted).toBe(false);
  await first.release();
  expect(await ask()).toBeUndefined();
});

test("a holder that was suspended for minutes learns that before it renews", async () => {
  useFakeTimers();
  const lock = await take();
  vi.setSystemTime(Date.now() + 180_000);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(lock.lost.aborted).toBe(true);
});

test("a holder that renews keeps the lock", async () => {
  useFakeTimers();
  const lock = await take();
  await silence(1);
  await vi.advanceTimersByTimeAsync(16_000);
  const touchedAt = async () => (await stat(join(folder, "lock.1.held"))).mtimeMs;
  await vi.waitFor(async () => expect(Date.now() - (await touchedAt())).toBeLessThan(60_000));
  expect(await ask()).toBeUndefined();
  expect(lock.lost.aborted).toBe(false);
  await lock.release();
  expect(await ask()).toBeDefined();
});
