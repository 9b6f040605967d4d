import { describe, expect, it } from "vitest";
import { planBackup, type BackupFacts, type SnapshotFacts } from "#core/backup/plan-backup.ts";
import { latestPointIn, planSnapshotCleanup } from "#core/backup/plan-snapshot-cleanup.ts";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { createTestVm } from "../../functions/test-vm.ts";

const vm = createTestVm();

function pointOf(pointId: string, fields: Partial<RestorePoint> = {}): RestorePoint {
  return {
    pointId,
    vmId: vm.vmId,
    vmName: vm.name,
    repositoryId: "r-1",
    sessionId: `backup-${pointId}`,
    takenAt: `2026-01-0${pointId.at(-1)}T00:00:00.000Z`,
    state: "available",
    vm,
    disks: [
      {
        diskId: "d",
        name: "d",
        slot: "os",
        sizeBytes: 100,
        kind: "full",
        reason: "first backup",
        readBytes: 0,
        storedBytes: 0,
        changedBytes: 0,
        durationMs: 0,
        warnings: [],
        snapshot: { snapshotId: `/snap/${pointId}`, familyId: "f", sourceDiskUniqueId: "u" },
      },
    ],
    ...fields,
  };
}

const base: SnapshotFacts = {
  snapshotId: "/snap/1",
  familyId: "f",
  sourceDiskUniqueId: "u",
  sizeBytes: 100,
  needsToken: false,
};
const snapshot: SnapshotFacts = { ...base, snapshotId: "/snap/2" };
const disk = { diskId: "d", name: "d", sizeBytes: 100, snapshot, baseSnapshot: base };
const sharing = { sharedFromBytes: 2 ** 43, workersMax: 5 };
const facts: BackupFacts = { forceFull: false, parent: pointOf("1"), disks: [disk], sharing };
const withDisk = (fields: Partial<typeof disk>): BackupFacts => ({
  ...facts,
  disks: [{ ...disk, ...fields }],
});

describe("plan of a backup", () => {
  it("is incremental when everything matches", () => {
    expect(planBackup(facts)).toEqual([
      {
        diskId: "d",
        name: "d",
        kind: "incremental",
        reason: "changes since restore point 1",
        base: { snapshotId: "/snap/1", parentPointId: "1" },
      },
    ]);
  });

  it.each<[string, BackupFacts]>([
    ["a full backup was asked for", { ...facts, forceFull: true }],
    ["first backup", { ...facts, parent: undefined }],
    [
      "the parent restore point 1 is missing",
      { ...facts, parent: pointOf("1", { state: "missing" }) },
    ],
    ["first backup of this disk", withDisk({ diskId: "new" })],
    [
      "the size changed from 100 to 200 bytes",
      withDisk({ sizeBytes: 200, snapshot: { ...snapshot, sizeBytes: 200 } }),
    ],
    [
      "the snapshot of the parent restore point is missing",
      { ...facts, disks: [{ ...disk, baseSnapshot: undefined }] },
    ],
    [
      "the base snapshot has another data access mode",
      withDisk({ baseSnapshot: { ...base, needsToken: true } }),
    ],
    [
      "the base snapshot has another data access mode",
      withDisk({ snapshot: { ...snapshot, needsToken: true } }),
    ],
    ["the base snapshot has another size", withDisk({ baseSnapshot: { ...base, sizeBytes: 50 } })],
    [
      "the disk is another one than at the parent restore point",
      withDisk({ snapshot: { ...snapshot, sourceDiskUniqueId: "other" } }),
    ],
    [
      "the base snapshot is of another family",
      withDisk({ baseSnapshot: { ...base, familyId: "other" } }),
    ],
    [
      "the base snapshot is of another family",
      withDisk({
        snapshot: { ...snapshot, familyId: undefined },
        baseSnapshot: { ...base, familyId: undefined },
      }),
    ],
  ])("is full because %s", (reason, changed) => {
    expect(planBackup(changed)).toMatchObject([{ kind: "full", reason }]);
    expect(planBackup(changed)[0]).not.toHaveProperty("base");
  });
});

describe("cleanup of snapshots", () => {
  it("keeps the bases of the latest point in each repository", () => {
    const points = [pointOf("1"), pointOf("3"), pointOf("2", { repositoryId: "r-2" })];
    const kept = planSnapshotCleanup(points).map(({ pointId, keep }) => [pointId, keep]);
    expect(kept).toEqual([
      ["1", false],
      ["3", true],
      ["2", true],
    ]);
    expect(latestPointIn("r-1", points)?.pointId).toBe("3");
    expect(latestPointIn("r-9", points)).toBeUndefined();
  });

  it("keeps a snapshot that a later point uses too", () => {
    const [shared] = pointOf("1").disks;
    const points = [pointOf("1"), pointOf("3", { disks: [shared!] })];
    expect(planSnapshotCleanup(points).map(({ keep }) => keep)).toEqual([true, true]);
  });
});
