import type { Disk } from "@azure/arm-compute";
import { HoldfastError } from "#core/lib/errors.ts";
import { vhdFooterSizeBytes } from "#core/lib/vhd-footer.ts";
import type { ComputePort, DiskSettings, UploadDiskRequest } from "#core/ports/compute.ts";
import { callAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";
import { definedOf } from "./defined-fields.ts";
import { accessFields, networkAccessOf, privateThrough } from "./network-access.ts";
import { diskSizeOf, provisioningOf } from "./provisioning.ts";

type DiskCalls = Pick<
  ComputePort,
  "startUploadDisk" | "readDisk" | "startDeleteDisk" | "startDiskSettings"
>;

export function createDisks(clientsOf: ClientsOf): DiskCalls {
  function readAzureDisk(diskId: string): Promise<Disk | undefined> {
    const { subscriptionId, resourceGroup, names } = parseResourceId(diskId);
    return readAzure(`read disk ${diskId}`, () =>
      clientsOf(subscriptionId).compute.disks.get(resourceGroup, names[0]),
    );
  }

  return {
    async startUploadDisk(request) {
      const existing = await readAzureDisk(request.diskId);
      if (existing !== undefined) return assertSameUpload(request, existing);
      const { subscriptionId, resourceGroup, names } = parseResourceId(request.diskId);
      await callAzure(`create disk ${request.diskId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).compute.disks.createOrUpdate(
            resourceGroup,
            names[0],
            uploadDiskBody(request),
          ),
        ),
      );
    },

    async readDisk(diskId) {
      const disk = await readAzureDisk(diskId);
      if (disk === undefined) return undefined;
      return {
        diskId,
        provisioning: provisioningOf(disk.provisioningState),
        diskState: disk.diskState ?? "Unknown",
        sizeBytes: diskSizeOf(disk),
        tags: disk.tags ?? {},
        settings: settingsOf(disk),
      };
    },

    async startDiskSettings(diskId, settings) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(diskId);
      const { networkAccess, diskEncryptionSetId, dataAccessAuthMode } = settings;
      await callAzure(`change disk ${diskId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).compute.disks.update(resourceGroup, names[0], {
            ...accessFields(networkAccess),
            ...encryptionOf(diskEncryptionSetId),
            ...(dataAccessAuthMode !== undefined && { dataAccessAuthMode }),
          }),
        ),
      );
    },

    async startDeleteDisk(diskId) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(diskId);
      await readAzure(`delete disk ${diskId}`, () =>
        submit(() => clientsOf(subscriptionId).compute.disks.delete(resourceGroup, names[0])),
      );
    },
  };
}

function uploadDiskBody(request: UploadDiskRequest): Disk {
  return {
    location: request.location,
    tags: { ...request.tags },
    sku: { name: request.skuName },
    ...(request.zones.length > 0 && { zones: [...request.zones] }),
    ...(request.osType !== undefined && { osType: request.osType }),
    ...(request.hyperVGeneration !== undefined && { hyperVGeneration: request.hyperVGeneration }),
    ...(request.purchasePlan !== undefined && { purchasePlan: definedOf(request.purchasePlan) }),
    ...capabilitiesOf(request),
    ...privateThrough(request.diskAccessId),
    ...(request.dataAccessAuthMode !== undefined && {
      dataAccessAuthMode: request.dataAccessAuthMode,
    }),
    creationData: {
      createOption: "Upload",
      uploadSizeBytes: request.sizeBytes + vhdFooterSizeBytes,
    },
  };
}

/** Encrypting an unattached disk again, with the keys of a set, is an update of it. */
function encryptionOf(diskEncryptionSetId: string | undefined): Pick<Disk, "encryption"> {
  if (diskEncryptionSetId === undefined) return {};
  return { encryption: { type: "EncryptionAtRestWithCustomerKey", diskEncryptionSetId } };
}

function settingsOf(disk: Disk): DiskSettings {
  return {
    networkAccess: networkAccessOf(disk),
    diskEncryptionSetId: disk.encryption?.diskEncryptionSetId,
    dataAccessAuthMode:
      disk.dataAccessAuthMode === "AzureActiveDirectory" ? disk.dataAccessAuthMode : undefined,
  };
}

/**
 * Azure takes no `securityProfile` with an upload that carries no guest state (azure-cli issue 22561);
 * the disk says instead that a VM with Trusted launch can start from it (azure-cli issue 31842). That
 * VM's virtual TPM is new: keys that were sealed to the old one are lost.
 */
function capabilitiesOf(request: UploadDiskRequest): Pick<Disk, "supportedCapabilities"> {
  const supportedCapabilities = {
    ...definedOf(request.supportedCapabilities ?? {}),
    ...(request.securityType === "TrustedLaunch" && {
      supportedSecurityOption: "TrustedLaunchSupported",
    }),
  };
  return Object.keys(supportedCapabilities).length > 0 ? { supportedCapabilities } : {};
}

/** A disk of that name that is not this upload belongs to someone: it must not be written over. */
function assertSameUpload(request: UploadDiskRequest, existing: Disk): void {
  const created = existing.creationData;
  const same =
    created?.createOption === "Upload" &&
    created.uploadSizeBytes === request.sizeBytes + vhdFooterSizeBytes &&
    Object.entries(request.tags).every(([name, value]) => existing.tags?.[name] === value);
  if (same) return;
  throw new HoldfastError(
    "DiskExists",
    `A disk ${request.diskId} exists already and was not made by this restore. Choose another name or delete it.`,
  );
}
