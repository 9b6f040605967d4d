import type { BlobClient } from "@azure/storage-blob";
import type { StoreLock } from "#core/ports/blob-store.ts";
import { azureCodeOf, callAzure } from "../errors.ts";

const LEASE_SECONDS = 60;
const RENEWAL_MS = 15_000;
/** Without a renewal for this long the lease may be over; the rest is for clocks and lost answers. */
const DOUBT_AFTER_MS = 45_000;

/** Acquires a lease and renews it until it is released; undefined when another holder has it. */
export async function keepLease(
  blob: BlobClient,
  signal: AbortSignal,
): Promise<StoreLock | undefined> {
  const lease = blob.getBlobLeaseClient();
  const isHeld = await callAzure(`lease ${blob.name}`, async () => {
    try {
      await lease.acquireLease(LEASE_SECONDS, { abortSignal: signal });
      return true;
    } catch (error) {
      if (azureCodeOf(error) === "LeaseAlreadyPresent") return false;
      throw error;
    }
  });
  if (!isHeld) return undefined;
  const lost = new AbortController();
  let renewedAtMs = Date.now();
  const renew = async (): Promise<void> => {
    try {
      await lease.renewLease();
      renewedAtMs = Date.now();
    } catch (error) {
      const isOver = azureCodeOf(error)?.startsWith("Lease") === true;
      if (isOver || Date.now() - renewedAtMs > DOUBT_AFTER_MS) lost.abort(error);
    }
  };
  const timer = setInterval(() => void renew(), RENEWAL_MS);
  timer.unref();
  return {
    lost: lost.signal,
    release: async () => {
      clearInterval(timer);
      // A lease that cannot be released ends by itself.
      await lease.releaseLease().catch(() => undefined);
    },
  };
}
