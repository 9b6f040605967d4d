import { describe, expect, it } from "vitest";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { disksOf } from "#core/model/vm-configuration.ts";
import { planRestore, restoredResourceIds } from "#core/restore/plan-restore.ts";
import { createTestVm } from "../../functions/test-vm.ts";

const vm = createTestVm();
const point: RestorePoint = {
  pointId: "p",
  vmId: vm.vmId,
  vmName: vm.name,
  repositoryId: "r",
  sessionId: "s",
  takenAt: "2026-01-01T00:00:00.000Z",
  state: "available",
  vm,
  disks: disksOf(vm).map(({ diskId, name, slot, sizeBytes }) => ({
    diskId,
    name,
    slot,
    sizeBytes,
    kind: "full",
    reason: "first backup",
    readBytes: 0,
    storedBytes: 0,
    changedBytes: 0,
    durationMs: 0,
    warnings: [],
  })),
};
const never = (): boolean => false;
const group = vm.resourceId.replace(/\/providers.*/, "");

describe("plan of a restore", () => {
  it("names everything after the new VM, in the source's group and subnets", () => {
    const plan = planRestore(point, { vmName: "again" }, never);
    expect(plan.conflicts).toEqual([]);
    expect(restoredResourceIds(plan)).toEqual([
      `${group}/providers/Microsoft.Compute/virtualMachines/again`,
      `${group}/providers/Microsoft.Compute/disks/again-os`,
      `${group}/providers/Microsoft.Compute/disks/again-data-0`,
      `${group}/providers/Microsoft.Network/networkInterfaces/again-nic-0`,
    ]);
    expect(plan.nics[0]?.subnetId).toBe(vm.nics[0]?.ipConfigurations[0]?.subnetId);
  });

  it("is refused when the restored VM or a disk has no room for the restore's own tag", () => {
    const tags = Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`tag-${n}`, "x"]));
    const full = { ...point, vm: { ...vm, tags } };
    expect(planRestore(full, { vmName: "again" }, never).conflicts).toEqual([
      expect.stringContaining("50 tags"),
    ]);
    const { "tag-0": _one, ...fewer } = tags;
    const nearlyFull = { ...point, vm: { ...vm, tags: fewer } };
    expect(planRestore(nearlyFull, { vmName: "again" }, never).conflicts).toEqual([]);
  });

  it("follows the group and the subnet that were asked for, and says what is lost", () => {
    const lossy = {
      ...point,
      vm: {
        ...vm,
        identity: { type: "SystemAssigned", userAssignedIdentityIds: [] },
        extensionNames: ["agent"],
      },
    };
    const request = {
      vmName: "again",
      resourceGroupId: "/subscriptions/x/resourceGroups/y",
      subnetId: "/sub/net",
    };
    const plan = planRestore(lossy, request, never);
    expect(plan.vmResourceId.startsWith("/subscriptions/x/resourceGroups/y/providers/")).toBe(true);
    expect(plan.nics.map((nic) => nic.subnetId)).toEqual(["/sub/net"]);
    expect(plan.reasons).toHaveLength(4);
  });

  it.each<[string, Partial<RestorePoint>, string, (id: string) => boolean, RegExp]>([
    ["an existing disk", {}, "again", (id) => id.endsWith("/again-os"), /again-os exists already/],
    ["the source's own name", {}, "WEB", never, /under a new name/],
    ["a missing point", { state: "missing" }, "again", never, /is missing/],
    ["a name that is too long", {}, "x".repeat(65), never, /longer than 64/],
    ["a disk without image", { disks: [point.disks[0]!] }, "again", never, /web-0 is not part/],
    ["no NIC", { vm: { ...vm, nics: [] } }, "again", never, /no NIC/],
  ])("is a conflict for %s", (_name, fields, vmName, exists, expected) => {
    const { conflicts } = planRestore({ ...point, ...fields }, { vmName }, exists);
    expect(conflicts.join()).toMatch(expected);
  });
});
