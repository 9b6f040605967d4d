import { z } from "zod";
import { ArmError } from "../arm-error.ts";
import { objectAt, type JsonObject } from "../json.ts";

const onOff = z.enum(["Enabled", "Disabled"]);

/** What a client may set of an account; other properties are kept as they were sent. */
const settableSchema = z.looseObject({
  accessTier: z.enum(["Hot", "Cool", "Cold", "Premium"]).optional(),
  allowBlobPublicAccess: z.boolean().optional(),
  allowSharedKeyAccess: z.boolean().optional(),
  allowCrossTenantReplication: z.boolean().optional(),
  defaultToOAuthAuthentication: z.boolean().optional(),
  minimumTlsVersion: z.enum(["TLS1_0", "TLS1_1", "TLS1_2", "TLS1_3"]).optional(),
  publicNetworkAccess: z.enum(["Enabled", "Disabled", "SecuredByPerimeter"]).optional(),
  supportsHttpsTrafficOnly: z.boolean().optional(),
  isHnsEnabled: z.boolean().optional(),
  immutableStorageWithVersioning: z.looseObject({ enabled: z.boolean() }).optional(),
  networkAcls: z
    .looseObject({
      defaultAction: z.enum(["Allow", "Deny"]),
      bypass: z.string().optional(),
      ipRules: z.array(z.looseObject({ value: z.string() })).optional(),
      virtualNetworkRules: z.array(z.looseObject({ id: z.string() })).optional(),
    })
    .optional(),
  largeFileSharesState: onOff.optional(),
});

const skuNames = [
  "Standard_LRS",
  "Standard_GRS",
  "Standard_RAGRS",
  "Standard_ZRS",
  "Standard_GZRS",
  "Standard_RAGZRS",
  "Premium_LRS",
  "Premium_ZRS",
];
const kinds = ["Storage", "StorageV2", "BlobStorage", "FileStorage", "BlockBlobStorage"];

/** Defaults of a new account: https://learn.microsoft.com/rest/api/storagerp/storage-accounts/create */
export const defaultProperties: JsonObject = {
  accessTier: "Hot",
  allowBlobPublicAccess: false,
  minimumTlsVersion: "TLS1_0",
  supportsHttpsTrafficOnly: true,
  publicNetworkAccess: "Enabled",
  networkAcls: {
    bypass: "AzureServices",
    defaultAction: "Allow",
    ipRules: [],
    virtualNetworkRules: [],
  },
};

/** Throws 400 for a value that Azure does not take. */
export function checkProperties(properties: JsonObject): void {
  const result = settableSchema.safeParse(properties);
  if (result.success) return;
  const [issue] = result.error.issues;
  const path = (issue?.path ?? []).join(".");
  throw new ArmError(
    400,
    "InvalidRequestPropertyValue",
    `The value of property '${path}' is invalid: ${issue?.message ?? ""}.`,
    { target: `properties.${path}` },
  );
}

/** Whether version-level immutability is switched on in a resource's properties. */
export function hasImmutableStorage(properties: JsonObject): boolean {
  return objectAt(properties, "immutableStorageWithVersioning")["enabled"] === true;
}

/**
 * Throws for a change of an account's immutability: it is decided when the account is made
 * (learn.microsoft.com/azure/storage/blobs/immutable-version-level-worm-policies; code assumed).
 */
export function checkImmutableStorageKept(before: JsonObject, after: JsonObject): void {
  if (hasImmutableStorage(before) === hasImmutableStorage(after)) return;
  throw new ArmError(
    409,
    "PropertyChangeNotAllowed",
    "Immutable storage with versioning of an account is set when the account is created.",
    { target: "properties.immutableStorageWithVersioning" },
  );
}

/** Throws 400 unless sku and kind are such as accounts have. */
export function checkSkuAndKind(sku: string | undefined, kind: string | undefined): void {
  if (sku === undefined || !skuNames.includes(sku))
    throw new ArmError(
      400,
      "InvalidRequestPropertyValue",
      `Values for request parameters are invalid: sku.name '${sku ?? ""}'.`,
      { target: "sku.name" },
    );
  if (kind === undefined || !kinds.includes(kind))
    throw new ArmError(
      400,
      "InvalidRequestPropertyValue",
      `Values for request parameters are invalid: kind '${kind ?? ""}'.`,
      { target: "kind" },
    );
}

export function checkAccountName(name: string): void {
  if (/^[a-z0-9]{3,24}$/.test(name)) return;
  throw new ArmError(
    400,
    "AccountNameInvalid",
    `${name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length and use numbers and lower-case letters only.`,
  );
}
