/**
 * Expiry: deletes VM points that retention lets go, then the disk points that no VM point names any
 * more. In this order, because a VM point that exists must be complete: a crash in between leaves
 * disk points that nobody sees, and a later run finds them.
 */
import { mapBounded } from "../../lib/bounded-pool.ts";
import { codeOf } from "../../lib/errors.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { objectNames, requireSafeName } from "../format/layout.ts";
import type { VmPoint } from "../format/manifests.ts";
import type { Repository } from "../repository.ts";
import { listVmPoints, readVmPoint } from "../vm-points.ts";
import { isPointComplete } from "./complete-points.ts";
import { releaseDiskPoints } from "./release-disk-points.ts";
import { isUnreadable } from "./live-objects.ts";
import { DEFAULT_MARGINS, type MaintenanceMargins } from "./margins.ts";
import {
  newestFirst,
  planExpiry,
  pointKey,
  type ExpiryDecision,
  type PointName,
  type VmPointFacts,
} from "./plan-expiry.ts";

export interface ExpireVmPointsOptions {
  /** Points that retention lets go. One that is gone already is no error. */
  readonly points: readonly PointName[];
  /** Disks that are still protected: their newest complete point stays whatever `points` says. */
  readonly activeDiskIds: readonly string[];
  readonly now: () => Date;
  readonly margins?: Pick<MaintenanceMargins, "sessionSeconds">;
}

export interface ExpiredVmPoints {
  readonly expired: readonly PointName[];
  /** Asked for but kept, with why. */
  readonly kept: readonly (PointName & { readonly reason: string })[];
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  /** Disk points that should go but are protected by the store for some time. */
  readonly immutableObjects: number;
}

/** What expiry knows of a VM point: everything but the VM's configuration. */
export interface KnownVmPoint extends PointName {
  readonly takenAt: Date;
  readonly disks: VmPoint["disks"];
}

export interface AllVmPoints {
  readonly points: readonly KnownVmPoint[];
  readonly unreadable: readonly PointName[];
}

const PARALLEL_READS = 16;
const PARALLEL_DELETIONS = 8;

/** Throws `RepositoryFeatureUnknown`, `InvalidRepositoryName` and the store's errors. */
export async function expireVmPoints(
  repository: Repository,
  options: ExpireVmPointsOptions,
  signal: AbortSignal,
): Promise<ExpiredVmPoints> {
  requireFeatures(repository.descriptor, "delete");
  for (const { vmId, pointId } of options.points) {
    requireSafeName("VM id", vmId);
    requireSafeName("point id", pointId);
  }
  const all = await readAllVmPoints(repository, signal);
  const decisions = await decide(repository, options, all, signal);
  const deleted = await deleteVmPoints(repository, decisions, signal);
  const gone = new Set(deleted.expired.map(pointKey));
  const released = await releaseDiskPoints(
    repository,
    {
      ended: all.points.filter((point) => gone.has(pointKey(point))),
      remaining: all.points.filter((point) => !gone.has(pointKey(point))),
      unreadable: all.unreadable,
      activeDiskIds: new Set(options.activeDiskIds),
      now: options.now(),
      sessionSeconds: (options.margins ?? DEFAULT_MARGINS).sessionSeconds,
    },
    signal,
  );
  return {
    expired: deleted.expired,
    kept: deleted.kept,
    deletedObjects: deleted.deletedObjects + released.deletedObjects,
    deletedBytes: deleted.deletedBytes + released.deletedBytes,
    immutableObjects: deleted.immutableObjects + released.immutableObjects,
  };
}

