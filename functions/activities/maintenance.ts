import type { RestorePoint } from "#core/model/restore-point.ts";
import type { RetentionCounts } from "#core/model/session.ts";
import { whyHeldBack } from "#core/retention/hold-back.ts";
import { planRetention } from "#core/retention/plan-retention.ts";
import { isLater } from "#core/backup/plan-snapshot-cleanup.ts";
import type { AppContext } from "../app-context.ts";
import type { ActivityValues } from "./activity-contract.ts";
import { expireArchives } from "./expire-archives.ts";
import { defineActivity } from "./define-activity.ts";
import { findPointsInUse } from "./points-in-use.ts";
import {
  findLocation,
  getRepositorySession,
  getResult,
  listPointsIn,
  prepareJob,
} from "./repositories.ts";
import { readRules, retainedPointOf } from "./retention.ts";

/**
 * Retention of a repository: which points go is decided here, deleting them is the worker's. A point
 * is first marked `expiring`, then it is looked whether anybody uses it: whoever begins to use one
 * writes that down first and then looks whether it is still available. So one of both sees the other.
 */

/** The worker's answer names each, perhaps with a reason, and a queue message holds 48 KiB of text. */
export const POINTS_PER_RUN_MAX = 100;
const HELD_NAMED_MAX = 10;

type Plan = ActivityValues["plan-maintenance"];

export const planMaintenance = defineActivity(
  "plan-maintenance",
  async (context, { sessionId, confirmed }): Promise<Plan> => {
    const { records } = context;
    const { repositoryId, retention } = await getRepositorySession(context, sessionId);
    const known = await records.jobs.read(sessionId);
    if (known !== undefined)
      return { location: known.value.location, counts: retention ?? NOTHING, heldBack: [] };
    const repository = await records.repositories.get(repositoryId);
    const points = await listPointsIn(context, repositoryId);
    const location = await findLocation(context, repository, points);
    const decided = await decide(context, points, confirmed);
    const { counts, heldBack } = decided;
    // Nothing was ever written, or nobody can tell where: there is nothing to look after.
    if (location === undefined) return { location: null, counts, heldBack };
    const expired = await markExpiring(context, repositoryId, decided.expired);
    const counted = { ...counts, expired: expired.length };
    await records.sessions.update(sessionId, (each) => ({ ...each, retention: counted }));
    const spec = {
      kind: "maintain",
      repositoryId,
      expiredPoints: expired.map(({ vmId, pointId }) => ({ vmId, pointId })),
      ...(await expireArchives(context, repositoryId)),
      activeDiskIds: newestDiskIds(points),
    } as const;
    await prepareJob(context, sessionId, { sessionId, location, spec });
    return { location, counts: counted, heldBack };
  },
);

const NOTHING: RetentionCounts = { kept: 0, expired: 0, heldBack: 0, left: 0 };

function byVm(points: readonly RestorePoint[]): Map<string, RestorePoint[]> {
  const groups = new Map<string, RestorePoint[]>();
  for (const point of points) {
    const group = groups.get(point.vmId);
    if (group === undefined) groups.set(point.vmId, [point]);
    else group.push(point);
  }
  return groups;
}

interface Decided {
  readonly expired: readonly RestorePoint[];
  readonly counts: RetentionCounts;
  readonly heldBack: readonly string[];
}

