import type { Archive } from "#core/model/archive.ts";
import type { JobRecord } from "#core/model/job-record.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { disksOf } from "#core/model/vm-configuration.ts";
import type { FoundPoint, WorkerEventBody } from "#core/protocol/worker-event.ts";
import { joinFoundPoint } from "#core/protocol/point-parts.ts";
import type { AppContext } from "../app-context.ts";
import { pageIdOf, readJobOfPage } from "../job-pages.ts";

/** Digits of a part's number in its row's id. */
const PART_DIGITS = 4;

type PointsFound = Extract<WorkerEventBody, { kind: "points-found" }>;
type PointPart = Extract<WorkerEventBody, { kind: "point-part" }>;

/**
 * Takes in one page of an import. A point that the index knows stays as it is, so that a page may
 * come twice; the page's own row is written last and says that all of it is there.
 */
export async function takePointsFound(
  context: AppContext,
  workerId: string,
  { page, points, ...ofJob }: PointsFound,
): Promise<void> {
  const job = await readJobOfPage(context, workerId, "import", ofJob);
  if (job === undefined) return;
  await takePoints(context, job, points, pageIdOf(ofJob.attempt, page));
}

/**
 * Keeps one part of a large point; whichever comes last finds all of them and takes the point in.
 * Repeating any of them does the same again.
 */
export async function takePointPart(
  context: AppContext,
  workerId: string,
  { largePoint, part, partCount, text, ...ofJob }: PointPart,
): Promise<void> {
  const job = await readJobOfPage(context, workerId, "import", ofJob);
  if (job === undefined) return;
  const { jobId, attempt } = ofJob;
  const ofPoint = `${pageIdOf(attempt, largePoint)}-`;
  const kept = context.records.importParts(jobId);
  await kept.put(`${ofPoint}${String(part).padStart(PART_DIGITS, "0")}`, { text });
  const texts: string[] = [];
  for await (const { value } of kept.list({ prefix: ofPoint })) texts.push(value.text);
  if (texts.length < partCount) return;
  const point = joinFoundPoint(texts);
  if (point === undefined) {
    const message = `the parts of large point ${largePoint} of ${jobId} make no point`;
    context.events.eventDropped({ code: "InvalidEvent", message });
    return;
  }
  await takePoints(context, job, [point], `${pageIdOf(attempt, largePoint)}-large`);
}

async function takePoints(
  context: AppContext,
  { jobId, spec: { repositoryId } }: JobRecord,
  points: readonly FoundPoint[],
  pageId: string,
): Promise<void> {
  const conflictingIds: string[] = [];
  for (const found of points) {
    const known =
      found.source.kind === "point"
        ? await takePoint(context, repositoryId, pointOf(found, repositoryId))
        : await takeArchive(context, archiveOf(found, found.source.archiveId, repositoryId));
    if (known !== repositoryId) conflictingIds.push(found.pointId);
  }
  const archiveCount = points.filter(({ source }) => source.kind === "archive").length;
  const pointCount = points.length - archiveCount;
  await context.records
    .importPages(jobId)
    .put(pageId, { pointCount, archiveCount, conflictingIds });
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
