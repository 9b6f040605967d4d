/**
 * Tells the control plane every restore point and archive of a repository, so that a lost index can be made
 * again. A *page* is as many points as one queue message holds. Doing it again tells the same
 * points again, maybe in other pages. A manifest that cannot be read is named in the result and
 * costs nothing else.
 */
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { codeOf } from "#core/lib/errors.ts";
import { vmConfigurationSchema } from "#core/model/vm-configuration.ts";
import type { ImportJob } from "#core/protocol/job.ts";
import {
  CHECK_FINDINGS_MAX,
  type FoundPoint,
  type JobResult,
} from "#core/protocol/worker-event.ts";
import {
  listArchives,
  listVmPoints,
  objectNames,
  openRepository,
  readArchive,
  readReferencedDiskPoint,
  readVmPoint,
  type ArchiveName,
  type Repository,
} from "#core/repository/index.ts";
import { FoundPages } from "./found-pages.ts";
import { type JobTools, secretOf } from "./job-tools.ts";

/** Points whose manifests are read at the same time, and bound on what waits for a page. */
const PARALLEL_POINTS_MAX = 8;
const BATCH_POINTS = 64;

export async function runImport(
  tools: Pick<JobTools, "openStore" | "sendEvent" | "keyVault">,
  job: ImportJob,
  signal: AbortSignal,
): Promise<JobResult> {
  const store = tools.openStore(job.repository);
  const repository = await openRepository(store, secretOf(tools, job.repository), signal);
  const pages = new FoundPages(tools, job, signal);
  const counts = { pointCount: 0, archiveCount: 0, unreadableCount: 0 };
  const unreadable: string[] = [];
  for await (const batch of batchesOf(sourcesIn(repository, signal))) {
    const found = await mapBounded(batch, PARALLEL_POINTS_MAX, async (source) => ({
      name: source.name,
      point: await unlessUnreadable(source.read()),
    }));
    for (const { name, point } of found) {
      if (point !== undefined && (await pages.add(point))) {
        counts[point.source.kind === "archive" ? "archiveCount" : "pointCount"] += 1;
        continue;
      }
      counts.unreadableCount += 1;
      if (unreadable.length < CHECK_FINDINGS_MAX) unreadable.push(name);
    }
  }
  await pages.flush();
  return { kind: "import", ...counts, unreadable };
}

/** A manifest that can tell a point; it is read when its turn comes. */
interface PointSource {
  readonly name: string;
  /** Undefined when the manifest does not describe a whole point. */
  read(): Promise<FoundPoint | undefined>;
}

async function* sourcesIn(
  repository: Repository,
  signal: AbortSignal,
): AsyncGenerator<PointSource> {
  for await (const { vmId, pointId } of listVmPoints(repository, undefined, signal)) {
    yield {
      name: objectNames.vmPoint(vmId, pointId),
      read: () => foundPoint(repository, { vmId, pointId }, signal),
    };
  }
  for await (const name of listArchives(repository, undefined, signal)) {
    yield {
      name: objectNames.archive(name.vmId, name.archiveId),
      read: () => foundArchive(repository, name, signal),
    };
  }
}

async function foundPoint(
  repository: Repository,
  { vmId, pointId }: Pick<FoundPoint, "vmId" | "pointId">,
  signal: AbortSignal,
): Promise<FoundPoint | undefined> {
  const point = await readVmPoint(repository, vmId, pointId, signal);
  const vm = vmConfigurationSchema.safeParse(point.vm);
  if (!vm.success) return undefined;
  const disks: FoundPoint["disks"] = [];
  for (const { lun, sizeBytes, diskPoint } of point.disks) {
    const { diskId } = diskPoint;
    const { manifest } = await readReferencedDiskPoint(repository, diskPoint, signal);
    const { kind, stats } = manifest;
    disks.push({ diskId, slot: lun, sizeBytes, kind, storedBytes: stats.storedBytes });
  }
  const { takenAt } = point;
  return { vmId, pointId, takenAt, source: { kind: "point" }, vm: vm.data, disks };
}

async function foundArchive(
  repository: Repository,
  name: ArchiveName,
  signal: AbortSignal,
): Promise<FoundPoint | undefined> {
  const archive = await readArchive(repository, name, signal);
  const vm = vmConfigurationSchema.safeParse(archive.vm);
  if (!vm.success) return undefined;
  const { vmId, archiveId, pointId, takenAt } = archive;
  const disks = archive.disks.map(({ lun, storedBytes, image }) => {
    const { diskId, sizeBytes, kind } = image;
    return { diskId, slot: lun, sizeBytes, kind, storedBytes };
  });
  return { vmId, pointId, takenAt, source: { kind: "archive", archiveId }, vm: vm.data, disks };
}

/** Errors that may pass are thrown: a point that is not told would look as if it were not there. */
async function unlessUnreadable(
  reading: Promise<FoundPoint | undefined>,
): Promise<FoundPoint | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (UNREADABLE_CODES.has(codeOf(error))) return undefined;
    throw error;
  }
}

/** What no second try cures; everything else (the store, the network) fails the job. */
const UNREADABLE_CODES: ReadonlySet<string> = new Set([
  "RepositoryDamaged",
  "VmPointNotFound",
  "DiskPointNotFound",
  "ArchiveNotFound",
  "InvalidRepositoryName",
]);

async function* batchesOf<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item[]> {
  let batch: Item[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < BATCH_POINTS) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
