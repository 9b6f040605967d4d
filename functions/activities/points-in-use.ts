import type { Session } from "#core/model/session.ts";
import type { AppContext } from "../app-context.ts";

/** What running sessions need: restore points and retrievals that must not go now. */
async function* listRunning({ records }: AppContext): AsyncIterable<Session> {
  for await (const { value } of records.sessions.list()) if (value.state === "running") yield value;
}

/** Ids of points that a running backup goes on from, or that a restore or an archive reads. */
export async function findPointsInUse(
  context: AppContext,
  repositoryId: string,
): Promise<Set<string>> {
  const inUse = new Set<string>();
  for await (const session of listRunning(context)) {
    if (session.repositoryId !== repositoryId) continue;
    if (session.restorePointId !== undefined) inUse.add(session.restorePointId);
    if (session.type !== "backup") continue;
    const job = await context.records.jobs.read(session.sessionId);
    if (job?.value.spec.kind !== "backup") continue;
    for (const { base } of job.value.spec.disks)
      if (base !== undefined) inUse.add(base.parentPointId);
  }
  return inUse;
}

/** Ids of retrievals that a restore reads. */
export async function findRetrievalsInUse(context: AppContext): Promise<Set<string>> {
  const inUse = new Set<string>();
  for await (const { restoreRequest } of listRunning(context))
    if (restoreRequest?.retrievalId !== undefined) inUse.add(restoreRequest.retrievalId);
  return inUse;
}
