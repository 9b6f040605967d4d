import { HoldfastError } from "#core/lib/errors.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import type { DiskData } from "#core/ports/disk-data.ts";
import type { KeyWrapper } from "#core/ports/key-wrapper.ts";
import type { ProbeNetwork } from "#core/ports/probe-network.ts";
import type { RepositoryTarget } from "#core/protocol/job.ts";
import type { WorkerEventBody } from "#core/protocol/worker-event.ts";
import type { RepositorySecret } from "#core/repository/index.ts";
import type { DataMover } from "../data-mover/data-mover.ts";
import type { Clock } from "../clock.ts";

/** The part of the data mover that jobs need. */
export type Mover = Pick<
  DataMover,
  "backupDisk" | "backupPart" | "restoreDisk" | "archiveVmPoint" | "checkRepository"
> &
  AsyncDisposable;

/** What jobs are done with; made by the composition root, or by a test. */
export interface JobTools {
  readonly openStore: (target: RepositoryTarget) => BlobStore;
  readonly diskData: DiskData;
  /** @param diskCount disks that will be moved at the same time: they share its memory */
  readonly startMover: (diskCount: number) => Mover;
  /** Tells the control plane, again and again until the queue has taken it; throws on abort. */
  readonly sendEvent: (body: WorkerEventBody, signal: AbortSignal) => Promise<void>;
  /** Opens repositories whose key is in a key vault, with the worker's identity. */
  readonly keyVault: KeyWrapper;
  /** What the doctor looks with. */
  readonly probeNetwork: ProbeNetwork;
  /** Cryptographically strong bytes. */
  readonly random: (byteCount: number) => Uint8Array;
  readonly clock: Clock;
}

/**
 * Disks of one job that are moved at the same time. The mover divides a fixed budget among them, so
 * that the agent stays below 512 MiB whatever their number and size is (`data-mover.ts`).
 */
export const PARALLEL_DISKS_MAX = 8;

/** What opens the repository of a job. */
export function secretOf(
  { keyVault }: Pick<JobTools, "keyVault">,
  { encryption }: RepositoryTarget,
): RepositorySecret {
  return encryption.kind === "key-vault" ? { ...encryption, vault: keyVault } : encryption;
}

/** Of a job whose objects nobody can delete before an instant. */
export function immutableUntilOf(job: { readonly immutableUntil?: string | undefined }): {
  readonly immutableUntil?: Date;
} {
  return job.immutableUntil === undefined ? {} : { immutableUntil: new Date(job.immutableUntil) };
}

/** Throws `DiskSizeMismatch` when the snapshot is not as large as the job says. */
export function requireSize(
  disk: { readonly diskId: string; readonly name: string; readonly sizeBytes: number },
  foundBytes: number,
): void {
  if (foundBytes === disk.sizeBytes) return;
  throw new HoldfastError(
    "DiskSizeMismatch",
    `Disk ${disk.name} has ${foundBytes} bytes in its snapshot, ${disk.sizeBytes} were expected. The VM changed while it was backed up; run the backup again.`,
    { context: { diskId: disk.diskId } },
  );
}
