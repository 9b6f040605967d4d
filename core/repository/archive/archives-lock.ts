import { HoldfastError } from "../../lib/errors.ts";
import type { BlobStore } from "../../ports/blob-store.ts";
import { objectNames } from "../format/layout.ts";

/**
 * One process at a time writes or deletes archives of a VM: what a writer found lying there must not
 * be deleted under it. Throws `ArchiveBusy` when another one holds them.
 */
export async function holdArchives<Result>(
  store: BlobStore,
  vmId: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const lock = await store.lock(objectNames.archivesLock(vmId), signal);
  if (lock === undefined) {
    throw new HoldfastError(
      "ArchiveBusy",
      `Another process works on the archives of VM ${vmId}, or died less than a minute ago. Try again.`,
      { retry: "backoff", context: { vmId } },
    );
  }
  try {
    return await work(AbortSignal.any([signal, lock.lost]));
  } finally {
    await lock.release();
  }
}