/** What was decided before and is not deleted yet goes first, whatever the rules say now. */
async function decide(
  context: AppContext,
  points: readonly RestorePoint[],
  confirmed: boolean,
): Promise<Decided> {
  const rules = await readRules(context);
  const now = context.clock();
  const going = points.filter(({ state }) => state === "expiring");
  const chosen: RestorePoint[] = [];
  const heldBack: string[] = [];
  let heldCount = 0;
  for (const group of byVm(points.filter(({ state }) => state !== "expiring")).values()) {
    const decisions = planRetention(
      group.map((point) => retainedPointOf(point, rules)),
      now,
    );
    const gone = new Set(
      decisions.flatMap(({ pointId, decision }) => (decision === "expire" ? pointId : [])),
    );
    const why = confirmed ? undefined : whyHeldBack(decisions);
    if (why === undefined) chosen.push(...group.filter(({ pointId }) => gone.has(pointId)));
    else {
      heldCount += gone.size;
      heldBack.push(`${group[0]?.vmName ?? ""}: ${why}`);
    }
  }
  const oldestFirst = chosen.toSorted((left, right) => (isLater(left, right) ? 1 : -1));
  const expired = [...going, ...oldestFirst].slice(0, POINTS_PER_RUN_MAX);
  const counts = {
    kept: points.length - going.length - chosen.length - heldCount,
    expired: expired.length,
    heldBack: heldCount,
    left: going.length + chosen.length - expired.length,
  };
  return { expired, counts, heldBack: heldBack.slice(0, HELD_NAMED_MAX) };
}

/** Answers those that nobody uses; the others are again what they were. */
async function markExpiring(
  context: AppContext,
  repositoryId: string,
  points: readonly RestorePoint[],
): Promise<RestorePoint[]> {
  const { records } = context;
  for (const { pointId } of points)
    await records.points.update(pointId, (point) =>
      point.state === "expiring" ? undefined : { ...point, state: "expiring" },
    );
  const inUse = await findPointsInUse(context, repositoryId);
  for (const { pointId, state } of points)
    if (inUse.has(pointId)) await records.points.update(pointId, (point) => ({ ...point, state }));
  return points.filter(({ pointId }) => !inUse.has(pointId));
}

/** Disks of each VM's newest point: whatever goes, their newest content stays. */
function newestDiskIds(points: readonly RestorePoint[]): string[] {
  const diskIds = new Set<string>();
  for (const group of byVm(points).values()) {
    const newest = group.reduce((best, point) => (isLater(point, best) ? point : best));
    for (const { diskId } of newest.disks) diskIds.add(diskId);
  }
  return [...diskIds];
}

/** What the worker deleted leaves the index; what it kept is available again. */
export const indexMaintenance = defineActivity("index-maintenance", async (context, input) => {
  const { records, clock } = context;
  const { sessionId } = input;
  const { spec, result } = await getResult(context, sessionId, "maintain");
  const isAsked = new Set(spec.expiredPoints.map(({ pointId }) => pointId));
  for (const { pointId } of result.expiredPoints) {
    const row = await records.points.read(pointId);
    const isGone = row?.value.repositoryId === spec.repositoryId && row.value.state === "expiring";
    if (isGone && isAsked.has(pointId)) await records.points.delete(pointId);
  }
  for (const { pointId } of result.keptPoints)
    await records.points.update(pointId, (point) =>
      point.state === "expiring" && isAsked.has(pointId)
        ? { ...point, state: "available" }
        : undefined,
    );
  const archiveIds = new Set(spec.expiredArchives.map(({ archiveId }) => archiveId));
  for (const archiveId of result.expiredArchiveIds)
    if (archiveIds.has(archiveId)) await records.archives.delete(archiveId);
  const deletedAt = clock().toISOString();
  for (const retrievalId of result.expiredRetrievalIds)
    await records.retrievals.update(retrievalId, (each) =>
      each.state === "expired" && each.deletedAt === undefined ? { ...each, deletedAt } : undefined,
    );
  const { kind: _kind, expiredPoints, ...maintenance } = result;
  await records.sessions.update(sessionId, (session) => ({ ...session, maintenance }));
  return {
    expiredCount: expiredPoints.length,
    keptCount: result.keptPoints.length,
    deletedObjects: result.deletedObjects,
    deletedBytes: result.deletedBytes,
    markedObjects: result.markedObjects,
    skipped: result.skippedDisks.map(({ diskId, reason }) => `${diskId}: ${reason}`).slice(0, 10),
    skippedCount: result.skippedDisks.length,
  };
});
