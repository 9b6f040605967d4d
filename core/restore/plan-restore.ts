/**
 * A restore of a whole VM under a new name: which disks, NICs and VM are made, from the
 * configuration that the restore point holds (the source may be gone). Every object that exists
 * already is a conflict: a restore overwrites nothing.
 */
import type { RestorePoint } from "../model/restore-point.ts";
import { RESOURCE_TYPES, resourceGroupIdOf, resourceId } from "../model/resource-id.ts";
import { disksOf, type DiskConfiguration } from "../model/vm-configuration.ts";

export interface RestoreRequest {
  readonly vmName: string;
  /** The source's resource group when missing. */
  readonly resourceGroupId?: string | undefined;
  /** The source's subnets when missing. */
  readonly subnetId?: string | undefined;
}

export interface DiskTarget {
  readonly source: DiskConfiguration;
  readonly diskId: string;
}

export interface NicTarget {
  readonly nicId: string;
  readonly subnetId: string;
  readonly networkSecurityGroupId: string | undefined;
  readonly enableAcceleratedNetworking: boolean;
}

export interface RestorePlan {
  readonly vmResourceId: string;
  readonly location: string;
  readonly disks: readonly DiskTarget[];
  readonly nics: readonly NicTarget[];
  readonly reasons: readonly string[];
  /** Why it cannot be done; empty when it can. */
  readonly conflicts: readonly string[];
}

/** Azure's limit for the name of a Linux VM resource. */
const VM_NAME_CHARACTERS_MAX = 64;
/** Azure's limit of tags on one resource (doc: tag resources); a restore adds `holdfast-session`. */
const TAGS_MAX = 50;

/** @param exists whether a resource with this id is there now */
export function planRestore(
  point: RestorePoint,
  request: RestoreRequest,
  exists: (resourceId: string) => boolean,
): RestorePlan {
  const targets = planTargets(point, request);
  const conflicts: string[] = [];
  if (point.state !== "available")
    conflicts.push(`restore point ${point.pointId} is ${point.state}: it cannot be restored`);
  if (targets.vmResourceId.toLowerCase() === point.vm.resourceId.toLowerCase())
    conflicts.push("the name is the source VM's own: restore under a new name");
  if (request.vmName.length > VM_NAME_CHARACTERS_MAX)
    conflicts.push(`the name is longer than ${VM_NAME_CHARACTERS_MAX} characters`);
  if (targets.nics.length === 0) conflicts.push("the source had no NIC and no subnet was given");
  for (const id of restoredResourceIds(targets)) {
    if (exists(id)) conflicts.push(`${id} exists already`);
  }
  for (const { name, tags } of [point.vm, ...disksOf(point.vm)]) {
    if (Object.keys(tags).length >= TAGS_MAX)
      conflicts.push(`${name} had ${TAGS_MAX} tags, and a restored resource needs one of its own`);
  }
  for (const disk of disksOf(point.vm)) {
    if (!point.disks.some((each) => each.diskId === disk.diskId))
      conflicts.push(`disk ${disk.name} is not part of the restore point`);
  }
  return { ...targets, conflicts };
}

/** Names and places of everything that the restore makes; the same for the same request. */
export function planTargets(
  point: RestorePoint,
  request: RestoreRequest,
): Omit<RestorePlan, "conflicts"> {
  const { vm } = point;
  const groupId = request.resourceGroupId ?? resourceGroupIdOf(vm.resourceId);
  const { vmName } = request;
  const reasons = [
    request.resourceGroupId === undefined
      ? "in the resource group of the source VM"
      : "in the resource group that was asked for",
    request.subnetId === undefined
      ? "in the subnets of the source VM, with new private addresses"
      : "in the subnet that was asked for",
    ...(vm.identity?.type.includes("SystemAssigned") !== true
      ? []
      : ["a system-assigned identity gets a new principal: assign its roles again"]),
    ...(vm.extensionNames.length === 0
      ? []
      : [`extensions are not installed again: ${vm.extensionNames.join(", ")}`]),
  ];
  const disks = disksOf(vm).map((source) => ({
    source,
    diskId: resourceId(
      groupId,
      RESOURCE_TYPES.disk,
      source.slot === "os" ? `${vmName}-os` : `${vmName}-data-${source.slot}`,
    ),
  }));
  const nics = vm.nics
    .toSorted((left, right) => Number(right.primary) - Number(left.primary))
    .flatMap((nic, index): NicTarget[] => {
      const first = nic.ipConfigurations.find((each) => each.primary) ?? nic.ipConfigurations[0];
      const subnetId = request.subnetId ?? first?.subnetId;
      if (subnetId === undefined) return [];
      return [
        {
          nicId: resourceId(groupId, RESOURCE_TYPES.networkInterface, `${vmName}-nic-${index}`),
          subnetId,
          networkSecurityGroupId: nic.networkSecurityGroupId,
          enableAcceleratedNetworking: nic.enableAcceleratedNetworking,
        },
      ];
    });
  return {
    vmResourceId: resourceId(groupId, RESOURCE_TYPES.virtualMachine, vmName),
    location: vm.location,
    disks,
    nics,
    reasons,
  };
}

export function restoredResourceIds(
  plan: Pick<RestorePlan, "vmResourceId" | "disks" | "nics">,
): string[] {
  return [
    plan.vmResourceId,
    ...plan.disks.map((disk) => disk.diskId),
    ...plan.nics.map((nic) => nic.nicId),
  ];
}
