import type { DataDisk, OSDisk, VirtualMachine } from "@azure/arm-compute";
import type { DiskConfiguration } from "#core/model/vm-configuration.ts";
import type { AttachVmRequest } from "#core/ports/compute.ts";
import { parseResourceId } from "../resource-id.ts";
import { definedOf } from "./defined-fields.ts";

/**
 * Body of a VM that is made of disks that exist. `osProfile` is left out: Azure refuses it with
 * attached disks, and the guest has its own users and host name already.
 */
export function attachVmBody(request: AttachVmRequest): VirtualMachine {
  const { source } = request;
  return {
    location: request.location,
    tags: { ...request.tags },
    ...(request.zones.length > 0 && { zones: [...request.zones] }),
    ...(source.plan !== undefined && { plan: definedOf(source.plan) }),
    ...identityOf(request),
    hardwareProfile: { vmSize: request.vmSize },
    storageProfile: {
      osDisk: osDiskOf(request),
      dataDisks: request.dataDisks.map((disk) => dataDiskOf(disk, source.dataDisks)),
      ...(source.diskControllerType !== undefined && {
        diskControllerType: source.diskControllerType,
      }),
    },
    networkProfile: {
      networkInterfaces: request.nicIds.map((id, index) => ({
        id,
        primary: index === 0,
        deleteOption: source.nics[index]?.deleteOption ?? "Detach",
      })),
    },
    ...securityOf(request),
    ...placementOf(request),
    ...(source.licenseType !== undefined && { licenseType: source.licenseType }),
    ...(source.bootDiagnosticsEnabled && {
      diagnosticsProfile: { bootDiagnostics: { enabled: true } },
    }),
    ...(source.priority === "Spot" && {
      priority: source.priority,
      evictionPolicy: source.evictionPolicy ?? "Deallocate",
      // -1: never evicted for its price.
      billingProfile: { maxPrice: -1 },
    }),
  };
}

function osDiskOf({ source, osDiskId }: AttachVmRequest): OSDisk {
  const { osDisk } = source;
  return {
    createOption: "Attach",
    managedDisk: { id: osDiskId },
    caching: osDisk.caching,
    deleteOption: osDisk.deleteOption,
    ...(osDisk.osType !== undefined && { osType: osDisk.osType }),
    ...(osDisk.writeAcceleratorEnabled && { writeAcceleratorEnabled: true }),
  };
}

function dataDiskOf(
  disk: AttachVmRequest["dataDisks"][number],
  sources: readonly DiskConfiguration[],
): DataDisk {
  const source = sources.find(({ slot }) => slot === disk.lun);
  return {
    createOption: "Attach",
    lun: disk.lun,
    managedDisk: { id: disk.diskId },
    caching: cachingOf(disk.caching),
    deleteOption: source?.deleteOption ?? "Detach",
    ...(source?.writeAcceleratorEnabled === true && { writeAcceleratorEnabled: true }),
  };
}

function cachingOf(caching: string): "None" | "ReadOnly" | "ReadWrite" {
  return caching === "ReadOnly" || caching === "ReadWrite" ? caching : "None";
}

/** User-assigned identities come along; a system-assigned one is made anew by Azure. */
function identityOf({ source: { identity } }: AttachVmRequest): Pick<VirtualMachine, "identity"> {
  switch (identity?.type) {
    case "SystemAssigned":
      return { identity: { type: identity.type } };
    case "UserAssigned":
    case "SystemAssigned, UserAssigned":
      return {
        identity: {
          type: identity.type,
          userAssignedIdentities: Object.fromEntries(
            identity.userAssignedIdentityIds.map((id) => [id, {}]),
          ),
        },
      };
    case undefined:
    default:
      return {};
  }
}

/**
 * `Standard` is what Azure shows of a VM without a type (since 2025-11-01) and is not sent back: older
 * subscriptions must register a feature for it. UEFI settings are taken with Trusted launch only.
 */
function securityOf({ source }: AttachVmRequest): Pick<VirtualMachine, "securityProfile"> {
  const profile = source.securityProfile;
  if (profile === undefined) return {};
  const isTrusted = profile.securityType === "TrustedLaunch";
  const securityProfile = {
    ...(isTrusted && {
      securityType: "TrustedLaunch",
      uefiSettings: definedOf({
        secureBootEnabled: profile.secureBootEnabled,
        vTpmEnabled: profile.vTpmEnabled,
      }),
    }),
    ...(profile.encryptionAtHost === true && { encryptionAtHost: true }),
  };
  return Object.keys(securityProfile).length > 0 ? { securityProfile } : {};
}

/**
 * An availability set takes only VMs of its own region and resource group and none with a zone; a
 * proximity placement group only VMs of its own region.
 */
function placementOf(
  request: AttachVmRequest,
): Pick<VirtualMachine, "availabilitySet" | "proximityPlacementGroup"> {
  const { source } = request;
  if (request.location.toLowerCase() !== source.location.toLowerCase()) return {};
  const target = parseResourceId(request.vmResourceId);
  const origin = parseResourceId(source.resourceId);
  if (target.subscriptionId.toLowerCase() !== origin.subscriptionId.toLowerCase()) return {};
  const sameGroup = target.resourceGroup.toLowerCase() === origin.resourceGroup.toLowerCase();
  const { availabilitySetId, proximityPlacementGroupId } = source;
  return {
    ...(availabilitySetId !== undefined &&
      sameGroup &&
      request.zones.length === 0 && { availabilitySet: { id: availabilitySetId } }),
    ...(proximityPlacementGroupId !== undefined && {
      proximityPlacementGroup: { id: proximityPlacementGroupId },
    }),
  };
}
