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
  FOUND_POINTS_BYTES_MAX,
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
  const pages = new Pages(tools, job, signal);
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

/** Gathers points until a page is full and sends it. */
class Pages {
  readonly #tools: Pick<JobTools, "sendEvent">;
  readonly #job: ImportJob;
  readonly #signal: AbortSignal;
  #page = 0;
  #points: FoundPoint[] = [];
  #sizeBytes = 0;

  constructor(tools: Pick<JobTools, "sendEvent">, job: ImportJob, signal: AbortSignal) {
    this.#tools = tools;
    this.#job = job;
    this.#signal = signal;
  }

  /** False when the point is too large for any page. */
  async add(point: FoundPoint): Promise<boolean> {
    // As it travels: the event's text is a string inside the signed message.
    const sizeBytes = Buffer.byteLength(JSON.stringify(JSON.stringify(point)));
    if (sizeBytes > FOUND_POINTS_BYTES_MAX) return false;
    if (this.#sizeBytes + sizeBytes > FOUND_POINTS_BYTES_MAX) await this.flush();
    this.#points.push(point);
    this.#sizeBytes += sizeBytes;
    return true;
  }

  async flush(): Promise<void> {
    if (this.#points.length === 0) return;
    const { jobId, attempt } = this.#job;
    const body = { kind: "points-found", jobId, attempt, page: this.#page } as const;
    await this.#tools.sendEvent({ ...body, points: this.#points }, this.#signal);
    this.#page += 1;
    this.#points = [];
    this.#sizeBytes = 0;
  }
}

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
