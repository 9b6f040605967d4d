import type { DiskConfiguration, VmConfiguration } from "#core/model/vm-configuration.ts";

/** A VM with an OS disk and a data disk, for tests. */
export const SUBSCRIPTION = "11111111-0000-4000-8000-000000000001";
const GROUP = `/subscriptions/${SUBSCRIPTION}/resourceGroups/shop`;

export function createTestVm(
  name = "web",
  vmId = "aaaaaaaa-0000-4000-8000-00000000000a",
): VmConfiguration {
  const disk = (slot: "os" | number, sizeBytes: number): DiskConfiguration => ({
    diskId: `${vmId}-disk-${slot}`,
    resourceId: `${GROUP}/providers/Microsoft.Compute/disks/${name}-${slot}`,
    name: `${name}-${slot}`,
    slot,
    location: "westeurope",
    zones: [],
    sizeBytes,
    skuName: "Premium_LRS",
    caching: slot === "os" ? "ReadWrite" : "None",
    writeAcceleratorEnabled: false,
    deleteOption: "Detach",
    ...(slot === "os" ? { osType: "Linux" as const, hyperVGeneration: "V2" } : {}),
    tags: { "cost-center": `disk ${slot}` },
  });
  return {
    vmId,
    resourceId: `${GROUP}/providers/Microsoft.Compute/virtualMachines/${name}`,
    name,
    location: "westeurope",
    zones: [],
    vmSize: "Standard_D2s_v5",
    osDisk: disk("os", 2 ** 30),
    dataDisks: [disk(0, 2 ** 31)],
    nics: [
      {
        resourceId: `${GROUP}/providers/Microsoft.Network/networkInterfaces/${name}`,
        name,
        primary: true,
        deleteOption: "Detach",
        enableAcceleratedNetworking: true,
        enableIPForwarding: false,
        ipConfigurations: [
          {
            name: "main",
            primary: true,
            subnetId: `${GROUP}/providers/Microsoft.Network/virtualNetworks/shop/subnets/web`,
          },
        ],
        tags: {},
      },
    ],
    tags: { backup: "daily" },
    bootDiagnosticsEnabled: false,
    extensionNames: [],
  };
}

/** One OS disk and 64 data disks: the most that a VM size of Azure takes. */
export function createWideVm(): VmConfiguration {
  const vm = createTestVm("database", "bbbbbbbb-0000-4000-8000-00000000000b");
  const [dataDisk] = vm.dataDisks;
  if (dataDisk === undefined) throw new Error("the test VM has a data disk");
  const owner = { environment: "production", "cost-center": "1234567890", owner: '"Ops" <ops>' };
  const dataDisks = Array.from({ length: 64 }, (_, slot) => ({
    ...dataDisk,
    diskId: `${vm.vmId}-disk-${slot}`,
    resourceId: dataDisk.resourceId.replace(/-0$/, `-data-disk-number-${slot}`),
    name: `database-data-disk-number-${slot}`,
    slot,
    zones: ["1"],
    networkAccessPolicy: "AllowPrivate" as const,
    publicNetworkAccess: "Disabled" as const,
    diskAccessId: dataDisk.resourceId.replace(/disks\/.*/, "diskAccesses/holdfast-westeurope-1"),
    diskEncryptionSetId: dataDisk.resourceId.replace(/disks\/.*/, "diskEncryptionSets/database"),
    tags: owner,
  }));
  return { ...vm, dataDisks };
}
