/**
 * Which snapshots of a VM stay. A snapshot is needed only as the base of the next incremental, so
 * the latest point in each repository keeps its snapshots and every older one loses them.
 */
import type { RestorePoint } from "../model/restore-point.ts";

export interface SnapshotDecision {
  readonly snapshotId: string;
  readonly pointId: string;
  readonly keep: boolean;
  readonly reason: string;
}

/** @param points all points of one VM, in any order */
export function planSnapshotCleanup(points: readonly RestorePoint[]): SnapshotDecision[] {
  const latest = new Map<string, RestorePoint>();
  for (const point of points) {
    const known = latest.get(point.repositoryId);
    if (known === undefined || isLater(point, known)) latest.set(point.repositoryId, point);
  }
  const bases = new Set(
    [...latest.values()].flatMap((point) =>
      point.disks.flatMap((disk) =>
        disk.snapshot === undefined ? [] : [disk.snapshot.snapshotId.toLowerCase()],
      ),
    ),
  );
  return points.flatMap((point) =>
    point.disks.flatMap((disk): SnapshotDecision[] => {
      if (disk.snapshot === undefined) return [];
      const { snapshotId } = disk.snapshot;
      const keep = bases.has(snapshotId.toLowerCase());
      const reason = keep
        ? "base of the next incremental backup"
        : `replaced as base by restore point ${latest.get(point.repositoryId)?.pointId ?? ""}`;
      return [{ snapshotId, pointId: point.pointId, keep, reason }];
    }),
  );
}

/** Order of points: when they were taken, then by id. */
export function isLater(left: RestorePoint, right: RestorePoint): boolean {
  const difference = Date.parse(left.takenAt) - Date.parse(right.takenAt);
  return difference === 0 ? left.pointId > right.pointId : difference > 0;
}

/** The latest point in a repository: parent of the next backup there. */
export function latestPointIn(
  repositoryId: string,
  points: readonly RestorePoint[],
): RestorePoint | undefined {
  return points
    .filter((point) => point.repositoryId === repositoryId)
    .reduce<RestorePoint | undefined>(
      (best, point) => (best === undefined || isLater(point, best) ? point : best),
      undefined,
    );
}
