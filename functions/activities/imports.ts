import { defineActivity } from "./define-activity.ts";
import {
  getLocation,
  getRepositorySession,
  getResult,
  listPointsIn,
  prepareJob,
} from "./repositories.ts";
import type { AppContext } from "../app-context.ts";
import { pagePrefixOf } from "../job-pages.ts";

/**
 * Imports: the index is rebuilt from what a worker tells of the manifests. Pages come as events, at
 * least once and in any order, also after the job's end: an import is complete when the pages of its
 * last dispatch hold as many points and archives as the result says.
 */
export const planImport = defineActivity(
  "plan-import",
  async (context, { sessionId, ...asked }) => {
    const { repositoryId } = await getRepositorySession(context, sessionId);
    const repository = await context.records.repositories.get(repositoryId);
    const location =
      asked.location ??
      (await getLocation(context, repository, await listPointsIn(context, repositoryId)));
    const spec = { kind: "import", repositoryId } as const;
    await prepareJob(context, sessionId, { sessionId, location, spec });
    return { location };
  },
);

interface Told {
  readonly pointCount: number;
  readonly archiveCount: number;
  readonly conflictingIds: readonly string[];
}

async function readPages({ records }: AppContext, jobId: string): Promise<Told> {
  const { attempt } = await records.jobs.get(jobId);
  const told = { pointCount: 0, archiveCount: 0, conflictingIds: [] as string[] };
  for await (const { value } of records
    .importPages(jobId)
    .list({ prefix: pagePrefixOf(attempt) })) {
    told.pointCount += value.pointCount;
    told.archiveCount += value.archiveCount;
    told.conflictingIds.push(...value.conflictingIds);
  }
  return told;
}

export const readImport = defineActivity("read-import", async (context, { sessionId }) => {
  const { result } = await getResult(context, sessionId, "import");
  const told = await readPages(context, sessionId);
  const missing = result.pointCount - told.pointCount + result.archiveCount - told.archiveCount;
  if (missing <= 0) return { ready: true };
  return { ready: false, waitingFor: `${missing} restore points that the worker has found` };
});

const NAMED_MAX = 10;

export const indexImport = defineActivity("index-import", async (context, { sessionId }) => {
  const { result } = await getResult(context, sessionId, "import");
  const { kind: _kind, ...counts } = result;
  await context.records.sessions.update(sessionId, (each) => ({ ...each, import: counts }));
  const { conflictingIds } = await readPages(context, sessionId);
  const pages = context.records.importPages(sessionId);
  for await (const { id } of pages.list()) await pages.delete(id);
  const parts = context.records.importParts(sessionId);
  for await (const { id } of parts.list()) await parts.delete(id);
  return {
    pointCount: result.pointCount,
    archiveCount: result.archiveCount,
    unreadableCount: result.unreadableCount,
    unreadable: result.unreadable.slice(0, NAMED_MAX),
    conflictCount: conflictingIds.length,
    conflicting: conflictingIds.slice(0, NAMED_MAX),
  };
});
