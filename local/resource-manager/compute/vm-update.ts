import { ArmError } from "../arm-error.ts";
import { mergePatch, objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import { detachNetworkInterface } from "../network/attachment.ts";
import type {
  PatchRequest,
  PutRequest,
  RequestContext,
  Resource,
  WriteOutcome,
} from "../provider.ts";
import { sameId } from "../resource-id.ts";
import { propertyChangeNotAllowed } from "./body-schema.ts";
import type { ComputeServices } from "./compute-services.ts";
import { zonesOf } from "./disk-body.ts";
import {
  attachedDisksOf,
  attachedNicsOf,
  requireAttachableDisk,
  requireFreeNic,
  setDiskOwner,
  type VmPlace,
} from "./vm-attachments.ts";
import { parseVmBody, type VmProperties } from "./vm-body.ts";
import { attachNics, shownDataDisk } from "./vm-create.ts";
import { checkCoreQuota, checkDataDiskCount, findVmSize } from "./vm-sizes.ts";
import { powerStateOf } from "./vm-state.ts";

export async function patchVm(
  services: ComputeServices,
  request: PatchRequest,
): Promise<WriteOutcome> {
  return updateVm(
    services,
    request,
    request.existing,
    mergePatch(request.existing.body, request.body),
  );
}

export async function replaceVm(
  services: ComputeServices,
  request: PutRequest,
  existing: Resource,
): Promise<WriteOutcome> {
  const before = objectAt(existing.body, "properties");
  const given = objectAt(request.body, "properties");
  const storage = objectAt(given, "storageProfile");
  const wanted: JsonObject = {
    ...existing.body,
    ...request.body,
    properties: {
      ...before,
      ...given,
      storageProfile: {
        ...objectAt(before, "storageProfile"),
        ...storage,
        osDisk: {
          ...objectAt(objectAt(before, "storageProfile"), "osDisk"),
          ...objectAt(storage, "osDisk"),
        },
      },
    },
  };
  return updateVm(services, request, existing, wanted);
}

/**
 * Changes size, data disks, OS disk (swap), NICs, tags and identity. Data disks that are not named
 * any more, or are `toBeDetached`, are detached.
 */
async function updateVm(
  services: ComputeServices,
  request: RequestContext,
  existing: Resource,
  wanted: JsonObject,
): Promise<WriteOutcome> {
  const vm = parseVmBody(withoutWriteOnly(wanted));
  checkUnchanged(existing, wanted);
  const location = stringAt(existing.body, "location") ?? "";
  const place: VmPlace = { vmId: existing.id, location, zone: zonesOf(existing.body)[0] };
  const size = findVmSize(vm.hardwareProfile.vmSize);
  const kept = (vm.storageProfile.dataDisks ?? []).filter(
    ({ toBeDetached }) => toBeDetached !== true,
  );
  checkDataDiskCount(size, kept.length);
  checkCoreQuota(
    request,
    { location, isSpot: vm.priority === "Spot", size },
    services.coreQuota(location),
  );
  const osDiskId = vm.storageProfile.osDisk.managedDisk?.id ?? "";
  const diskIds = [osDiskId, ...kept.map((disk) => disk.managedDisk?.id ?? "")];
  for (const diskId of diskIds) await requireAttachableDisk(services, request, diskId, place);
  const osDisk = request.resources.get(osDiskId);
  checkNics(request, existing, vm, place);

  const { resources } = request;
  for (const { id } of attachedDisksOf(existing)) setDiskOwner(resources, id, undefined);
  for (const id of diskIds) setDiskOwner(resources, id, existing.id);
  for (const { id } of attachedNicsOf(existing)) detachNetworkInterface(resources, id, existing.id);
  attachNics(resources, existing.id, vm);
  const properties = objectAt(withoutWriteOnly(wanted), "properties");
  const storageProfile = objectAt(properties, "storageProfile");
  const body: JsonObject = {
    ...wanted,
    properties: withoutUndefined({
      ...properties,
      storageProfile: {
        ...storageProfile,
        osDisk: {
          ...objectAt(storageProfile, "osDisk"),
          ...(osDisk === undefined ? {} : { name: osDisk.name }),
          managedDisk: { id: osDisk?.id ?? osDiskId },
        },
        dataDisks: kept.map((disk) => shownDataDisk(request, disk)),
      },
      instanceView: undefined,
    }),
  };
  return { kind: "accepted", content: { body }, work: { name: "update", style: "both" } };
}

/** NICs of a VM change only while it is deallocated. */
function checkNics(
  request: RequestContext,
  existing: Resource,
  vm: VmProperties,
  place: VmPlace,
): void {
  const before = attachedNicsOf(existing).map(({ id }) => id);
  const after = vm.networkProfile.networkInterfaces.map(({ id }) => id);
  const isSame =
    before.length === after.length && after.every((id) => before.some((old) => sameId(old, id)));
  if (!isSame && powerStateOf(existing) !== "deallocated") {
    throw new ArmError(
      409,
      "AddingOrDeletingNetworkInterfacesOnARunningVirtualMachineNotSupported",
      "Secondary network interfaces cannot be added or deleted from a running virtual machine.",
    );
  }
  for (const id of after) requireFreeNic(request, id, place);
}

function checkUnchanged(existing: Resource, wanted: JsonObject): void {
  const before = objectAt(existing.body, "properties");
  const after = objectAt(wanted, "properties");
  const names = ["adminUsername", "computerName"] as const;
  for (const name of names) {
    const old = objectAt(before, "osProfile")[name];
    const given = objectAt(after, "osProfile")[name];
    if (given !== undefined && given !== old) throw propertyChangeNotAllowed(`osProfile.${name}`);
  }
  if (objectAt(after, "osProfile")["customData"] !== undefined) {
    throw propertyChangeNotAllowed("osProfile.customData");
  }
  const image = (properties: JsonObject) =>
    objectAt(objectAt(properties, "storageProfile"), "imageReference");
  for (const name of ["publisher", "offer", "sku", "version"]) {
    if (image(after)[name] !== image(before)[name])
      throw propertyChangeNotAllowed("imageReference");
  }
  const zones = JSON.stringify(wanted["zones"] ?? []);
  if (zones !== JSON.stringify(existing.body["zones"] ?? []))
    throw propertyChangeNotAllowed("zones");
}

function withoutWriteOnly(body: JsonObject): JsonObject {
  const properties = objectAt(body, "properties");
  if (properties["osProfile"] === undefined) return body;
  const { adminPassword: _, ...osProfile } = objectAt(properties, "osProfile");
  return { ...body, properties: { ...properties, osProfile } };
}
