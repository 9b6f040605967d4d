/** Decides which of the restore points that retention lets go may really go. */

export interface PointName {
  readonly vmId: string;
  readonly pointId: string;
}

export interface VmPointFacts extends PointName {
  readonly takenAt: Date;
  readonly diskIds: readonly string[];
  /** Every disk of it can be opened. Undefined: nobody has looked, because a newer one is whole. */
  readonly isComplete: boolean | undefined;
}

export interface ExpiryFacts {
  /** What retention lets go. */
  readonly asked: readonly PointName[];
  /** All points of the VMs concerned that can be read. */
  readonly points: readonly VmPointFacts[];
  /** Points whose manifest is there but cannot be read. */
  readonly unreadable: readonly PointName[];
  /** Disks that are still protected. */
  readonly activeDiskIds: ReadonlySet<string>;
}

export type KeepReason =
  | "newest-complete-point-of-an-active-disk"
  | "no-complete-point-of-an-active-disk"
  | "a-manifest-of-the-vm-cannot-be-read";

export type ExpiryDecision = PointName &
  (
    | { readonly decision: "delete"; readonly reason: "expired" | "gone-already" }
    | { readonly decision: "keep"; readonly reason: KeepReason }
  );

export function pointKey({ vmId, pointId }: PointName): string {
  return `${vmId}/${pointId}`;
}

/** Newest first; ids decide between points of one instant, so that everybody decides alike. */
export function newestFirst(points: readonly VmPointFacts[]): VmPointFacts[] {
  return [...points].sort(
    (left, right) =>
      right.takenAt.getTime() - left.takenAt.getTime() ||
      (left.pointId < right.pointId ? 1 : left.pointId > right.pointId ? -1 : 0),
  );
}

/** One decision per point that was asked for, in the same order. */
export function planExpiry(facts: ExpiryFacts): ExpiryDecision[] {
  const known = new Map(facts.points.map((point) => [pointKey(point), point]));
  const unreadableVms = new Set(facts.unreadable.map(({ vmId }) => vmId));
  return facts.asked.map(({ vmId, pointId }): ExpiryDecision => {
    const name = { vmId, pointId };
    if (unreadableVms.has(vmId)) {
      return { ...name, decision: "keep", reason: "a-manifest-of-the-vm-cannot-be-read" };
    }
    const point = known.get(pointKey(name));
    if (point === undefined) return { ...name, decision: "delete", reason: "gone-already" };
    const reason = reasonToKeep(point, facts);
    if (reason !== undefined) return { ...name, decision: "keep", reason };
    return { ...name, decision: "delete", reason: "expired" };
  });
}

function reasonToKeep(point: VmPointFacts, facts: ExpiryFacts): KeepReason | undefined {
  for (const diskId of point.diskIds) {
    if (!facts.activeDiskIds.has(diskId)) continue;
    const points = facts.points.filter(({ diskIds }) => diskIds.includes(diskId));
    const newest = newestFirst(points).find(({ isComplete }) => isComplete === true);
    if (newest === undefined) return "no-complete-point-of-an-active-disk";
    if (pointKey(newest) === pointKey(point)) return "newest-complete-point-of-an-active-disk";
  }
  return undefined;
}
