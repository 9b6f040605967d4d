import { lostLock, watchLock } from "./lock-watch.ts";
import type { StoreLock } from "#core/ports/blob-store.ts";
import { azureCodeOf, callAzure } from "../errors.ts";

const LEASE_SECONDS = 60;
/** A renewal that takes longer will not be waited for: the next one tries anew. */
const RENEWAL_TIMEOUT_MS = 10_000;

/** What is used of the SDK's `BlobLeaseClient`. */
export interface BlobLease {
  acquireLease(seconds: number, options: { abortSignal: AbortSignal }): Promise<unknown>;
  renewLease(options: { abortSignal: AbortSignal }): Promise<unknown>;
  releaseLease(): Promise<unknown>;
}

/**
 * Acquires a lease and renews it until it is released; undefined when another holder has it. A
 * repeated acquire or renewal of the same lease client succeeds, so that lost answers do no harm;
 * a lease that ran out can be renewed only while nobody else has taken it
 * (learn.microsoft.com/rest/api/storageservices/lease-blob).
 */
export async function keepLease(
  lease: BlobLease,
  name: string,
  signal: AbortSignal,
): Promise<StoreLock | undefined> {
  // Before the request: the lease counts from some moment between this and the answer.
  const askedAt = Date.now();
  const isHeld = await callAzure(`lease the object ${name}`, async () => {
    try {
      await lease.acquireLease(LEASE_SECONDS, { abortSignal: signal });
      return true;
    } catch (error) {
      if (isOfAnother(error)) return false;
      throw error;
    }
  });
  if (!isHeld) return undefined;
  return watchLock({
    askedAt,
    renew: async () => {
      try {
        await lease.renewLease({ abortSignal: AbortSignal.timeout(RENEWAL_TIMEOUT_MS) });
        return "renewed";
      } catch (error) {
        const isOver = isOfAnother(error) || azureCodeOf(error) === "BlobNotFound";
        if (isOver) throw lostLock(name);
        return "unknown";
      }
    },
    // A lease that cannot be released ends by itself.
    release: () => lease.releaseLease().catch(() => undefined),
    name,
  });
}

/** `LeaseAlreadyPresent`, `LeaseIsBreakingAndCannotBeAcquired`, `LeaseLost` and their siblings. */
function isOfAnother(error: unknown): boolean {
  return azureCodeOf(error)?.startsWith("Lease") === true;
}
