/**
 * Retrieval of an archive's disks: starts copies out of the archive tier and says how many are on
 * their way. Doing the same job again starts what is missing and counts anew.
 */
import type { Job } from "#core/protocol/job.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import { openRepository, startRetrieval } from "#core/repository/index.ts";
import { secretOf, type JobTools } from "./job-tools.ts";

type RetrieveJob = Extract<Job, { kind: "retrieve" }>;

export async function runRetrieve(
  tools: JobTools,
  job: RetrieveJob,
  signal: AbortSignal,
): Promise<JobResult> {
  const store = tools.openStore(job.repository);
  const repository = await openRepository(store, secretOf(tools, job.repository), signal);
  const { vmId, archiveId, retrievalId, diskIds, tier, priority } = job;
  const { random, clock } = tools;
  const state = await startRetrieval(
    repository,
    { vmId, archiveId, retrievalId, diskIds, tier, priority, random, now: () => clock.now() },
    signal,
  );
  return {
    kind: "retrieve",
    retrievalId,
    objectCount: state.objectCount,
    pendingObjects: state.objectCount - state.readyObjects,
    storedBytes: state.storedBytes,
  };
}
