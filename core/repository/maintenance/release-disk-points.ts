/** Deletes disk points that no VM point names: those of points that just ended, and orphans. */
import { mapBounded } from "../../lib/bounded-pool.ts";
import { codeOf } from "../../lib/errors.ts";
import type { StoredBlob } from "../../ports/blob-store.ts";
import { readDiskPoint } from "../disk-points.ts";
import type { Repository } from "../repository.ts";
import type { KnownVmPoint } from "./expire-vm-points.ts";
import { isUnreadable } from "./live-objects.ts";
import { secondsBefore } from "./margins.ts";
import type { PointName } from "./plan-expiry.ts";

interface ReleaseFacts {
  /** VM points that were deleted a moment ago. */
  readonly ended: readonly KnownVmPoint[];
  readonly remaining: readonly KnownVmPoint[];
  readonly unreadable: readonly PointName[];
  readonly activeDiskIds: ReadonlySet<string>;
  readonly now: Date;
  readonly sessionSeconds: number;
}

interface FoundDiskPoint {
  readonly diskId: string;
  readonly sequence: number;
  readonly blob: StoredBlob;
}

const PARALLEL_DELETIONS = 8;
const DISK_POINT_NAME =
  /^disks\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})\/points\/([0-9]{10})\.manifest$/;

export async function releaseDiskPoints(
  repository: Repository,
  facts: ReleaseFacts,
  signal: AbortSignal,
): Promise<{ deletedObjects: number; deletedBytes: number; immutableObjects: number }> {
  const count = { deletedObjects: 0, deletedBytes: 0, immutableObjects: 0 };
  const found = await listDiskPoints(repository, signal);
  await mapBounded(planRelease(found, facts), PARALLEL_DELETIONS, async (point) => {
    if (await mayBelongToUnreadable(repository, point, facts.unreadable, signal)) return;
    const answer = await repository.store.delete(point.blob.name, signal);
    if (answer === "immutable") count.immutableObjects++;
    if (answer !== "deleted") return;
    count.deletedObjects++;
    count.deletedBytes += point.blob.sizeBytes;
  });
  return count;
}

async function listDiskPoints(
  repository: Repository,
  signal: AbortSignal,
): Promise<FoundDiskPoint[]> {
  const found: FoundDiskPoint[] = [];
  for await (const blob of repository.store.list("disks/", signal)) {
    const [, diskId, sequence] = DISK_POINT_NAME.exec(blob.name) ?? [];
    if (diskId === undefined || sequence === undefined) continue;
    found.push({ diskId, sequence: Number(sequence), blob });
  }
  return found;
}

function keyOf(point: { readonly diskId: string; readonly sequence: number }): string {
  return `${point.diskId}/${point.sequence}`;
}

/**
 * A disk point that no VM point names may belong to a backup that has not committed its VM point
 * yet: unless its VM point ended just now, it must be older than any session. The newest disk point
 * of an active disk stays, so that sequence numbers never start anew and its content stays known.
 */
function planRelease(found: readonly FoundDiskPoint[], facts: ReleaseFacts): FoundDiskPoint[] {
  const namesOf = (points: readonly KnownVmPoint[]): Set<string> =>
    new Set(points.flatMap(({ disks }) => disks.map(({ diskPoint }) => keyOf(diskPoint))));
  const named = namesOf(facts.remaining);
  const ended = namesOf(facts.ended);
  const unreadableVms = new Set(facts.unreadable.map(({ vmId }) => vmId));
  const disksOfUnreadable = new Set(
    facts.remaining
      .concat(facts.ended)
      .filter(({ vmId }) => unreadableVms.has(vmId))
      .flatMap(({ disks }) => disks.map(({ diskPoint }) => diskPoint.diskId)),
  );
  const newest = new Map<string, number>();
  for (const { diskId, sequence } of found) {
    newest.set(diskId, Math.max(sequence, newest.get(diskId) ?? 0));
  }
  const orphanBefore = secondsBefore(facts.now, facts.sessionSeconds);
  return found.filter((point) => {
    const { diskId, sequence, blob } = point;
    if (named.has(keyOf(point)) || disksOfUnreadable.has(diskId)) return false;
    if (facts.activeDiskIds.has(diskId) && newest.get(diskId) === sequence) return false;
    return ended.has(keyOf(point)) || blob.modifiedAt <= orphanBefore;
  });
}

/**
 * A VM point that cannot be read may name disks that no other point of its VM names. Its disk points
 * carry its id; one that cannot be read either stays.
 */
async function mayBelongToUnreadable(
  repository: Repository,
  { diskId, sequence }: FoundDiskPoint,
  unreadable: readonly PointName[],
  signal: AbortSignal,
): Promise<boolean> {
  if (unreadable.length === 0) return false;
  try {
    const { manifest } = await readDiskPoint(repository, diskId, sequence, signal);
    return unreadable.some(({ pointId }) => pointId === manifest.pointId);
  } catch (error) {
    const code = codeOf(error);
    if (code === "DiskPointNotFound") return false;
    if (isUnreadable(code)) return true;
    throw error;
  }
}
