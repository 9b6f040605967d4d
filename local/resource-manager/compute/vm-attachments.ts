import { ArmError, resourceNotFound } from "../arm-error.ts";
import { isJsonObject, objectAt, stringAt, type JsonValue } from "../json.ts";
import type { RequestContext, Resource, ResourceStore } from "../provider.ts";
import { attachedVmOf } from "../network/attachment.ts";
import { idKey, nameOf, parseResourceId, sameId } from "../resource-id.ts";
import type { ComputeServices } from "./compute-services.ts";
import { callDisks } from "./disk-errors.ts";
import { concurrentRequest } from "./vm-limits.ts";

/** Where a VM is or will be, as far as its disks and NICs care. */
export interface VmPlace {
  readonly vmId: string;
  readonly location: string;
  readonly zone: string | undefined;
}

/**
 * The disk, if this VM may have it: it exists in the VM's region and zone, nobody else has it, its
 * bytes are complete and no SAS is out.
 */
export async function requireAttachableDisk(
  services: ComputeServices,
  request: RequestContext,
  diskId: string,
  place: VmPlace,
): Promise<Resource> {
  const disk = request.resources.get(diskId);
  if (disk === undefined || stringAt(disk.body, "location") !== place.location) {
    throw resourceNotFound(
      `Microsoft.Compute/disks/${nameOf(diskId)}`,
      parseResourceId(diskId)?.resourceGroup ?? "",
    );
  }
  const owner = stringAt(disk.body, "managedBy");
  if (owner !== undefined && sameId(owner, place.vmId)) return disk;
  if (owner !== undefined) {
    throw new ArmError(
      409,
      "ConflictingUserInput",
      `Disk '${disk.id}' cannot be attached as the disk is already owned by VM '${owner}'.`,
      { target: disk.id },
    );
  }
  if (request.isBusy(diskId)) {
    throw new ArmError(
      409,
      "OperationNotAllowed",
      `Disk ${disk.name} is being created, updated or deleted and cannot be attached now.`,
    );
  }
  checkZone(disk, place);
  await callDisks(() => services.disks.assertAttachable(idKey(diskId)));
  return disk;
}

/** A zonal VM takes disks of its zone, or zone-redundant ones; a regional VM takes no zonal disk. */
function checkZone(disk: Resource, place: VmPlace): void {
  const zones: JsonValue = disk.body["zones"] ?? [];
  const zone = Array.isArray(zones) && typeof zones[0] === "string" ? zones[0] : undefined;
  const sku = stringAt(objectAt(disk.body, "sku"), "name") ?? "";
  if (sku.endsWith("_ZRS") || zone === place.zone) return;
  const wanted = place.zone ?? "";
  const message =
    wanted === ""
      ? `Disk ${disk.id} cannot be attached to the VM because the disk is in zone '${zone ?? ""}' and the VM is not in a zone.`
      : `Disk ${disk.id} cannot be attached to the VM because it is not in zone '${wanted}'.`;
  throw new ArmError(400, "BadRequest", message);
}

/** The NIC, if this VM may have it. */
export function requireFreeNic(request: RequestContext, nicId: string, place: VmPlace): Resource {
  const nic = request.resources.get(nicId);
  if (
    nic === undefined ||
    !sameId(nic.type, "Microsoft.Network/networkInterfaces") ||
    stringAt(nic.body, "location") !== place.location
  ) {
    throw new ArmError(
      400,
      "InvalidResourceReference",
      `Resource ${nicId} referenced by resource ${place.vmId} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.`,
    );
  }
  const owner = attachedVmOf(nic) ?? stringAt(nic.internal, "privateEndpointId");
  if (owner !== undefined && !sameId(owner, place.vmId)) {
    throw new ArmError(
      400,
      "NicInUse",
      `Network Interface ${nic.name} is used by existing resource ${owner}. In order to use the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.`,
    );
  }
  if (request.isBusy(nicId)) throw concurrentRequest();
  return nic;
}

/** Writes who has a disk; undefined detaches it. Safe to repeat; a disk that is gone is skipped. */
export function setDiskOwner(
  resources: ResourceStore,
  diskId: string,
  vmId: string | undefined,
): void {
  const disk = resources.get(diskId);
  if (disk === undefined) return;
  const { managedBy: _, ...rest } = disk.body;
  resources.put(diskId, { body: vmId === undefined ? rest : { ...rest, managedBy: vmId } });
}

/** A disk of a VM, as its body names it. */
export interface AttachedDisk {
  readonly id: string;
  readonly deleteOption: string;
}

export function attachedDisksOf(vm: Resource): readonly AttachedDisk[] {
  const storage = objectAt(objectAt(vm.body, "properties"), "storageProfile");
  const dataDisks = storage["dataDisks"];
  const all = [
    storage["osDisk"],
    ...(Array.isArray(dataDisks) ? (dataDisks as readonly JsonValue[]) : []),
  ];
  return all
    .filter((disk) => isJsonObject(disk))
    .flatMap((disk) => {
      const id = stringAt(objectAt(disk, "managedDisk"), "id");
      return id === undefined
        ? []
        : [{ id, deleteOption: stringAt(disk, "deleteOption") ?? "Detach" }];
    });
}

export function attachedNicsOf(vm: Resource): readonly AttachedDisk[] {
  const profile = objectAt(objectAt(vm.body, "properties"), "networkProfile");
  const nics = profile["networkInterfaces"];
  return (Array.isArray(nics) ? (nics as readonly JsonValue[]) : [])
    .filter((nic) => isJsonObject(nic))
    .flatMap((nic) => {
      const id = stringAt(nic, "id");
      return id === undefined
        ? []
        : [{ id, deleteOption: stringAt(objectAt(nic, "properties"), "deleteOption") ?? "Detach" }];
    });
}
