/** Resource Manager's answers on a VM, its disks and NICs -> the configuration that a point keeps. */
import type { DataDisk, Disk, OSDisk, VirtualMachine } from "@azure/arm-compute";
import type { NetworkInterface } from "@azure/arm-network";
import type { z } from "zod";
import { HoldfastError } from "#core/lib/errors.ts";
import { vmConfigurationSchema, type VmConfiguration } from "#core/model/vm-configuration.ts";
import { diskSizeOf } from "./provisioning.ts";
import { whyDiskUnsupported, whyVmUnsupported } from "./unsupported-vm.ts";

/** Keys are resource ids in lower case: Azure does not keep their case. */
interface VmParts {
  readonly disks: ReadonlyMap<string, Disk>;
  readonly nics: ReadonlyMap<string, NetworkInterface>;
}

type Unchecked = z.input<typeof vmConfigurationSchema>;
type UncheckedDisk = { [Key in keyof Unchecked["osDisk"]]: unknown };

/** Throws `HoldfastError` code `UnsupportedVm` for what cannot be protected, e.g. unmanaged disks. */
export function vmConfigurationOf(vm: VirtualMachine, parts: VmParts): VmConfiguration {
  const reason = whyVmUnsupported(vm);
  if (reason !== undefined) throw unsupported(vm, reason);
  const storage = vm.storageProfile;
  const security = vm.securityProfile;
  const dataDisks = [...(storage?.dataDisks ?? [])].sort((one, other) => one.lun - other.lun);
  const parsed = vmConfigurationSchema.safeParse({
    vmId: vm.vmId,
    resourceId: vm.id,
    name: vm.name,
    location: vm.location,
    zones: vm.zones ?? [],
    vmSize: vm.hardwareProfile?.vmSize,
    osDisk: storage?.osDisk && diskOf(vm, storage.osDisk, "os", parts),
    dataDisks: dataDisks.map((disk) => diskOf(vm, disk, disk.lun, parts)),
    nics: nicsOf(vm, parts),
    tags: vm.tags ?? {},
    identity: vm.identity && {
      type: vm.identity.type ?? "None",
      userAssignedIdentityIds: Object.keys(vm.identity.userAssignedIdentities ?? {}),
    },
    plan: vm.plan,
    securityProfile: security && {
      securityType: security.securityType,
      encryptionAtHost: security.encryptionAtHost,
      secureBootEnabled: security.uefiSettings?.secureBootEnabled,
      vTpmEnabled: security.uefiSettings?.vTpmEnabled,
    },
    licenseType: vm.licenseType,
    availabilitySetId: vm.availabilitySet?.id,
    proximityPlacementGroupId: vm.proximityPlacementGroup?.id,
    diskControllerType: storage?.diskControllerType,
    bootDiagnosticsEnabled: vm.diagnosticsProfile?.bootDiagnostics?.enabled ?? false,
    priority: vm.priority,
    evictionPolicy: vm.evictionPolicy,
    extensionNames: (vm.resources ?? []).flatMap((extension) => lastSegment(extension.id) ?? []),
  });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw unsupported(vm, `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "unknown shape"}`);
}

function diskOf(
  vm: VirtualMachine,
  attached: OSDisk | DataDisk,
  slot: "os" | number,
  { disks }: VmParts,
): UncheckedDisk {
  const id = attached.managedDisk?.id;
  if (id === undefined) throw unsupported(vm, `disk ${String(slot)} is not a managed disk`);
  const disk = disks.get(id.toLowerCase());
  const reason = disk && whyDiskUnsupported(disk);
  if (reason !== undefined) throw unsupported(vm, `disk ${disk?.name ?? id}: ${reason}`);
  const isOsDisk = slot === "os";
  return {
    diskId: disk?.uniqueId,
    resourceId: disk?.id ?? id,
    name: disk?.name ?? lastSegment(id),
    slot,
    location: disk?.location,
    zones: disk?.zones ?? [],
    sizeBytes: disk && diskSizeOf(disk),
    skuName: disk?.sku?.name,
    caching: attached.caching ?? "None",
    writeAcceleratorEnabled: attached.writeAcceleratorEnabled ?? false,
    deleteOption: attached.deleteOption ?? "Detach",
    osType: disk?.osType ?? ("osType" in attached ? attached.osType : undefined),
    hyperVGeneration: disk?.hyperVGeneration,
    // A disk that was uploaded has none of its own; the VM that starts from it has.
    securityType:
      disk?.securityProfile?.securityType ??
      (isOsDisk ? vm.securityProfile?.securityType : undefined),
    diskEncryptionSetId: disk?.encryption?.diskEncryptionSetId,
    networkAccessPolicy: disk?.networkAccessPolicy,
    publicNetworkAccess: disk?.publicNetworkAccess,
    diskAccessId: disk?.diskAccessId,
    dataAccessAuthMode: disk?.dataAccessAuthMode,
    purchasePlan: disk?.purchasePlan ?? (isOsDisk ? vm.plan : undefined),
    supportedCapabilities: disk?.supportedCapabilities,
    tags: disk?.tags ?? {},
  };
}

function nicsOf(vm: VirtualMachine, { nics }: VmParts): unknown[] {
  const references = vm.networkProfile?.networkInterfaces ?? [];
  return references.map((reference) => {
    const nic = nics.get((reference.id ?? "").toLowerCase());
    return {
      resourceId: nic?.id ?? reference.id,
      name: nic?.name ?? lastSegment(reference.id),
      // Azure leaves it out where there is one NIC only.
      primary: reference.primary ?? references.length === 1,
      deleteOption: reference.deleteOption ?? "Detach",
      enableAcceleratedNetworking: nic?.enableAcceleratedNetworking ?? false,
      enableIPForwarding: nic?.enableIPForwarding ?? false,
      networkSecurityGroupId: nic?.networkSecurityGroup?.id,
      ipConfigurations: (nic?.ipConfigurations ?? []).map((ip) => ({
        name: ip.name,
        primary: ip.primary ?? false,
        subnetId: ip.subnet?.id,
        privateIPAddress: ip.privateIPAddress,
        privateIPAllocationMethod: ip.privateIPAllocationMethod,
        publicIPAddressId: ip.publicIPAddress?.id,
      })),
      tags: nic?.tags ?? {},
    };
  });
}

function lastSegment(id: string | undefined): string | undefined {
  return id?.split("/").at(-1);
}

function unsupported(vm: VirtualMachine, why: string): HoldfastError {
  return new HoldfastError(
    "UnsupportedVm",
    `Virtual machine ${vm.id ?? vm.name ?? ""} cannot be protected: ${why}.`,
  );
}
