import type { Archive, Retrieval } from "#core/model/archive.ts";
import type { AppContext } from "../app-context.ts";
import { findRetrievalsInUse } from "./points-in-use.ts";
import { isRunning } from "./running-session.ts";

/** The worker's answer names them all, and a queue message is small. */
const ARCHIVES_PER_RUN_MAX = 50;

/** Archives and retrievals whose time is over, marked. */
export async function expireArchives(
  context: AppContext,
  repositoryId: string,
): Promise<{
  expiredArchives: { vmId: string; archiveId: string }[];
  expiredRetrievals: string[];
}> {
  const { records, clock } = context;
  const now = clock().getTime();
  const expiredRetrievals: string[] = [];
  const retrievedArchives = new Set<string>();
  const usedRetrievals = await findRetrievalsInUse(context);
  for await (const { id, value } of records.retrievals.list()) {
    if (value.repositoryId !== repositoryId || value.deletedAt !== undefined) continue;
    if (!usedRetrievals.has(id) && (await isRetrievalOver(context, value, now))) {
      const marked = await records.retrievals.update(id, (each) =>
        // It may have been extended this moment.
        each.windowEndsAt === value.windowEndsAt ? { ...each, state: "expired" } : undefined,
      );
      // A restore that began meanwhile looks at the state after it wrote its session.
      if (marked?.state === "expired" && !(await findRetrievalsInUse(context)).has(id)) {
        expiredRetrievals.push(id);
        continue;
      }
      await records.retrievals.update(id, (each) => ({ ...each, state: value.state }));
    }
    retrievedArchives.add(value.archiveId);
  }
  const expiredArchives = await markArchives(context, repositoryId, retrievedArchives);
  return { expiredArchives, expiredRetrievals: expiredRetrievals.slice(0, ARCHIVES_PER_RUN_MAX) };
}

/** Archives whose time is over and of which no retrieval is left. */
async function markArchives(
  context: AppContext,
  repositoryId: string,
  retrieved: ReadonlySet<string>,
): Promise<{ vmId: string; archiveId: string }[]> {
  const { records, clock } = context;
  const now = clock().getTime();
  const marked: Archive[] = [];
  for await (const { id, value } of records.archives.list()) {
    if (value.repositoryId !== repositoryId || retrieved.has(id)) continue;
    if (!isArchiveOver(value, now) || marked.length >= ARCHIVES_PER_RUN_MAX) continue;
    await records.archives.update(id, (archive) => ({ ...archive, state: "expiring" }));
    marked.push(value);
  }
  // A retrieval that began meanwhile wrote its row, and looks at the archive's state after that.
  const begun = new Set<string>();
  for await (const { value } of records.retrievals.list())
    if (value.state === "retrieving" || value.state === "available") begun.add(value.archiveId);
  for (const { archiveId, state } of marked)
    if (begun.has(archiveId))
      await records.archives.update(archiveId, (archive) => ({ ...archive, state }));
  return marked
    .filter(({ archiveId }) => !begun.has(archiveId))
    .map(({ vmId, archiveId }) => ({ vmId, archiveId }));
}

function isArchiveOver({ state, keepUntil, immutableUntil }: Archive, now: number): boolean {
  const isHeld = immutableUntil !== undefined && Date.parse(immutableUntil) > now;
  if (isHeld) return false;
  return state === "expiring" || (keepUntil !== undefined && Date.parse(keepUntil) <= now);
}

async function isRetrievalOver(
  context: AppContext,
  { state, sessionId, windowEndsAt }: Retrieval,
  now: number,
): Promise<boolean> {
  if (state === "expired" || state === "failed") return true;
  // What an orchestration that was terminated had begun.
  if (state === "retrieving") return !(await isRunning(context, sessionId));
  return windowEndsAt !== undefined && Date.parse(windowEndsAt) <= now;
}
