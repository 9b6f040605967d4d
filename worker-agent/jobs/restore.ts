/**
 * Restore of a VM's disks, of a restore point or of an archive that was retrieved: the content of
 * each, verified block by block, into a new and empty target disk, and the footer that an upload must
 * end with. Doing it again writes the same; a later dispatch starts where the one before it got to.
 */
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import type { RestoreJob } from "#core/protocol/job.ts";
import type { JobResult, RestoreDiskResult } from "#core/protocol/worker-event.ts";
import {
  openRepository,
  readArchive,
  readVmPoint,
  type ArchivedDiskReference,
  type DiskPointReference,
  type Repository,
} from "#core/repository/index.ts";
import type { ProgressBoard } from "../progress-board.ts";
import { PARALLEL_DISKS_MAX, type JobTools, type Mover, secretOf } from "./job-tools.ts";

export async function runRestore(
  tools: JobTools,
  job: RestoreJob,
  board: ProgressBoard,
  signal: AbortSignal,
): Promise<JobResult> {
  const store = tools.openStore(job.repository);
  const repository = await openRepository(store, secretOf(tools, job.repository), signal);
  const sources = await readSources(repository, job, signal);
  const parallel = Math.min(PARALLEL_DISKS_MAX, job.disks.length);
  await using mover = tools.startMover(parallel);
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const context = { tools, job, repository, sources, mover, board };
  const disks = await mapBounded(job.disks, parallel, async (task) => {
    try {
      return await restoreDisk(context, task, inner);
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  });
  return { kind: "restore", disks };
}

interface StoredDisk {
  readonly sizeBytes: number;
  readonly reference: DiskPointReference | ArchivedDiskReference;
}

/** What can be restored, by disk id. */
async function readSources(
  repository: Repository,
  { vmId, pointId, source }: RestoreJob,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, StoredDisk>> {
  if (source.kind === "point") {
    const { disks } = await readVmPoint(repository, vmId, pointId, signal);
    return new Map(
      disks.map(({ sizeBytes, diskPoint }) => [
        diskPoint.diskId,
        { sizeBytes, reference: diskPoint },
      ]),
    );
  }
  const { archiveId, retrievalId } = source;
  const { disks } = await readArchive(repository, { vmId, archiveId }, signal);
  return new Map(
    disks.map(({ image: { diskId, sizeBytes } }) => [
      diskId,
      { sizeBytes, reference: { vmId, archiveId, diskId, retrievalId } },
    ]),
  );
}

interface RestoreContext {
  readonly tools: JobTools;
  readonly job: RestoreJob;
  readonly repository: Repository;
  readonly sources: ReadonlyMap<string, StoredDisk>;
  readonly mover: Mover;
  readonly board: ProgressBoard;
}

async function restoreDisk(
  { tools, job, repository, sources, mover, board }: RestoreContext,
  task: RestoreJob["disks"][number],
  signal: AbortSignal,
): Promise<RestoreDiskResult> {
  const startedMs = tools.clock.now().getTime();
  const { diskId, sizeBytes, needsToken, writtenToBytes: fromBytes } = task;
  const stored = sources.get(diskId);
  if (stored === undefined) throw missingDisk(job, diskId);
  if (stored.sizeBytes > sizeBytes) throw tooSmall(diskId, stored.sizeBytes, sizeBytes);

  // Zero blocks are not written, so that progress is a position on the disk.
  const show = (writtenToBytes: number, readBytes: number): void =>
    board.set({
      diskId,
      doneBytes: writtenToBytes,
      writtenToBytes,
      totalBytes: sizeBytes,
      readBytes,
      storedBytes: 0,
    });
  show(fromBytes, 0);
  await using writer = tools.diskData.openWriter(task.sas, sizeBytes, { needsToken });
  const { writtenBytes } = await mover.restoreDisk(
    {
      repository,
      reference: stored.reference,
      writer,
      fromBytes,
      onProgress: (news) => show(news.writtenToBytes, news.writtenBytes),
    },
    signal,
  );
  await writer.finish(signal);
  show(sizeBytes, writtenBytes);
  const durationMs = tools.clock.now().getTime() - startedMs;
  return { diskId, sizeBytes, writtenBytes, readBytes: writtenBytes, durationMs };
}

function missingDisk({ vmId, pointId, source }: RestoreJob, diskId: string): HoldfastError {
  const what =
    source.kind === "point" ? `Restore point ${pointId}` : `The archive ${source.archiveId}`;
  return new HoldfastError("DiskNotInPoint", `${what} of VM ${vmId} holds no disk ${diskId}.`, {
    context: { pointId, diskId },
  });
}

function tooSmall(diskId: string, storedBytes: number, targetBytes: number): HoldfastError {
  return new HoldfastError(
    "TargetDiskTooSmall",
    `Disk ${diskId} has ${storedBytes} bytes in the restore point, its target only ${targetBytes}. Make the target at least as large.`,
    { context: { diskId } },
  );
}
