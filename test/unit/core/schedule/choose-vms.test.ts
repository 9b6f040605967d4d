import { describe, expect, it } from "vitest";
import type { VmSelector } from "#core/model/policy.ts";
import { chooseVm } from "#core/schedule/choose-vms.ts";

const none: VmSelector = { vmIds: [], tags: [], locations: [], subscriptionIds: [] };
const vm = {
  vmId: "VM-1",
  resourceId: "/subscriptions/s-1/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v",
  name: "v",
  location: "westeurope",
  vmSize: "x",
  tags: { Backup: "daily" },
  diskCount: 1,
};

describe("choice of VMs", () => {
  it.each<[string, Partial<VmSelector>, Partial<VmSelector>, boolean, string]>([
    ["by id, whatever its case", { vmIds: ["vm-1"] }, {}, true, "included by its vmId"],
    ["not listed", { vmIds: ["vm-2"] }, {}, false, "not in the list of VMs"],
    ["by tag", { tags: [{ name: "backup", value: "daily" }] }, {}, true, "included by its tag"],
    ["by tag of any value", { tags: [{ name: "backup" }] }, {}, true, "included by its tag"],
    [
      "another value",
      { tags: [{ name: "backup", value: "Daily" }] },
      {},
      false,
      "its tag does not match",
    ],
    [
      "one of two kinds does not match",
      { tags: [{ name: "backup" }], locations: ["northeurope"] },
      {},
      false,
      "its location does not match",
    ],
    ["by subscription", { subscriptionIds: ["S-1"] }, {}, true, "included by its subscription"],
    [
      "exclusion wins",
      { vmIds: ["vm-1"] },
      { tags: [{ name: "backup" }] },
      false,
      "excluded by its tag",
    ],
    [
      "listed though its tag does not match",
      { vmIds: ["vm-1"], tags: [{ name: "x" }] },
      {},
      true,
      "included by its vmId",
    ],
    ["nothing selects nothing", {}, {}, false, "not in the list of VMs"],
  ])("%s", (_name, include, exclude, covered, reason) => {
    const selection = { include: { ...none, ...include }, exclude: { ...none, ...exclude } };
    expect(chooseVm(selection, vm)).toEqual({ vm, covered, reasons: [reason] });
  });
});
