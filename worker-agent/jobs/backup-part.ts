/**
 * One part of a disk that several workers read: packs, leaves and a record, no restore point. The
 * backup job of the VM joins the parts. Doing the same job again finds what was recorded or sealed.
 */
import type { BackupPartJob } from "#core/protocol/job.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import { createRepository, type DiskPointStats } from "#core/repository/index.ts";
import type { ProgressBoard } from "../progress-board.ts";
import { immutableUntilOf, requireSize, secretOf, type JobTools } from "./job-tools.ts";
import { trackPosition } from "./position-tracker.ts";

export async function runBackupPart(
  tools: JobTools,
  job: BackupPartJob,
  board: ProgressBoard,
  signal: AbortSignal,
): Promise<JobResult> {
  const startedMs = tools.clock.now().getTime();
  const { disk, part, pointId } = job;
  const { diskId } = disk;
  const repository = await createRepository(
    tools.openStore(job.repository),
    { encryption: secretOf(tools, job.repository), random: tools.random, now: tools.clock.now() },
    signal,
  );
  const { needsToken } = disk;
  await using source = tools.diskData.openReader(disk.sas, { needsToken });
  requireSize(disk, await source.readSizeBytes(signal));
  await using mover = tools.startMover(1);
  let stats: Pick<DiskPointStats, "readBytes" | "storedBytes"> = { readBytes: 0, storedBytes: 0 };
  const show = (positionBytes: number): void => {
    const doneBytes = Math.min(part.lengthBytes, Math.max(0, positionBytes - part.offsetBytes));
    const { readBytes, storedBytes } = stats;
    board.set({ diskId, doneBytes, totalBytes: part.lengthBytes, readBytes, storedBytes });
  };
  const position = trackPosition(source, show);
  show(part.offsetBytes);
  stats = await mover.backupPart(
    {
      repository,
      diskId,
      pointId,
      reader: position.reader,
      part,
      ...immutableUntilOf(job),
      onProgress: (news) => {
        stats = news;
        show(position.doneBytes());
      },
    },
    signal,
  );
  show(part.offsetBytes + part.lengthBytes);
  const durationMs = tools.clock.now().getTime() - startedMs;
  const { readBytes, storedBytes } = stats;
  return { kind: "backup-part", diskId, part, readBytes, storedBytes, durationMs };
}
