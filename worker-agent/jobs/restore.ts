/**
 * Restore of a VM's disks: the content of each disk point, verified block by block, into a new and
 * empty target disk, and the footer that an upload must end with. Doing it again writes the same.
 */
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import type { RestoreJob } from "#core/protocol/job.ts";
import type { JobResult, RestoreDiskResult } from "#core/protocol/worker-event.ts";
import {
  openRepository,
  readVmPoint,
  type Repository,
  type VmPoint,
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
  const point = await readVmPoint(repository, job.vmId, job.pointId, signal);
  const parallel = Math.min(PARALLEL_DISKS_MAX, job.disks.length);
  await using mover = tools.startMover(parallel);
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const context = { tools, repository, point, mover, board };
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

interface RestoreContext {
  readonly tools: JobTools;
  readonly repository: Repository;
  readonly point: VmPoint;
  readonly mover: Mover;
  readonly board: ProgressBoard;
}

async function restoreDisk(
  { tools, repository, point, mover, board }: RestoreContext,
  task: RestoreJob["disks"][number],
  signal: AbortSignal,
): Promise<RestoreDiskResult> {
  const startedMs = tools.clock.now().getTime();
  const { diskId, sizeBytes } = task;
  const stored = point.disks.find(({ diskPoint }) => diskPoint.diskId === diskId);
  if (stored === undefined) throw missingDisk(point, diskId);
  if (stored.sizeBytes > sizeBytes) throw tooSmall(diskId, stored.sizeBytes, sizeBytes);

  const show = (doneBytes: number, readBytes: number): void =>
    board.set({ diskId, doneBytes, totalBytes: sizeBytes, readBytes, storedBytes: 0 });
  show(0, 0);
  await using writer = tools.diskData.openWriter(task.sas, sizeBytes);
  const { writtenBytes } = await mover.restoreDisk(
    {
      repository,
      reference: stored.diskPoint,
      writer,
      // Zero blocks are not written: what is done is at least what was written.
      onProgress: (news) => show(news.writtenBytes, news.writtenBytes),
    },
    signal,
  );
  await writer.finish(signal);
  show(sizeBytes, writtenBytes);
  const durationMs = tools.clock.now().getTime() - startedMs;
  return { diskId, sizeBytes, writtenBytes, readBytes: writtenBytes, durationMs };
}

function missingDisk(point: VmPoint, diskId: string): HoldfastError {
  return new HoldfastError(
    "DiskNotInPoint",
    `Restore point ${point.pointId} of VM ${point.vmId} holds no disk ${diskId}.`,
    { context: { pointId: point.pointId, diskId } },
  );
}

function tooSmall(diskId: string, storedBytes: number, targetBytes: number): HoldfastError {
  return new HoldfastError(
    "TargetDiskTooSmall",
    `Disk ${diskId} has ${storedBytes} bytes in the restore point, its target only ${targetBytes}. Make the target at least as large.`,
    { context: { diskId } },
  );
}
