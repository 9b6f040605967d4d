import type { JobRecord } from "#core/model/job-record.ts";
import type { DiskProgress } from "#core/protocol/worker-event.ts";
import { partJobsOf } from "../activities/disk-parts.ts";
import type { AppContext } from "../app-context.ts";

/** How far the disks of a session are, also those that several workers share. */
interface ShownProgress extends DiskProgress {
  readonly name: string;
  /** Since the job was dispatched. */
  readonly bytesPerSecond: number;
}

interface ShownPart {
  readonly diskId: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly state: JobRecord["state"];
  readonly attempt: number;
  readonly workerId: string | null;
  readonly doneBytes: number;
}

export interface SessionProgress {
  readonly progress: readonly ShownProgress[];
  readonly parts: readonly ShownPart[];
}

/** A shared disk has the sums of its parts until the session's own job tells of it. */
export async function readProgress(
  { records }: AppContext,
  job: JobRecord,
): Promise<SessionProgress> {
  const { spec } = job;
  const own = progressOf(job);
  if (spec.kind !== "backup") return { progress: own, parts: [] };
  const jobs: JobRecord[] = [];
  for (const { jobId } of partJobsOf(job.jobId, spec)) {
    const found = await records.jobs.read(jobId);
    if (found !== undefined) jobs.push(found.value);
  }
  const told = new Set(own.map(({ diskId }) => diskId));
  const shared = spec.disks.flatMap((disk) => {
    const ofDisk = jobs.filter((each) => diskOf(each) === disk.diskId);
    return ofDisk.length === 0 || told.has(disk.diskId) ? [] : [sumOf(disk, ofDisk)];
  });
  return { progress: [...own, ...shared], parts: jobs.flatMap(partOf) };
}

function diskOf({ spec }: JobRecord): string | undefined {
  return spec.kind === "backup-part" ? spec.disk.diskId : undefined;
}

function progressOf(job: JobRecord): ShownProgress[] {
  const disks = "disks" in job.spec ? job.spec.disks : [];
  const names = new Map(
    disks.map((disk) => [disk.diskId, "name" in disk ? disk.name : disk.targetDiskId]),
  );
  const elapsedMs = Date.parse(job.progressAt ?? "") - Date.parse(job.dispatchedAt ?? "");
  return job.progress.map((disk) => ({
    ...disk,
    name: names.get(disk.diskId) ?? disk.diskId,
    bytesPerSecond: elapsedMs > 0 ? Math.round((disk.doneBytes * 1000) / elapsedMs) : 0,
  }));
}

function sumOf(
  { diskId, name, sizeBytes }: { diskId: string; name: string; sizeBytes: number },
  jobs: readonly JobRecord[],
): ShownProgress {
  const all = jobs.flatMap(progressOf);
  const sum = (count: (each: ShownProgress) => number): number =>
    all.reduce((total, each) => total + count(each), 0);
  return {
    diskId,
    name,
    doneBytes: sum((each) => each.doneBytes),
    totalBytes: sizeBytes,
    readBytes: sum((each) => each.readBytes),
    storedBytes: sum((each) => each.storedBytes),
    bytesPerSecond: sum((each) => each.bytesPerSecond),
  };
}

function partOf({ spec, state, attempt, workerId, progress }: JobRecord): ShownPart[] {
  if (spec.kind !== "backup-part") return [];
  const { diskId } = spec.disk;
  const doneBytes = progress[0]?.doneBytes ?? 0;
  return [{ diskId, ...spec.part, state, attempt, workerId: workerId ?? null, doneBytes }];
}
