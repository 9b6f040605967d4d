import { HoldfastError } from "#core/lib/errors.ts";
import type { Retrieval } from "#core/model/archive.ts";
import { nextLookSeconds } from "#core/restore/plan-retrieval.ts";
import type { AppContext } from "../app-context.ts";
import { defineActivity } from "./define-activity.ts";
import { getResult, prepareJob } from "./repositories.ts";
import { getRunningSession } from "./running-session.ts";

/**
 * Retrievals: a worker starts the copies, and a worker asks again how far they are, each time with a
 * job of its own. Nobody waits on a worker meanwhile.
 */
const DAY_MS = 24 * 3600 * 1000;

async function getRetrieval(context: AppContext, sessionId: string): Promise<Retrieval> {
  const { retrievalId } = await getRunningSession(context, sessionId);
  if (retrievalId === undefined)
    throw new HoldfastError("WrongSession", `Session '${sessionId}' is no retrieval.`);
  return context.records.retrievals.get(retrievalId);
}

export const planRetrievalOf = defineActivity("plan-retrieval", async (context, input) => {
  const { sessionId, round } = input;
  const { records } = context;
  const retrieval = await getRetrieval(context, sessionId);
  const { archiveId, retrievalId, vmId, diskIds, tier, priority, repositoryId } = retrieval;
  if (retrieval.state !== "retrieving")
    throw new HoldfastError("RetrievalOver", `Retrieval '${retrievalId}' is ${retrieval.state}.`);
  const archive = await records.archives.get(archiveId);
  if (archive.state !== "available")
    throw new HoldfastError("ArchiveExpiring", `Archive '${archiveId}' is being deleted.`);
  const names = { repositoryId, vmId, archiveId, retrievalId };
  const spec = { kind: "retrieve", ...names, diskIds, tier, priority } as const;
  const { location } = archive.point.vm;
  const jobId = `${sessionId}~${round}`;
  await prepareJob(context, jobId, { sessionId, location, spec });
  const lookSeconds = context.config.retrievalLookSeconds ?? nextLookSeconds(priority);
  return { jobId, location, lookSeconds };
});

export const indexRetrieval = defineActivity("index-retrieval", async (context, input) => {
  const { records, clock } = context;
  const { retrievalId } = await getRetrieval(context, input.sessionId);
  const { result } = await getResult(context, input.jobId, "retrieve");
  const { objectCount, pendingObjects, storedBytes } = result;
  const isDone = pendingObjects === 0;
  const now = clock();
  const retrieval = await records.retrievals.update(retrievalId, (before) => {
    if (before.state !== "retrieving") return undefined;
    const counted = { ...before, objectCount, pendingObjects, storedBytes };
    if (!isDone) return counted;
    const windowEndsAt = new Date(now.getTime() + before.availableDays * DAY_MS).toISOString();
    return { ...counted, state: "available", availableAt: now.toISOString(), windowEndsAt };
  });
  return { objectCount, pendingObjects, windowEndsAt: retrieval?.windowEndsAt ?? null };
});

export const readRetrieval = defineActivity("read-retrieval", async (context, input) => {
  const found = await context.records.retrievals.read(input.retrievalId);
  const isOpen = found?.value.state === "available";
  return { windowEndsAt: isOpen ? (found.value.windowEndsAt ?? null) : null };
});
