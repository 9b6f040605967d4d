/**
 * Archiving of a restore point: a complete copy of it in the archive tier. Doing the same job again
 * finds what was stored and copies only what is missing.
 */
import { codeOf } from "#core/lib/errors.ts";
import type { Job } from "#core/protocol/job.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import { openRepository, type Archive } from "#core/repository/index.ts";
import type { ProgressBoard } from "../progress-board.ts";
import { secretOf, type JobTools } from "./job-tools.ts";

type ArchiveJob = Extract<Job, { kind: "archive" }>;

/** A dead predecessor's lock falls after a minute, another archive of the VM may take longer. */
const BUSY_TRIES = 20;
const BUSY_WAIT_MS = 15_000;

export async function runArchive(
  tools: JobTools,
  job: ArchiveJob,
  board: ProgressBoard,
  signal: AbortSignal,
): Promise<JobResult> {
  const store = tools.openStore(job.repository);
  const repository = await openRepository(store, secretOf(tools, job.repository), signal);
  // Disks are copied one after the other.
  await using mover = tools.startMover(1);
  const { vmId, pointId, archiveId, immutableUntil } = job;
  const options = {
    vmId,
    pointId,
    archiveId,
    random: tools.random,
    now: () => tools.clock.now(),
    ...(immutableUntil !== undefined && { immutableUntil: new Date(immutableUntil) }),
    onProgress: (progress: Omit<Parameters<ProgressBoard["set"]>[0], "readBytes">) =>
      board.set({ ...progress, readBytes: progress.storedBytes }),
  };
  for (let tryNumber = 1; ; tryNumber++) {
    try {
      return resultOf((await mover.archiveVmPoint(repository, options, signal)).archive);
    } catch (error) {
      if (codeOf(error) !== "ArchiveBusy" || tryNumber === BUSY_TRIES) throw error;
      await tools.clock.sleep(BUSY_WAIT_MS, signal);
    }
  }
}

function resultOf({ archiveId, disks }: Archive): JobResult {
  const sum = (field: "packCount" | "storedBytes"): number =>
    disks.reduce((total, disk) => total + disk[field], 0);
  return {
    kind: "archive",
    archiveId,
    objectCount: sum("packCount"),
    storedBytes: sum("storedBytes"),
    disks: disks.map(({ image, storedBytes }) => ({
      diskId: image.diskId,
      sizeBytes: image.sizeBytes,
      storedBytes,
    })),
  };
}
