/**
 * What a backup reads of each disk: everything (full), or what changed since the snapshot of the
 * parent point (incremental). Changed-block tracking is trusted only inside one snapshot family of
 * one disk of one size; everything else is read in full, with the reason in the plan. Huge disks that
 * are read in full are shared by several workers.
 */
import type { DiskPart } from "../model/disk-part.ts";
import type { RestorePoint } from "../model/restore-point.ts";
import { shareDisks, type SharingFacts } from "./share-disks.ts";

export interface SnapshotFacts {
  readonly snapshotId: string;
  readonly familyId: string | undefined;
  readonly sourceDiskUniqueId: string | undefined;
  readonly sizeBytes: number;
  /** Its data access mode asks for a token beside the SAS. */
  readonly needsToken: boolean;
}

export interface BackupDiskFacts {
  readonly diskId: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly snapshot: SnapshotFacts;
  /** State of the snapshot of the parent point, when it still exists. */
  readonly baseSnapshot: SnapshotFacts | undefined;
}

export interface BackupFacts {
  readonly forceFull: boolean;
  /** Latest point of this VM in this repository. */
  readonly parent: RestorePoint | undefined;
  readonly disks: readonly BackupDiskFacts[];
  readonly sharing: SharingFacts;
}

export interface DiskPlan {
  readonly diskId: string;
  readonly name: string;
  readonly kind: "full" | "incremental";
  readonly reason: string;
  readonly base?: { readonly snapshotId: string; readonly parentPointId: string };
  /** What several workers read, each a part. */
  readonly parts?: readonly DiskPart[];
}

export function planBackup(facts: BackupFacts): DiskPlan[] {
  const plans = facts.disks.map((disk) => planDisk(facts, disk));
  const fulls = facts.disks.filter((_, index) => plans[index]?.kind === "full");
  const shared = shareDisks(
    fulls.map(({ diskId, snapshot }) => ({ diskId, sizeBytes: snapshot.sizeBytes })),
    facts.sharing,
  );
  return plans.map((plan) => {
    const sharing = shared.get(plan.diskId);
    if (sharing === undefined) return plan;
    const { parts } = sharing;
    const reason = `${plan.reason}; ${sharing.reason}`;
    return { ...plan, reason, ...(parts.length === 0 ? {} : { parts }) };
  });
}

function planDisk(facts: BackupFacts, disk: BackupDiskFacts): DiskPlan {
  const { diskId, name } = disk;
  const reason = whyFull(facts, disk);
  if (reason !== undefined) return { diskId, name, kind: "full", reason };
  const { parent } = facts;
  const { baseSnapshot } = disk;
  if (parent === undefined || baseSnapshot === undefined)
    return { diskId, name, kind: "full", reason: "first backup" };
  return {
    diskId,
    name,
    kind: "incremental",
    reason: `changes since restore point ${parent.pointId}`,
    base: { snapshotId: baseSnapshot.snapshotId, parentPointId: parent.pointId },
  };
}

function whyFull(facts: BackupFacts, disk: BackupDiskFacts): string | undefined {
  if (facts.forceFull) return "a full backup was asked for";
  if (facts.parent === undefined) return "first backup";
  if (facts.parent.state !== "available")
    return `the parent restore point ${facts.parent.pointId} is ${facts.parent.state}`;
  const before = facts.parent.disks.find((each) => each.diskId === disk.diskId);
  if (before === undefined) return "first backup of this disk";
  if (before.sizeBytes !== disk.sizeBytes || disk.snapshot.sizeBytes !== disk.sizeBytes)
    return `the size changed from ${before.sizeBytes} to ${disk.snapshot.sizeBytes} bytes`;
  const base = disk.baseSnapshot;
  if (before.snapshot === undefined || base === undefined)
    return "the snapshot of the parent restore point is missing";
  if (base.sizeBytes !== disk.snapshot.sizeBytes) return "the base snapshot has another size";
  if (
    disk.snapshot.sourceDiskUniqueId === undefined ||
    base.sourceDiskUniqueId !== disk.snapshot.sourceDiskUniqueId
  )
    return "the disk is another one than at the parent restore point";
  if (disk.snapshot.familyId === undefined || base.familyId !== disk.snapshot.familyId)
    return "the base snapshot is of another family";
  // Nobody says what Azure asks of a diff of which only one side is in the mode.
  if (base.needsToken !== disk.snapshot.needsToken)
    return "the base snapshot has another data access mode";
  return undefined;
}
