/**
 * Managed disks as resources. The bytes live in the disk service under the lower-case resource id;
 * they are made and checked while the request is answered, so that a refusal is the answer itself.
 * Who has a disk attached stands in `managedBy`, which only virtual machines write.
 */
import { fileURLToPath } from "node:url";
import type { DiskDescription } from "#local/disks/disk-service.ts";
import { ArmError, invalidParameter, resourceNotFound } from "../arm-error.ts";
import { isJsonObject, objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import type {
  PatchRequest,
  PutRequest,
  RequestContext,
  Resource,
  ResourceType,
  WorkContext,
  WriteOutcome,
} from "../provider.ts";
import { idKey, nameOf, parseResourceId, sameId } from "../resource-id.ts";
import { propertyChangeNotAllowed, requireSameSubscription } from "./body-schema.ts";
import { diskApiVersions, type ComputeServices } from "./compute-services.ts";
import {
  bytesPerGiB,
  diskSku,
  parseDiskBody,
  patchedBody,
  policyProperties,
  updatedProperties,
  zonesOf,
} from "./disk-body.ts";
import type { DiskProperties } from "./disk-body.ts";
import { callDisks } from "./disk-errors.ts";
import { grantActions, grantWork } from "./disk-grants.ts";
import { checkDiskAccess } from "./disk-accesses.ts";
import { checkDiskSecurity, checkUploadSku, statedCapabilities } from "./os-disk-rules.ts";
import { platformImageSizeBytes } from "./platform-images.ts";
import { powerStateOf } from "./vm-state.ts";

export const diskType = "Microsoft.Compute/disks";

export function disks(services: ComputeServices): ResourceType {
  return {
    type: "disks",
    apiVersions: diskApiVersions,
    tracked: true,
    put: (request) =>
      request.existing === undefined
        ? createDisk(services, request)
        : updateDisk(services, request, request.existing, request.body),
    patch: (request) => patchDisk(services, request),
    remove: ({ existing }) => {
      checkDiskDeletable(services, existing);
      return { kind: "accepted", work: { name: "delete", style: "both" } };
    },
    show: (resource, { resources }) => showDisk(services, resource, (id) => resources.get(id)),
    actions: grantActions(services, "disk"),
    work: {
      create: async (context) => importWhenAsked(services, context),
      update: async () => undefined,
      delete: async ({ id }) => {
        await callDisks(() => services.disks.deleteDisk(idKey(id)));
      },
      ...grantWork(services, "disk"),
    },
  };
}

/** 409 while a VM has the disk or a SAS is out. */
function checkDiskDeletable(services: ComputeServices, disk: Resource): void {
  const owner = stringAt(disk.body, "managedBy");
  if (owner !== undefined) {
    throw new ArmError(409, "OperationNotAllowed", `Disk ${disk.name} is attached to VM ${owner}.`);
  }
  if (services.disks.describeDisk(idKey(disk.id))?.liveGrant === undefined) return;
  throw new ArmError(
    409,
    "OperationNotAllowed",
    `There is an active shared access signature outstanding for disk ${disk.name}. Call EndGetAccess before deleting the disk.`,
  );
}

async function createDisk(services: ComputeServices, request: PutRequest): Promise<WriteOutcome> {
  const properties = parseDiskBody(request.body);
  const sku = diskSku(request.body);
  const zones = zonesOf(request.body);
  if (zones.length > 0 && stringAt(sku, "name")?.endsWith("_ZRS") === true) {
    throw invalidParameter("zones", "A zone-redundant disk cannot have zones.");
  }
  checkDiskAccess(request, properties);
  checkDiskSecurity(properties);
  checkUploadSku(properties, sku);
  // Bytes without a resource are what a kill between the two left behind.
  await callDisks(() => services.disks.deleteDisk(idKey(request.id)));
  const source = sourceOf(request, properties);
  const description = await createBytes(services, request, properties, source);
  const { creationData } = properties;
  const body: JsonObject = {
    ...request.body,
    sku,
    properties: withoutUndefined({
      ...inheritedFrom(source),
      ...policyProperties(properties),
      ...statedCapabilities(properties),
      creationData: withoutUndefined({
        createOption: creationData.createOption,
        sourceResourceId: source?.id,
        uploadSizeBytes: creationData.uploadSizeBytes,
        imageReference: isJsonObject(creationData.imageReference)
          ? creationData.imageReference
          : undefined,
        sourceUniqueId: description?.sourceUniqueId,
      }),
      securityProfile:
        properties.securityProfile?.securityType === undefined
          ? undefined
          : { securityType: properties.securityProfile.securityType },
      timeCreated: request.now().toISOString(),
    }),
  };
  return {
    kind: "accepted",
    content: { body },
    work: {
      name: "create",
      style: "both",
      input: withoutUndefined({ sourceUri: creationData.sourceUri }),
    },
  };
}

/** The disk or snapshot that a `Copy` is made of. */
function sourceOf(request: RequestContext, properties: DiskProperties): Resource | undefined {
  const { createOption, sourceResourceId } = properties.creationData;
  if (createOption !== "Copy") return undefined;
  if (sourceResourceId === undefined) {
    throw invalidParameter(
      "disk.creationData.sourceResourceId",
      "Required parameter 'disk.creationData.sourceResourceId' is missing (null).",
    );
  }
  const location = stringAt("body" in request ? (request as PutRequest).body : {}, "location");
  return findSource(request, sourceResourceId, location ?? "");
}

/**
 * Source of a copy. One in another region is 404, as if it did not exist: the disk service of a
 * region knows its own resources only (azure-cli issues 9233, 11909, 16385).
 */
export function findSource(request: RequestContext, sourceId: string, location: string): Resource {
  const parsed = parseResourceId(sourceId);
  const source = request.resources.get(sourceId);
  if (
    parsed === undefined ||
    source === undefined ||
    !["microsoft.compute/disks", "microsoft.compute/snapshots"].includes(
      source.type.toLowerCase(),
    ) ||
    stringAt(source.body, "location") !== location
  ) {
    throw resourceNotFound(
      parsed === undefined
        ? sourceId
        : `${parsed.namespace}/${parsed.types.join("/")}/${nameOf(sourceId)}`,
      parsed?.resourceGroup ?? "",
    );
  }
  return source;
}

function inheritedFrom(source: Resource | undefined): JsonObject {
  const properties = objectAt(source?.body ?? {}, "properties");
  return withoutUndefined({
    osType: properties["osType"],
    hyperVGeneration: properties["hyperVGeneration"],
    securityProfile: properties["securityProfile"],
    purchasePlan: properties["purchasePlan"],
    supportedCapabilities: properties["supportedCapabilities"],
  });
}

async function createBytes(
  services: ComputeServices,
  request: PutRequest,
  properties: DiskProperties,
  source: Resource | undefined,
): Promise<DiskDescription | undefined> {
  const id = idKey(request.id);
  const { creationData, diskSizeGB } = properties;
  const sizeBytes = diskSizeGB === undefined ? undefined : diskSizeGB * bytesPerGiB;
  switch (creationData.createOption) {
    case "Empty":
      if (sizeBytes === undefined) {
        throw invalidParameter(
          "disk.diskSizeGB",
          "Required parameter 'disk.diskSizeGB' is missing (null).",
        );
      }
      return callDisks(() => services.disks.createEmptyDisk({ id, sizeBytes }));
    case "Upload": {
      const { uploadSizeBytes } = creationData;
      if (uploadSizeBytes === undefined) {
        throw invalidParameter(
          "disk.creationData.uploadSizeBytes",
          "Required parameter 'disk.creationData.uploadSizeBytes' is missing (null).",
        );
      }
      return callDisks(() => services.disks.createUploadDisk({ id, uploadSizeBytes }));
    }
    case "Copy":
      return source === undefined
        ? undefined
        : copyBytes(services, { id, source, ...(sizeBytes === undefined ? {} : { sizeBytes }) });
    case "FromImage":
      return callDisks(() =>
        services.disks.createEmptyDisk({ id, sizeBytes: sizeBytes ?? platformImageSizeBytes }),
      );
    case "Import":
      checkImport(services, creationData.sourceUri);
      return undefined;
    case "CopyStart":
    case "Attach":
    case "Restore":
    case "ImportSecure":
    case "UploadPreparedSecure":
    case "CopyFromSanSnapshot":
    default:
      throw invalidParameter(
        "disk.creationData.createOption",
        `The value '${creationData.createOption}' of parameter disk.creationData.createOption is not supported here.`,
      );
  }
}

async function copyBytes(
  services: ComputeServices,
  copy: { id: string; source: Resource; sizeBytes?: number },
): Promise<DiskDescription> {
  const { id, source, ...size } = copy;
  requireSameSubscription(id, source.id, "disk.creationData.sourceResourceId");
  if (source.type.toLowerCase() === "microsoft.compute/snapshots") {
    return callDisks(() =>
      services.disks.createDiskFromSnapshot({ id, snapshotId: idKey(source.id), ...size }),
    );
  }
  const snapshotId = `copy-of:${id}`;
  return callDisks(async () => {
    await services.disks.createSnapshot({
      snapshotId,
      diskId: idKey(source.id),
      incremental: false,
    });
    try {
      return await services.disks.createDiskFromSnapshot({ id, snapshotId, ...size });
    } finally {
      await services.disks.deleteSnapshot(snapshotId);
    }
  });
}

/** Azure imports from a blob; here only files that the developer's own CLI offered can be imported. */
function checkImport(services: ComputeServices, sourceUri: string | undefined): void {
  if (sourceUri !== undefined && services.importableFiles.has(sourceUri)) return;
  throw invalidParameter(
    "disk.creationData.sourceUri",
    "The source blob URI of parameter disk.creationData.sourceUri is invalid.",
  );
}

async function importWhenAsked(services: ComputeServices, context: WorkContext): Promise<void> {
  const sourceUri = stringAt(context.input, "sourceUri");
  const id = idKey(context.id);
  if (sourceUri === undefined || services.disks.describeDisk(id) !== undefined) return;
  await callDisks(() => services.disks.importDisk({ id, file: fileURLToPath(sourceUri) }));
  services.importableFiles.delete(sourceUri);
}

function patchDisk(services: ComputeServices, request: PatchRequest): Promise<WriteOutcome> {
  return updateDisk(services, request, request.existing, patchedBody(request));
}

async function updateDisk(
  services: ComputeServices,
  request: RequestContext,
  existing: Resource,
  wanted: JsonObject,
): Promise<WriteOutcome> {
  const before = objectAt(existing.body, "properties");
  const properties = parseDiskBody({
    ...wanted,
    properties: { creationData: before["creationData"] ?? {}, ...objectAt(wanted, "properties") },
  });
  const creationData = objectAt(before, "creationData");
  const { createOption, sourceResourceId } = properties.creationData;
  const sourceId = stringAt(creationData, "sourceResourceId");
  if (
    createOption !== stringAt(creationData, "createOption") ||
    (sourceResourceId !== undefined && !sameId(sourceResourceId, sourceId ?? ""))
  ) {
    throw propertyChangeNotAllowed("disk.creationData");
  }
  checkDiskAccess(request, properties);
  const description = services.disks.describeDisk(idKey(existing.id));
  if (properties.diskSizeGB !== undefined && description !== undefined) {
    const sizeBytes = properties.diskSizeGB * bytesPerGiB;
    const shownGiB = Math.ceil(description.sizeBytes / bytesPerGiB);
    if (properties.diskSizeGB !== shownGiB) {
      await callDisks(() => services.disks.resizeDisk(idKey(existing.id), sizeBytes));
    }
  }
  const body: JsonObject = {
    ...existing.body,
    ...wanted,
    sku: diskSku(wanted["sku"] === undefined ? existing.body : wanted),
    properties: updatedProperties(before, properties),
  };
  return {
    kind: "accepted",
    content: { body },
    work: { name: "update", style: "both", initialStatus: 202 },
  };
}

/** What a GET shows: the stored body and what the bytes and the owner decide. */
function showDisk(
  services: ComputeServices,
  resource: Resource,
  find: (id: string) => Resource | undefined,
): JsonObject {
  const description = services.disks.describeDisk(idKey(resource.id));
  const sizes: JsonObject =
    description === undefined
      ? {}
      : {
          diskSizeBytes: description.sizeBytes,
          diskSizeGB: Math.ceil(description.sizeBytes / bytesPerGiB),
          uniqueId: description.uniqueId,
        };
  return {
    ...resource.body,
    properties: {
      ...objectAt(resource.body, "properties"),
      ...sizes,
      diskState: diskStateOf(resource, description, find),
    },
  };
}

/** https://learn.microsoft.com/rest/api/compute/disks/get (DiskState) */
function diskStateOf(
  resource: Resource,
  description: DiskDescription | undefined,
  find: (id: string) => Resource | undefined,
): string {
  if (description !== undefined && description.state !== "Unattached") return description.state;
  const owner = stringAt(resource.body, "managedBy");
  if (owner === undefined) return "Unattached";
  const vm = find(owner);
  return vm !== undefined && powerStateOf(vm) === "deallocated" ? "Reserved" : "Attached";
}
