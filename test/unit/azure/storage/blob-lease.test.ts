import { RestError } from "@azure/storage-blob";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { codeOf } from "#core/lib/errors.ts";
import type { StoreLock } from "#core/ports/blob-store.ts";
import { keepLease, type BlobLease } from "#azure/storage/blob-lease.ts";

const signal = new AbortController().signal;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date", "performance"] });
});
afterEach(() => vi.useRealTimers());

/** A lease that answers what the test wants. */
class StagedLease implements BlobLease {
  renewals = 0;
  releases = 0;
  refusal: Error | undefined;
  hangs = false;

  async acquireLease(): Promise<void> {
    if (this.refusal !== undefined) throw this.refusal;
  }
  async renewLease(): Promise<void> {
    this.renewals++;
    if (this.hangs) await new Promise(() => undefined);
    if (this.refusal !== undefined) throw this.refusal;
  }
  async releaseLease(): Promise<void> {
    this.releases++;
    if (this.refusal !== undefined) throw this.refusal;
  }
}

function refusalOf(code: string, statusCode?: number): Error {
  return new RestError(code, { code, ...(statusCode === undefined ? {} : { statusCode }) });
}

async function hold(lease: BlobLease): Promise<StoreLock> {
  const lock = await keepLease(lease, "disks/d/lock", signal);
  if (lock === undefined) throw new Error("The lease was not given.");
  return lock;
}

test("a lease is renewed four times a minute while it is held, and no more when released", async () => {
  const lease = new StagedLease();
  const lock = await hold(lease);
  await vi.advanceTimersByTimeAsync(300_000);
  expect(lease.renewals).toBe(20);
  expect(lock.lost.aborted).toBe(false);
  await lock.release();
  await vi.advanceTimersByTimeAsync(300_000);
  expect([lease.renewals, lease.releases]).toEqual([20, 1]);
});

test.each(["LeaseAlreadyPresent", "LeaseIsBreakingAndCannotBeAcquired"])(
  "another's lease (%s) is not ours",
  async (code) => {
    const lease = new StagedLease();
    lease.refusal = refusalOf(code, 409);
    expect(await keepLease(lease, "lock", signal)).toBeUndefined();
  },
);

test("a refusal of another kind is an error", async () => {
  const lease = new StagedLease();
  lease.refusal = refusalOf("AuthorizationPermissionMismatch", 403);
  await expect(keepLease(lease, "lock", signal)).rejects.toThrow("AuthorizationPermissionMismatch");
});

test.each([
  ["LeaseLost", 412],
  ["LeaseIdMismatchWithLeaseOperation", 409],
  ["BlobNotFound", 404],
])("a renewal that is refused with %s is a loss at once", async (code, status) => {
  const lease = new StagedLease();
  const lock = await hold(lease);
  lease.refusal = refusalOf(code, status);
  await vi.advanceTimersByTimeAsync(16_000);
  expect(lock.lost.aborted).toBe(true);
  expect(codeOf(lock.lost.reason)).toBe("LockLost");
});

test("renewals that fail without an answer are tried again, and are a loss within a lease's life", async () => {
  const lease = new StagedLease();
  const lock = await hold(lease);
  await vi.advanceTimersByTimeAsync(16_000);
  lease.refusal = refusalOf("ECONNRESET");
  await vi.advanceTimersByTimeAsync(30_000);
  expect(lock.lost.aborted).toBe(false);
  lease.refusal = undefined;
  await vi.advanceTimersByTimeAsync(16_000);
  lease.refusal = refusalOf("ServerBusy", 503);
  await vi.advanceTimersByTimeAsync(40_000);
  expect(lock.lost.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(18_000);
  expect(lock.lost.aborted).toBe(true);
});

test("a renewal that hangs is a loss within a lease's life", async () => {
  const lease = new StagedLease();
  const lock = await hold(lease);
  lease.hangs = true;
  await vi.advanceTimersByTimeAsync(44_000);
  expect(lock.lost.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(3_000);
  expect(lock.lost.aborted).toBe(true);
});

test("a holder that slept for minutes knows at its first look at the clock", async () => {
  const lease = new StagedLease();
  const lock = await hold(lease);
  // Suspended: the wall clock goes on, timers and the monotonic clock stand still.
  vi.setSystemTime(Date.now() + 300_000);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(lock.lost.aborted).toBe(true);
  expect(lease.renewals).toBe(0);
});

test("a wall clock that is set back hides no silence", async () => {
  const lease = new StagedLease();
  const lock = await hold(lease);
  lease.refusal = refusalOf("ECONNRESET");
  vi.setSystemTime(Date.now() - 3_600_000);
  await vi.advanceTimersByTimeAsync(47_000);
  expect(lock.lost.aborted).toBe(true);
});

test("release never throws", async () => {
  const lease = new StagedLease();
  const lock = await hold(lease);
  lease.refusal = refusalOf("LeaseIdMismatchWithLeaseOperation", 409);
  await lock.release();
  expect(lease.releases).toBe(1);
});
