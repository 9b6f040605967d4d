import { z } from "zod";
import { ArmError, invalidParameter } from "../arm-error.ts";
import { mergePatch, objectAt, stringAt, withoutUndefined, type JsonObject } from "../json.ts";
import type { PatchRequest } from "../provider.ts";
import { anything, parseBody } from "./body-schema.ts";

export const bytesPerGiB = 1024 ** 3;
const maxDiskSizeGiB = 32_767;
/** https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources */
const maxTagCount = 50;

const creationDataSchema = z.strictObject({
  createOption: z.enum([
    "Empty",
    "Upload",
    "Copy",
    "FromImage",
    "Import",
    "CopyStart",
    "Attach",
    "Restore",
    "ImportSecure",
    "UploadPreparedSecure",
    "CopyFromSanSnapshot",
  ]),
  sourceResourceId: z.string().optional(),
  sourceUri: z.string().optional(),
  uploadSizeBytes: z.number().int().optional(),
  imageReference: z.looseObject({ id: z.string().optional() }).optional(),
  galleryImageReference: anything,
  storageAccountId: anything,
  sourceUniqueId: anything,
  logicalSectorSize: z.union([z.literal(512), z.literal(4096)]).optional(),
  performancePlus: anything,
  provisionedBandwidthCopySpeed: anything,
  instantAccessDurationMinutes: anything,
});

const purchasePlanSchema = z.strictObject({
  name: z.string().min(1),
  publisher: z.string().min(1),
  product: z.string().min(1),
  promotionCode: z.string().optional(),
});

const capabilitiesSchema = z.strictObject({
  diskControllerTypes: z.enum(["SCSI", "SCSI, NVMe", "NVMe, SCSI", "NVMe"]).optional(),
  acceleratedNetwork: z.boolean().optional(),
  architecture: z.enum(["x64", "Arm64"]).optional(),
  supportedSecurityOption: z
    .enum(["TrustedLaunchSupported", "TrustedLaunchAndConfidentialVMSupported"])
    .optional(),
});

/** What disks and snapshots have in common; read-only properties are accepted and ignored. */
const commonProperties = {
  creationData: creationDataSchema,
  diskSizeGB: z.number().int().min(1).max(maxDiskSizeGiB).optional(),
  osType: z.enum(["Linux", "Windows"]).optional(),
  hyperVGeneration: z.enum(["V1", "V2"]).optional(),
  networkAccessPolicy: z.enum(["AllowAll", "AllowPrivate", "DenyAll"]).optional(),
  diskAccessId: z.string().optional(),
  publicNetworkAccess: z.enum(["Enabled", "Disabled"]).optional(),
  securityProfile: z.looseObject({ securityType: z.string().optional() }).optional(),
  encryption: z
    .strictObject({ type: z.string().optional(), diskEncryptionSetId: z.string().optional() })
    .optional(),
  dataAccessAuthMode: z.enum(["None", "AzureActiveDirectory"]).optional(),
  purchasePlan: purchasePlanSchema.optional(),
  supportedCapabilities: capabilitiesSchema.optional(),
  supportsHibernation: anything,
  encryptionSettingsCollection: anything,
  completionPercent: anything,
  timeCreated: anything,
  diskSizeBytes: anything,
  uniqueId: anything,
  provisioningState: anything,
  diskState: anything,
};

const diskSchema = z.strictObject({
  ...commonProperties,
  tier: anything,
  burstingEnabled: anything,
  burstingEnabledTime: anything,
  maxShares: anything,
  shareInfo: anything,
  diskIOPSReadWrite: anything,
  diskMBpsReadWrite: anything,
  diskIOPSReadOnly: anything,
  diskMBpsReadOnly: anything,
  optimizedForFrequentAttach: anything,
  propertyUpdatesInProgress: anything,
  LastOwnershipUpdateTime: anything,
  availabilityPolicy: anything,
});

const snapshotSchema = z.strictObject({
  ...commonProperties,
  incremental: z.boolean().optional(),
  incrementalSnapshotFamilyId: anything,
  copyCompletionError: anything,
  snapshotAccessState: anything,
  immutabilityPolicy: anything,
});

export type DiskProperties = z.infer<typeof diskSchema>;
export type SnapshotProperties = z.infer<typeof snapshotSchema>;

const diskSkus = new Map([
  ["Standard_LRS", "Standard"],
  ["StandardSSD_LRS", "Standard"],
  ["StandardSSD_ZRS", "Standard"],
  ["Premium_LRS", "Premium"],
  ["Premium_ZRS", "Premium"],
  ["PremiumV2_LRS", "Premium"],
  ["UltraSSD_LRS", "Ultra"],
]);
const snapshotSkus = new Map([
  ["Standard_LRS", "Standard"],
  ["Standard_ZRS", "Standard"],
  ["Premium_LRS", "Premium"],
]);