/** Of the whole repository: any of them may name a disk point that would otherwise go. */
async function readAllVmPoints(repository: Repository, signal: AbortSignal): Promise<AllVmPoints> {
  const names: PointName[] = [];
  for await (const name of listVmPoints(repository, undefined, signal)) names.push(name);
  const points: KnownVmPoint[] = [];
  const unreadable: PointName[] = [];
  await mapBounded(names, PARALLEL_READS, async (name) => {
    try {
      const point = await readVmPoint(repository, name.vmId, name.pointId, signal);
      points.push({ ...name, takenAt: new Date(point.takenAt), disks: point.disks });
    } catch (error) {
      const code = codeOf(error);
      // Another run deleted it since it was listed.
      if (code === "VmPointNotFound") return;
      // A name that we never write: foreign, and nothing that we could read.
      if (!isUnreadable(code) && code !== "InvalidRepositoryName") throw error;
      unreadable.push(name);
    }
  });
  return { points, unreadable };
}

async function decide(
  repository: Repository,
  options: ExpireVmPointsOptions,
  all: AllVmPoints,
  signal: AbortSignal,
): Promise<ExpiryDecision[]> {
  const vmIds = new Set(options.points.map(({ vmId }) => vmId));
  const activeDiskIds = new Set(options.activeDiskIds);
  const concerned = all.points.filter(({ vmId }) => vmIds.has(vmId));
  const isComplete = await findNewestComplete(repository, concerned, activeDiskIds, signal);
  return planExpiry({
    asked: options.points,
    points: concerned.map((point) => factsOf(point, isComplete.get(pointKey(point)))),
    unreadable: all.unreadable.filter(({ vmId }) => vmIds.has(vmId)),
    activeDiskIds,
  });
}

function factsOf(point: KnownVmPoint, isComplete: boolean | undefined): VmPointFacts {
  const { vmId, pointId, takenAt, disks } = point;
  return {
    vmId,
    pointId,
    takenAt,
    isComplete,
    diskIds: disks.map((disk) => disk.diskPoint.diskId),
  };
}

/** Opens the points of each active disk, newest first, until one is complete. */
async function findNewestComplete(
  repository: Repository,
  points: readonly KnownVmPoint[],
  activeDiskIds: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Map<string, boolean>> {
  const byDisk = new Map<string, KnownVmPoint[]>();
  for (const point of points) {
    for (const { diskPoint } of point.disks) {
      if (!activeDiskIds.has(diskPoint.diskId)) continue;
      const others = byDisk.get(diskPoint.diskId) ?? [];
      byDisk.set(diskPoint.diskId, [...others, point]);
    }
  }
  const known = new Map<string, boolean>();
  for (const ofDisk of byDisk.values()) {
    const byKey = new Map(ofDisk.map((point) => [pointKey(point), point]));
    for (const facts of newestFirst(ofDisk.map((point) => factsOf(point, undefined)))) {
      const key = pointKey(facts);
      const point = byKey.get(key);
      if (point === undefined) continue;
      const isComplete = known.get(key) ?? (await isPointComplete(repository, point, signal));
      known.set(key, isComplete);
      if (isComplete) break;
    }
  }
  return known;
}

async function deleteVmPoints(
  { store }: Repository,
  decisions: readonly ExpiryDecision[],
  signal: AbortSignal,
): Promise<ExpiredVmPoints> {
  const expired: PointName[] = [];
  const kept: (PointName & { reason: string })[] = [];
  let deletedObjects = 0;
  let deletedBytes = 0;
  await mapBounded(decisions, PARALLEL_DELETIONS, async ({ vmId, pointId, decision, reason }) => {
    const name = { vmId, pointId };
    if (decision === "keep") {
      kept.push({ ...name, reason });
      return;
    }
    const blobName = objectNames.vmPoint(vmId, pointId);
    const sizeBytes = (await store.readProperties(blobName, signal))?.sizeBytes ?? 0;
    const answer = await store.delete(blobName, signal);
    if (answer === "immutable") {
      kept.push({ ...name, reason: "immutable" });
      return;
    }
    expired.push(name);
    if (answer === "absent") return;
    deletedObjects++;
    deletedBytes += sizeBytes;
  });
  return { expired, kept, deletedObjects, deletedBytes, immutableObjects: 0 };
}
