import { ArmError } from "../arm-error.ts";
import { mergePatch, objectAt, stringAt, type JsonObject } from "../json.ts";
import type {
  ActionOutcome,
  BucketUse,
  PutRequest,
  Resource,
  ResourceStore,
  ResourceType,
  WriteOutcome,
} from "../provider.ts";
import { idKey, sameId } from "../resource-id.ts";
import type { StorageBackend, StorageEndpoints } from "../../storage/storage-backend.ts";
import {
  checkAccountName,
  checkImmutableStorageKept,
  checkProperties,
  checkSkuAndKind,
  defaultProperties,
  hasImmutableStorage,
} from "./account-properties.ts";

export const accountType = "Microsoft.Storage/storageAccounts";
const containerType = `${accountType}/blobServices/containers`;

/** Versions of Microsoft.Storage: the installed client sends the last. */
export const storageVersions = [
  "2023-01-01",
  "2023-05-01",
  "2024-01-01",
  "2025-01-01",
  "2025-06-01",
  "2025-08-01",
  "2026-04-01",
  "2026-09-01",
];

const privateLinkGroups = ["blob", "queue", "table"];

/** Writes, then reads and lists, as https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling#storage-throttling */
const bucketSizes = {
  write: { capacity: 10, refillPerMinute: 600 },
  read: { capacity: 800, refillPerMinute: 160 },
};

/** Accounts whose data the backend keeps. */
export function storageAccounts(
  backend: StorageBackend,
  endpointsOf: (account: string) => StorageEndpoints,
): ResourceType {
  return {
    type: "storageAccounts",
    apiVersions: storageVersions,
    tracked: true,
    identity: true,
    // The name rule has its own code, so every name gets as far as `put`.
    namePattern: /^.+$/,
    put: putAccount,
    patch: ({ body, existing }) => {
      checkProperties(objectAt(body, "properties"));
      const merged = mergePatch(existing.body, body);
      checkImmutableStorageKept(
        objectAt(existing.body, "properties"),
        objectAt(merged, "properties"),
      );
      return { kind: "stored", content: { body: merged } };
    },
    // Deletion of an account is not a long-running operation.
    remove: async ({ existing, resources }) => {
      refuseIfImmutable(existing, resources);
      await backend.deleteAccount(existing.name);
      return { kind: "deleted" };
    },
    show: (resource) => showAccount(resource, endpointsOf),
    actions: {
      listKeys: { exclusive: false, handle: ({ existing }) => listKeys(existing) },
      regenerateKey: {
        handle: () => {
          throw new ArmError(
            409,
            "KeyRotationNotSupported",
            "Keys of accounts in this cloud are fixed.",
          );
        },
      },
    },
    work: {
      create: async ({ id, resources, current }) => {
        const account = current();
        if (account === undefined) return;
        const { key } = await backend.createAccount(account.name);
        if (hasImmutableStorage(objectAt(account.body, "properties"))) {
          await backend.protectAccount(account.name, { versioning: true, immutableStorage: true });
        }
        const now = resources.get(id);
        if (now !== undefined) resources.put(id, { body: now.body, internal: { key } });
      },
    },
    privateLink: {
      groupIds: privateLinkGroups,
      hostNames: ({ name }, groupId) => [`${name}.${groupId}.core.windows.net`],
    },
    buckets: ({ method, id }) => accountBuckets(method === "GET" ? "read" : "write", id),
  };
}

function accountBuckets(kind: "read" | "write", id: string): readonly BucketUse[] {
  const subscription = idKey(id).split("/")[2] ?? "";
  return [{ key: `storage-${kind}:${subscription}`, ...bucketSizes[kind] }];
}

function putAccount(request: PutRequest): WriteOutcome {
  const { body, existing, resources, id, parsedId, now } = request;
  const name = parsedId.names[0] ?? "";
  checkAccountName(name);
  const taken = resources
    .list(accountType)
    .find((other) => idKey(other.name) === idKey(name) && !sameId(other.id, id));
  if (taken !== undefined) {
    const same = taken.id.split("/")[2] === parsedId.subscriptionId;
    throw same
      ? new ArmError(
          409,
          "StorageAccountInAnotherResourceGroup",
          `The account ${name} is already in another resource group in this subscription.`,
        )
      : new ArmError(
          409,
          "StorageAccountAlreadyTaken",
          `The storage account named ${name} is already taken.`,
        );
  }
  const sku = stringAt(objectAt(body, "sku"), "name");
  const kind = stringAt(body, "kind");
  checkSkuAndKind(sku, kind);
  const properties = objectAt(body, "properties");
  checkProperties(properties);
  const tier = sku?.split("_")[0] ?? "Standard";
  const envelope = { ...body, sku: { name: sku ?? "", tier }, kind: kind ?? "" };
  if (existing !== undefined) {
    const merged = mergePatch(existing.body, { ...envelope, properties });
    checkImmutableStorageKept(
      objectAt(existing.body, "properties"),
      objectAt(merged, "properties"),
    );
    return { kind: "stored", content: { body: merged } };
  }
  const own: JsonObject = { creationTime: now().toISOString(), statusOfPrimary: "available" };
  const primaryLocation = stringAt(body, "location") ?? "";
  return {
    kind: "accepted",
    content: {
      body: {
        ...envelope,
        properties: { ...defaultProperties, ...properties, ...own, primaryLocation },
      },
    },
    work: { name: "create", style: "location" },
  };
}

/**
 * "Storage account deletion fails if there is at least one container with version-level immutable
 * storage enabled, or if it's enabled for the account" - while such a container exists; code assumed.
 */
function refuseIfImmutable(account: Resource, resources: ResourceStore): void {
  const containers = resources.list(containerType, account.id);
  const isOfAccount = hasImmutableStorage(objectAt(account.body, "properties"));
  const immutable = containers.filter(
    ({ body }) => isOfAccount || hasImmutableStorage(objectAt(body, "properties")),
  );
  if (immutable.length === 0) return;
  throw new ArmError(
    409,
    "AccountHasImmutableContainers",
    `The storage account ${account.name} has containers with immutable storage: delete them first.`,
  );
}

function showAccount(
  account: Resource,
  endpointsOf: (account: string) => StorageEndpoints,
): JsonObject {
  const created = stringAt(account.internal, "key") !== undefined;
  if (!created) return account.body;
  const properties = objectAt(account.body, "properties");
  const primaryEndpoints = { ...endpointsOf(account.name) };
  return { ...account.body, properties: { ...properties, primaryEndpoints } };
}

function listKeys(account: Resource): ActionOutcome {
  if (objectAt(account.body, "properties")["allowSharedKeyAccess"] === false)
    throw new ArmError(
      403,
      "KeyBasedAuthenticationNotPermitted",
      "Key based authentication is not permitted on this storage account.",
    );
  const value = stringAt(account.internal, "key");
  if (value === undefined)
    throw new ArmError(
      409,
      "StorageAccountIsNotProvisioned",
      "The storage account provisioning state must be 'Succeeded' before executing the operation.",
    );
  return {
    kind: "result",
    status: 200,
    body: { keys: [{ keyName: "key1", value, permissions: "FULL" }] },
  };
}
