import { expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { expireVmPoints } from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { withDiskLock } from "#core/repository/writer/disk-lock.ts";
import { failureOf, signal } from "../fixtures.ts";
import { DISK, VM, range, worldOfThreePoints } from "../maintenance/vm-world.ts";

const LOCK = `disks/${DISK}/lock`;

it("waits until the holder has finished, then works and gives the lock back", async () => {
  const store = new MemoryStore();
  const held = await store.lock(LOCK, signal);
  const waits: number[] = [];
  const wait = async (durationMs: number): Promise<void> => {
    waits.push(durationMs);
    if (waits.length === 3) await held?.release();
  };
  const result = await withDiskLock(store, { diskId: DISK, wait }, signal, async () => "done");
  expect(result).toBe("done");
  expect(waits).toEqual([5_000, 5_000, 5_000]);
  expect(await store.lock(LOCK, signal)).toBeDefined();
});

it("gives up after three minutes, with an error that may pass", async () => {
  const store = new MemoryStore();
  await store.lock(LOCK, signal);
  let waitedMs = 0;
  const wait = async (durationMs: number): Promise<void> => {
    waitedMs += durationMs;
  };
  const work = withDiskLock(store, { diskId: DISK, wait }, signal, async () => undefined);
  await expect(work).rejects.toMatchObject({ code: "DiskLocked", retry: "backoff" });
  expect(waitedMs).toBe(180_000);
});

it("stops waiting when it is told to stop", async () => {
  const store = new MemoryStore();
  await store.lock(LOCK, signal);
  const abort = new AbortController();
  const wait = async (): Promise<void> => abort.abort(new HoldfastError("Cancelled", "stop"));
  const work = withDiskLock(store, { diskId: DISK, wait }, abort.signal, async () => undefined);
  expect(await failureOf(work)).toBe("Cancelled");
});

it("gives the lock back when the work fails, and passes its error on", async () => {
  const store = new MemoryStore();
  const lock = { diskId: DISK, wait: async () => undefined };
  const work = withDiskLock(store, lock, signal, async () => {
    throw new HoldfastError("DiskReadFailed", "no disk");
  });
  expect(await failureOf(work)).toBe("DiskReadFailed");
  expect(await store.lock(LOCK, signal)).toBeDefined();
});

/** Calls `before` once, when the manifest of a disk point is about to be created. */
function pausingAtCommit(store: BlobStore, before: () => Promise<void>): BlobStore {
  let isPaused = false;
  return new Proxy(store, {
    get(target, property) {
      const member: unknown = Reflect.get(target, property, target);
      if (typeof member !== "function") return member;
      const method = member.bind(target) as (...call: unknown[]) => unknown;
      if (property !== "create") return method;
      return async (...call: unknown[]) => {
        if (!isPaused && String(call[0]).startsWith(`disks/${DISK}/points/`)) {
          isPaused = true;
          await before();
        }
        return method(...call);
      };
    },
  });
}

it("does not commit after its lock was lost: what its parent needs may have been swept", async () => {
  const world = await worldOfThreePoints();
  const image = world.change("p3", "fourth", range(0, 5));
  const backup = { pointId: "p4", image, parentId: "p3", changed: range(0, 5) };
  const points = ["p1", "p2", "p3"].map((pointId) => ({ vmId: VM, pointId }));
  const store = pausingAtCommit(world.store, async () => {
    world.store.breakLocks();
    await expireVmPoints(
      world.through(),
      { points, activeDiskIds: [], now: () => world.now() },
      signal,
    );
    await world.collectAll();
  });
  const wait = async (): Promise<void> => undefined;
  const first = world.backUp({ ...backup, wait }, store);
  await expect(first).rejects.toMatchObject({ code: "LockLost", retry: "backoff" });
  expect(await world.pointIds()).toEqual([]);
  await world.backUp({ pointId: "p4", image, wait });
  expect(await world.requireIntact()).toEqual(["p4"]);
});

it("keeps garbage collection away while it writes", async () => {
  const world = await worldOfThreePoints();
  const image = world.change("p3", "fourth", range(0, 5));
  const points = ["p1", "p2", "p3"].map((pointId) => ({ vmId: VM, pointId }));
  const store = pausingAtCommit(world.store, async () => {
    await expireVmPoints(
      world.through(),
      { points, activeDiskIds: [], now: () => world.now() },
      signal,
    );
    await world.collectAll();
  });
  const wait = async (): Promise<void> => undefined;
  await world.backUp({ pointId: "p4", image, parentId: "p3", changed: range(0, 5), wait }, store);
  await world.collectAll();
  expect(await world.requireIntact()).toEqual(["p4"]);
  expect(await world.leftovers()).toEqual([]);
});
