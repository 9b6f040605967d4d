import { ArmError } from "../arm-error.ts";
import { objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import { attachNetworkInterface } from "../network/attachment.ts";
import type { PutRequest, Resource, ResourceStore, WriteOutcome } from "../provider.ts";
import { formatResourceId, idKey, nameOf } from "../resource-id.ts";
import type { ComputeServices } from "./compute-services.ts";
import { bytesPerGiB, zonesOf } from "./disk-body.ts";
import { callDisks } from "./disk-errors.ts";
import { checkEphemeralOsDisk } from "./ephemeral-os-disk.ts";
import { checkOsDiskFits, wrongArchitecture } from "./os-disk-rules.ts";
import { findPlatformImage, platformImageSizeBytes, type FoundImage } from "./platform-images.ts";
import {
  requireAttachableDisk,
  requireFreeNic,
  setDiskOwner,
  type VmPlace,
} from "./vm-attachments.ts";
import { checkNewVm, parseVmBody, type VmProperties } from "./vm-body.ts";
import { checkCoreQuota, checkDataDiskCount, findVmSize, type VmSize } from "./vm-sizes.ts";

/**
 * Creates a VM: everything that can be refused is refused now, and disks and NICs are taken now, so
 * that two requests cannot have the same one. The work that follows boots it.
 */
export async function createVm(
  services: ComputeServices,
  request: PutRequest,
): Promise<WriteOutcome> {
  const { body, id, resources } = request;
  const vm = parseVmBody(body);
  checkNewVm(vm);
  const location = stringAt(body, "location") ?? "";
  const place: VmPlace = { vmId: id, location, zone: zonesOf(body)[0] };
  const size = findVmSize(vm.hardwareProfile.vmSize);
  checkEphemeralOsDisk(vm.storageProfile.osDisk, size.name, platformImageSizeBytes);
  const dataDisks = vm.storageProfile.dataDisks ?? [];
  checkDataDiskCount(size, dataDisks.length);
  const quota = services.coreQuota(location);
  checkCoreQuota(request, { location, isSpot: vm.priority === "Spot", size }, quota);
  for (const { id: nicId } of vm.networkProfile.networkInterfaces) {
    requireFreeNic(request, nicId, place);
  }
  for (const disk of dataDisks) {
    await requireAttachableDisk(services, request, disk.managedDisk?.id ?? "", place);
  }
  const isFromImage = vm.storageProfile.osDisk.createOption === "FromImage";
  const image = isFromImage ? imageFor(vm, size, location) : undefined;
  const osDisk =
    image === undefined
      ? await requireOsDisk(services, request, vm, { ...place, size })
      : await createOsDisk(services, request, { vm, image, place });
  setDiskOwner(resources, osDisk.id, id);
  for (const disk of dataDisks) setDiskOwner(resources, disk.managedDisk?.id ?? "", id);
  attachNics(resources, id, vm);
  return {
    kind: "accepted",
    content: {
      body: { ...body, properties: shownProperties(request, vm, { osDisk, image }) },
      internal: withoutUndefined({
        powerState: "starting",
        hasGuest: isFromImage,
        customData: vm.osProfile?.customData,
      }),
    },
    work: { name: "boot", style: "both" },
  };
}

/** The only NIC is the primary one, whether the body says so or not. */
export function attachNics(resources: ResourceStore, vmId: string, vm: VmProperties): void {
  const nics = vm.networkProfile.networkInterfaces;
  for (const nic of nics) {
    const primary = nics.length === 1 || nic.properties?.primary === true;
    attachNetworkInterface(resources, { interfaceId: nic.id, vmId, primary });
  }
}

function imageFor(vm: VmProperties, size: VmSize, location: string): FoundImage {
  const image = findPlatformImage(vm.storageProfile.imageReference ?? {}, location);
  if (image.architecture !== size.architecture) {
    throw wrongArchitecture(size, image.architecture);
  }
  if (vm.securityProfile?.securityType === "TrustedLaunch" && image.hyperVGeneration !== "V2") {
    throw new ArmError(
      400,
      "BadRequest",
      "Trusted launch virtual machines are supported only with Hyper-V generation 2 images.",
    );
  }
  return image;
}

/** The disk to boot from; it must say of itself that this VM can. */
async function requireOsDisk(
  services: ComputeServices,
  request: PutRequest,
  vm: VmProperties,
  place: VmPlace & { readonly size: VmSize },
): Promise<Resource> {
  const diskId = vm.storageProfile.osDisk.managedDisk?.id ?? "";
  const disk = await requireAttachableDisk(services, request, diskId, place);
  const properties = objectAt(disk.body, "properties");
  const osType = vm.storageProfile.osDisk.osType ?? stringAt(properties, "osType");
  if (osType === undefined) {
    throw new ArmError(
      400,
      "InvalidParameter",
      "Required parameter 'osDisk.osType' is missing (null).",
      {
        target: "osDisk.osType",
      },
    );
  }
  checkOsDiskFits(disk, { properties: vm, plan: objectAt(request.body, "plan"), size: place.size });
  return disk;
}

async function createOsDisk(
  services: ComputeServices,
  request: PutRequest,
  made: { vm: VmProperties; image: FoundImage; place: VmPlace },
): Promise<Resource> {
  const { vm, image, place } = made;
  const { osDisk, imageReference } = vm.storageProfile;
  const name =
    osDisk.name ?? `${nameOf(request.id)}_OsDisk_1_${request.newGuid().replaceAll("-", "")}`;
  const id = formatResourceId({ ...request.parsedId, types: ["disks"], names: [name] });
  if (request.resources.get(id) !== undefined) {
    throw new ArmError(
      409,
      "ConflictingUserInput",
      `Disk ${name} already exists in resource group.`,
      {
        target: "osDisk.name",
      },
    );
  }
  const sizeBytes =
    osDisk.diskSizeGB === undefined ? platformImageSizeBytes : osDisk.diskSizeGB * bytesPerGiB;
  if (sizeBytes < platformImageSizeBytes) {
    throw new ArmError(
      409,
      "OperationNotAllowed",
      `The specified disk size ${osDisk.diskSizeGB} GB is smaller than the size of the corresponding disk in the VM image: ${platformImageSizeBytes / bytesPerGiB} GB.`,
      { target: "osDisk.diskSizeGB" },
    );
  }
  await callDisks(() => services.disks.deleteDisk(idKey(id)));
  await callDisks(() => services.disks.createEmptyDisk({ id: idKey(id), sizeBytes }));
  const securityType = vm.securityProfile?.securityType;
  const versionPath = `/Subscriptions/${request.parsedId.subscriptionId}/Providers/Microsoft.Compute/Locations/${place.location}/Publishers/${imageReference?.publisher ?? ""}/ArtifactTypes/VMImage/Offers/${image.offer}/Skus/${image.sku}/Versions/${image.exactVersion}`;
  return request.resources.put(id, {
    body: {
      location: place.location,
      ...(place.zone === undefined ? {} : { zones: [place.zone] }),
      // An implicit disk gets the tags of its VM, once (Azure/azure-sdk-for-js issue 17787).
      tags: objectAt(request.body, "tags"),
      sku: { name: osDisk.managedDisk?.storageAccountType ?? "Premium_LRS" },
      properties: withoutUndefined({
        osType: "Linux",
        hyperVGeneration: image.hyperVGeneration,
        supportedCapabilities: {
          architecture: image.architecture,
          diskControllerTypes: "SCSI, NVMe",
          acceleratedNetwork: true,
        },
        creationData: { createOption: "FromImage", imageReference: { id: versionPath } },
        networkAccessPolicy: "AllowAll",
        publicNetworkAccess: "Enabled",
        encryption: { type: "EncryptionAtRestWithPlatformKey" },
        securityProfile:
          securityType === undefined || securityType === "Standard" ? undefined : { securityType },
        timeCreated: request.now().toISOString(),
        provisioningState: "Succeeded",
      }),
    },
    internal: {},
  });
}

/** `properties` as a GET shows them: no password, no custom data, what Azure fills in. */
function shownProperties(
  request: PutRequest,
  vm: VmProperties,
  made: { osDisk: Resource; image: FoundImage | undefined },
): JsonObject {
  const given = objectAt(request.body, "properties");
  const storage = objectAt(given, "storageProfile");
  const { adminPassword: _, customData: __, ...osProfile } = objectAt(given, "osProfile");
  const { image } = made;
  return withoutUndefined({
    ...given,
    vmId: request.newGuid(),
    timeCreated: request.now().toISOString(),
    securityProfile: { securityType: "Standard", ...objectAt(given, "securityProfile") },
    storageProfile: withoutUndefined({
      ...storage,
      imageReference:
        image === undefined
          ? undefined
          : { ...objectAt(storage, "imageReference"), exactVersion: image.exactVersion },
      osDisk: shownOsDisk(vm, objectAt(storage, "osDisk"), made.osDisk),
      dataDisks: (vm.storageProfile.dataDisks ?? []).map((disk) => shownDataDisk(request, disk)),
    }),
    osProfile:
      vm.osProfile === undefined
        ? undefined
        : { allowExtensionOperations: true, requireGuestProvisionSignal: true, ...osProfile },
    instanceView: undefined,
  });
}

function shownOsDisk(vm: VmProperties, given: JsonObject, disk: Resource): JsonObject {
  const properties = objectAt(disk.body, "properties");
  return {
    ...given,
    name: disk.name,
    osType: vm.storageProfile.osDisk.osType ?? stringAt(properties, "osType") ?? "Linux",
    caching: given["caching"] ?? "ReadWrite",
    deleteOption: given["deleteOption"] ?? "Detach",
    managedDisk: withoutUndefined({
      ...objectAt(given, "managedDisk"),
      id: disk.id,
      storageAccountType: stringAt(objectAt(disk.body, "sku"), "name"),
    }),
  };
}

/** A data disk as a GET shows it. */
export function shownDataDisk(
  request: Pick<PutRequest, "resources">,
  given: NonNullable<VmProperties["storageProfile"]["dataDisks"]>[number],
): JsonObject {
  const disk = request.resources.get(given.managedDisk?.id ?? "");
  return withoutUndefined({
    lun: given.lun,
    name: disk?.name ?? given.name,
    createOption: given.createOption,
    caching: given.caching ?? "None",
    deleteOption: given.deleteOption ?? "Detach",
    writeAcceleratorEnabled: given.writeAcceleratorEnabled,
    toBeDetached: false,
    managedDisk: withoutUndefined({
      id: disk?.id ?? given.managedDisk?.id,
      storageAccountType: stringAt(objectAt(disk?.body ?? {}, "sku"), "name"),
    }),
  });
}
