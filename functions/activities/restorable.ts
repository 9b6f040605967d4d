import type { RestorePoint } from "#core/model/restore-point.ts";
import type { Session } from "#core/model/session.ts";
import type { AppContext } from "../app-context.ts";

/** What a restore reads: a restore point in its repository, or what was retrieved of an archive. */
export interface Restorable {
  readonly point: RestorePoint;
  readonly retrieval?: { readonly archiveId: string; readonly retrievalId: string };
}

type Request = Pick<NonNullable<Session["restoreRequest"]>, "restorePointId" | "retrievalId">;

/** Throws `HoldfastError` codes `RestorePointNotFound`, `RetrievalNotFound`, `ArchiveNotFound`. */
export async function getRestorable(
  { records }: AppContext,
  { restorePointId, retrievalId }: Request,
): Promise<Restorable> {
  if (retrievalId === undefined) return { point: await records.points.get(restorePointId) };
  const { archiveId, diskIds } = await records.retrievals.get(retrievalId);
  const { point } = await records.archives.get(archiveId);
  const disks = point.disks.filter(({ diskId }) => diskIds.includes(diskId));
  // The archive is whole whatever became of the point that it was made of.
  const archived = { ...point, state: "available" as const, disks };
  return { point: archived, retrieval: { archiveId, retrievalId } };
}

/** Why a retrieval cannot be read now; nothing when it can. */
export async function whyUnreadable(
  { records, clock }: AppContext,
  retrievalId: string,
): Promise<string | undefined> {
  const { state, windowEndsAt } = await records.retrievals.get(retrievalId);
  if (state !== "available") return `retrieval ${retrievalId} is ${state}`;
  if (windowEndsAt !== undefined && Date.parse(windowEndsAt) <= clock().getTime())
    return `the window of retrieval ${retrievalId} ended at ${windowEndsAt}`;
  return undefined;
}
