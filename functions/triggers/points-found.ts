import type { Archive } from "#core/model/archive.ts";
import type { JobRecord } from "#core/model/job-record.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { disksOf } from "#core/model/vm-configuration.ts";
import type { FoundPoint, WorkerEventBody } from "#core/protocol/worker-event.ts";
import type { AppContext } from "../app-context.ts";

type PointsFound = Extract<WorkerEventBody, { kind: "points-found" }>;

/** Digits of a page's number in its row's id. */
const PAGE_DIGITS = 8;

/**
 * Takes in one page of an import. A point that the index knows stays as it is, so that a page may
 * come twice; the page's own row is written last and says that all of it is there.
 */
export async function takePointsFound(
  context: AppContext,
  workerId: string,
  { jobId, attempt, page, points }: PointsFound,
): Promise<void> {
  const { records } = context;
  const job = (await records.jobs.read(jobId))?.value;
  if (job === undefined || !isOf(job, workerId, attempt)) return;
  const { repositoryId } = job.spec;
  const conflictingIds: string[] = [];
  for (const found of points) {
    const known =
      found.source.kind === "point"
        ? await takePoint(context, repositoryId, pointOf(found, repositoryId))
        : await takeArchive(context, archiveOf(found, found.source.archiveId, repositoryId));
    if (known !== repositoryId) conflictingIds.push(found.pointId);
  }
  const archiveCount = points.filter(({ source }) => source.kind === "archive").length;
  const id = `${attempt}-${String(page).padStart(PAGE_DIGITS, "0")}`;
  await records
    .importPages(jobId)
    .put(id, { pointCount: points.length - archiveCount, archiveCount, conflictingIds });
}

/** A page may come after the end of its job, but not from another dispatch. */
function isOf(job: JobRecord, workerId: string, attempt: number): boolean {
  const isCurrent = job.attempt === attempt && job.workerId === workerId;
  return isCurrent && job.spec.kind === "import" && job.state !== "failed";
}

/** Answers the repository that the index knows the point in. */
async function takePoint(
  { records }: AppContext,
  repositoryId: string,
  point: RestorePoint,
): Promise<string | undefined> {
  if ((await records.points.insert(point.pointId, point)) === "inserted") return repositoryId;
  const known = await records.points.update(point.pointId, (before) =>
    before.repositoryId === repositoryId && before.state === "missing"
      ? { ...before, state: "available" }
      : undefined,
  );
  return known?.repositoryId;
}

async function takeArchive({ records }: AppContext, archive: Archive): Promise<string | undefined> {
  await records.archives.insert(archive.archiveId, archive);
  return (await records.archives.read(archive.archiveId))?.value.repositoryId;
}

/** It has no session and no policy: it stays until somebody says how long, and is no base. */
function pointOf(
  { vmId, pointId, takenAt, vm, disks }: FoundPoint,
  repositoryId: string,
): RestorePoint {
  const names = new Map(disksOf(vm).map(({ diskId, name }) => [diskId, name]));
  return {
    pointId,
    vmId,
    vmName: vm.name,
    repositoryId,
    takenAt,
    state: "available",
    vm,
    disks: disks.map((disk) => ({
      ...disk,
      name: names.get(disk.diskId) ?? disk.diskId,
      reason: "imported",
      readBytes: 0,
      changedBytes: 0,
      durationMs: 0,
      warnings: [],
    })),
  };
}

function archiveOf(found: FoundPoint, archiveId: string, repositoryId: string): Archive {
  const disks = found.disks.map(({ diskId, sizeBytes, storedBytes }) => ({
    diskId,
    sizeBytes,
    storedBytes,
  }));
  return {
    archiveId,
    vmId: found.vmId,
    vmName: found.vm.name,
    repositoryId,
    archivedAt: found.takenAt,
    state: "available",
    storedBytes: disks.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    objectCount: 0,
    disks,
    point: pointOf(found, repositoryId),
  };
}
