/**
 * Tells the control plane every restore point of a repository, so that a lost index can be made
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
  listVmPoints,
  objectNames,
  openRepository,
  readDiskPoint,
  readVmPoint,
  type Repository,
} from "#core/repository/index.ts";
import type { JobTools } from "./job-tools.ts";

/** Points whose manifests are read at the same time, and bound on what waits for a page. */
const PARALLEL_POINTS_MAX = 8;
const BATCH_POINTS = 64;

export async function runImport(
  tools: Pick<JobTools, "openStore" | "sendEvent">,
  job: ImportJob,
  signal: AbortSignal,
): Promise<JobResult> {
  const store = tools.openStore(job.repository);
  const repository = await openRepository(store, job.repository.encryption, signal);
  const pages = new Pages(tools, job, signal);
  const unreadable: string[] = [];
  let pointCount = 0;
  let archiveCount = 0;
  let unreadableCount = 0;
  for await (const batch of batchesOf(listVmPoints(repository, undefined, signal))) {
    const points = await mapBounded(batch, PARALLEL_POINTS_MAX, async (listed) => {
      return { listed, point: await foundPoint(repository, listed, signal) };
    });
    for (const { listed, point } of points) {
      if (point !== undefined && (await pages.add(point))) {
        if (point.source.kind === "archive") archiveCount += 1;
        else pointCount += 1;
        continue;
      }
      unreadableCount += 1;
      const name = objectNames.vmPoint(listed.vmId, listed.pointId);
      if (unreadable.length < CHECK_FINDINGS_MAX) unreadable.push(name);
    }
  }
  await pages.flush();
  return { kind: "import", pointCount, archiveCount, unreadableCount, unreadable };
}

/** Undefined when a manifest of the point cannot be read; errors that may pass are thrown. */
async function foundPoint(
  repository: Repository,
  { vmId, pointId }: Pick<FoundPoint, "vmId" | "pointId">,
  signal: AbortSignal,
): Promise<FoundPoint | undefined> {
  try {
    const point = await readVmPoint(repository, vmId, pointId, signal);
    const vm = vmConfigurationSchema.safeParse(point.vm);
    if (!vm.success) return undefined;
    const disks: FoundPoint["disks"] = [];
    for (const { lun, sizeBytes, diskPoint } of point.disks) {
      const { diskId, sequence } = diskPoint;
      const { manifest, reference } = await readDiskPoint(repository, diskId, sequence, signal);
      if (reference.manifestId !== diskPoint.manifestId) return undefined;
      const { kind, stats } = manifest;
      disks.push({ diskId, slot: lun, sizeBytes, kind, storedBytes: stats.storedBytes });
    }
    const { takenAt } = point;
    return { vmId, pointId, takenAt, source: { kind: "point" }, vm: vm.data, disks };
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