export function parseDiskBody(body: JsonObject): DiskProperties {
  const properties = parseBody(diskSchema, objectAt(body, "properties"), "Disk");
  checkNetworkPolicy(properties);
  checkTags(body);
  return properties;
}

export function parseSnapshotBody(body: JsonObject): SnapshotProperties {
  const properties = parseBody(snapshotSchema, objectAt(body, "properties"), "Snapshot");
  checkNetworkPolicy(properties);
  checkTags(body);
  return properties;
}

/** `sku` as a GET shows it. Default: Standard_LRS. */
export function diskSku(body: JsonObject): JsonObject {
  return skuOf(body, diskSkus);
}

export function snapshotSku(body: JsonObject): JsonObject {
  return skuOf(body, snapshotSkus);
}

/** The body that a PATCH asks for. A policy without a disk access leaves the old one behind. */
export function patchedBody({ existing, body }: PatchRequest): JsonObject {
  const merged = mergePatch(existing.body, body);
  const change = objectAt(body, "properties");
  if (change["networkAccessPolicy"] === undefined || change["diskAccessId"] !== undefined) {
    return merged;
  }
  const { diskAccessId, ...properties } = objectAt(merged, "properties");
  const keepsAccess =
    change["networkAccessPolicy"] === "AllowPrivate" && diskAccessId !== undefined;
  return { ...merged, properties: { ...properties, ...(keepsAccess ? { diskAccessId } : {}) } };
}

function skuOf(body: JsonObject, known: ReadonlyMap<string, string>): JsonObject {
  const name = stringAt(objectAt(body, "sku"), "name") ?? "Standard_LRS";
  const tier = known.get(name);
  if (tier === undefined) {
    throw invalidParameter(
      "sku.name",
      `The value '${name}' of parameter sku.name is not one of ${[...known.keys()].join(", ")}.`,
    );
  }
  return { name, tier };
}

/** Public part that is stored as given, with what Azure fills in. */
export function policyProperties(properties: DiskProperties | SnapshotProperties): JsonObject {
  const networkAccessPolicy = properties.networkAccessPolicy ?? "AllowAll";
  return withoutUndefined({
    osType: properties.osType,
    hyperVGeneration: properties.hyperVGeneration,
    networkAccessPolicy,
    diskAccessId: networkAccessPolicy === "AllowPrivate" ? properties.diskAccessId : undefined,
    publicNetworkAccess: properties.publicNetworkAccess ?? "Enabled",
    dataAccessAuthMode: properties.dataAccessAuthMode,
    encryption: {
      type: properties.encryption?.type ?? "EncryptionAtRestWithPlatformKey",
      ...withoutUndefined({ diskEncryptionSetId: properties.encryption?.diskEncryptionSetId }),
    },
  });
}

/** What an update leaves: a disk access goes with the policy that needs it. */
export function updatedProperties(
  before: JsonObject,
  wanted: DiskProperties | SnapshotProperties,
): JsonObject {
  const { diskAccessId: _, ...kept } = before;
  return { ...kept, ...policyProperties({ ...before, ...wanted }) };
}

/** Zones of the body: at most one, `1` to `3`. */
export function zonesOf(body: JsonObject): readonly string[] {
  const zones = body["zones"];
  if (zones === undefined) return [];
  const parsed = z
    .array(z.enum(["1", "2", "3"]))
    .max(1)
    .safeParse(zones);
  if (parsed.success) return parsed.data;
  throw new ArmError(
    400,
    "InvalidAvailabilityZone",
    `The zone(s) '${JSON.stringify(zones)}' is not supported. Provide one of the zones '1,2,3'.`,
  );
}

function checkNetworkPolicy({
  networkAccessPolicy,
  diskAccessId,
}: Pick<DiskProperties, "networkAccessPolicy" | "diskAccessId">): void {
  if (networkAccessPolicy === "AllowPrivate" && diskAccessId === undefined) {
    throw invalidParameter(
      "diskAccessId",
      "Required parameter 'diskAccessId' is missing (null) with networkAccessPolicy 'AllowPrivate'.",
    );
  }
  if (networkAccessPolicy !== "AllowPrivate" && diskAccessId !== undefined) {
    throw invalidParameter(
      "diskAccessId",
      "The property 'diskAccessId' is only allowed with networkAccessPolicy 'AllowPrivate'.",
    );
  }
}

function checkTags(body: JsonObject): void {
  const count = Object.keys(objectAt(body, "tags")).length;
  if (count <= maxTagCount) return;
  throw new ArmError(
    400,
    "TooManyTags",
    `The number of tags '${count}' exceeds the maximum of '${maxTagCount}' on a resource.`,
  );
}
