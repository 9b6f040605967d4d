/**
 * The lock of one disk: who holds it is the only one that writes points of the disk or collects its
 * garbage. It ends about a minute after its holder died (`core/ports/blob-store.ts`).
 */
import { HoldfastError } from "../../lib/errors.ts";
import type { BlobStore, StoreLock } from "../../ports/blob-store.ts";
import { objectNames } from "../format/layout.ts";

/** Sleeps; given by the edge, because core has no clock. May return early when aborted. */
export type Wait = (durationMs: number, signal: AbortSignal) => Promise<void>;

const POLL_MS = 5_000;
/** Three minutes: a dead holder's lock ends after one, most garbage collections take less. */
const POLLS_MAX = 36;

/**
 * Runs `work` under the disk's lock. The signal that `work` gets aborts when the lock is lost; what
 * it throws then becomes `LockLost`. Throws `DiskLocked` when another holder goes on for too long.
 * Both are worth another try later.
 */
export async function withDiskLock<Result>(
  store: BlobStore,
  { diskId, wait }: { readonly diskId: string; readonly wait: Wait },
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const lock = await takeLock(store, diskId, wait, signal);
  try {
    return await work(AbortSignal.any([signal, lock.lost]));
  } catch (error) {
    if (lock.lost.aborted && !signal.aborted) throw lockLost(diskId, error);
    throw error;
  } finally {
    await lock.release();
  }
}

async function takeLock(
  store: BlobStore,
  diskId: string,
  wait: Wait,
  signal: AbortSignal,
): Promise<StoreLock> {
  for (let poll = 0; poll <= POLLS_MAX; poll++) {
    if (poll > 0) await wait(POLL_MS, signal);
    signal.throwIfAborted();
    const lock = await store.lock(objectNames.diskLock(diskId), signal);
    if (lock !== undefined) return lock;
  }
  throw new HoldfastError(
    "DiskLocked",
    `Another backup or a garbage collection of disk ${diskId} is running. Try again later.`,
    { retry: "backoff", context: { diskId } },
  );
}

function lockLost(diskId: string, cause: unknown): HoldfastError {
  return new HoldfastError(
    "LockLost",
    `The lock of disk ${diskId} was lost while a point was being written; it was not committed. ` +
      "Run this backup again: what was stored is used.",
    { retry: "backoff", context: { diskId }, cause },
  );
}
