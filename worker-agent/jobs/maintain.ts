/**
 * Maintenance of a repository: restore points, archives and retrievals that retention lets go are
 * deleted, the keys are protected for as long as any point, garbage is marked and swept. Doing it again goes on where it stopped.
 */
import { codeOf } from "#core/lib/errors.ts";
import type { MaintainJob } from "#core/protocol/job.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import {
  collectArchiveLeftovers,
  collectGarbage,
  deleteArchive,
  deleteRetrieval,
  expireVmPoints,
  openRepository,
  protectKeys,
  type Repository,
} from "#core/repository/index.ts";
import { type JobTools, secretOf } from "./job-tools.ts";

export async function runMaintain(
  tools: Pick<JobTools, "openStore" | "random" | "clock" | "keyVault">,
  job: MaintainJob,
  signal: AbortSignal,
): Promise<JobResult> {
  const store = tools.openStore(job.repository);
  const repository = await openRepository(store, secretOf(tools, job.repository), signal);
  const now = (): Date => tools.clock.now();
  const { margins } = job;
  const { activeDiskIds, expiredPoints } = job;
  const expired = await expireVmPoints(
    repository,
    { points: expiredPoints, activeDiskIds, now, margins },
    signal,
  );
  await protectKeys(repository, signal);
  const archives = await deleteArchives(repository, job, now(), signal);
  const retrievals = await deleteRetrievals(repository, job, signal);
  const olderThan = new Date(now().getTime() - margins.sessionSeconds * 1000);
  const leftovers = await collectArchiveLeftovers(repository, { olderThan }, signal);
  const garbage = await collectGarbage(repository, { now, random: tools.random, margins }, signal);
  const parts = [expired, archives, retrievals, leftovers, garbage];
  const sum = (field: "deletedObjects" | "deletedBytes" | "immutableObjects"): number =>
    parts.reduce((total, part) => total + part[field], 0);
  return {
    kind: "maintain",
    expiredPoints: [...expired.expired],
    keptPoints: [...expired.kept],
    expiredArchiveIds: archives.ids,
    expiredRetrievalIds: retrievals.ids,
    deletedObjects: sum("deletedObjects"),
    deletedBytes: sum("deletedBytes"),
    markedObjects: garbage.markedObjects,
    markedBytes: garbage.markedBytes,
    immutableObjects: sum("immutableObjects"),
    skippedDisks: [...garbage.skippedDisks],
  };
}

interface Deleted {
  readonly ids: string[];
  deletedObjects: number;
  deletedBytes: number;
  immutableObjects: number;
}

function nothing(): Deleted {
  return { ids: [], deletedObjects: 0, deletedBytes: 0, immutableObjects: 0 };
}

/** An archive that is busy, immutable or cannot be read stays; the control plane asks again. */
async function deleteArchives(
  repository: Repository,
  job: MaintainJob,
  now: Date,
  signal: AbortSignal,
): Promise<Deleted> {
  const total = nothing();
  for (const { vmId, archiveId } of job.expiredArchives) {
    try {
      const deleted = await deleteArchive(repository, { vmId, archiveId, now }, signal);
      if (deleted.outcome !== "immutable") total.ids.push(archiveId);
      total.deletedObjects += deleted.deletedObjects;
      total.deletedBytes += deleted.deletedBytes;
      total.immutableObjects += deleted.immutableObjects;
    } catch (error) {
      if (!isLeftForLater(error)) throw error;
    }
  }
  return total;
}

async function deleteRetrievals(
  repository: Repository,
  job: MaintainJob,
  signal: AbortSignal,
): Promise<Deleted> {
  const total = nothing();
  for (const retrievalId of job.expiredRetrievals) {
    try {
      const deleted = await deleteRetrieval(repository, retrievalId, signal);
      total.ids.push(retrievalId);
      total.deletedObjects += deleted.deletedObjects;
      total.deletedBytes += deleted.deletedBytes;
      total.immutableObjects += deleted.immutableObjects;
    } catch (error) {
      if (!isLeftForLater(error)) throw error;
    }
  }
  return total;
}

function isLeftForLater(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ArchiveBusy" || code === "RepositoryDamaged";
}
