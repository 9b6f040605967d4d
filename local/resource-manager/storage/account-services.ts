/**
 * Services below an account: `blobServices/default` and its siblings exist with the account, and
 * containers, queues and tables are made in it. Resource Manager only knows of what was made here;
 * what clients make through the data plane is the data plane's.
 */
import { ArmError } from "../arm-error.ts";
import { isJsonObject, mergePatch, objectAt, type JsonObject } from "../json.ts";
import type { RequestContext, Resource, ResourceType, WriteOutcome } from "../provider.ts";
import { hasImmutableStorage } from "./account-properties.ts";
import { accountType, storageVersions } from "./storage-accounts.ts";
import type { StorageBackend } from "../../storage/storage-backend.ts";

/** Makes and removes what a management request asks for, in the account's real data plane. */
export interface StorageEntities {
  create(entity: StorageEntity): Promise<void>;
  delete(entity: StorageEntity): Promise<void>;
}

export interface StorageEntity {
  readonly account: string;
  readonly kind: "container" | "queue" | "table";
  readonly name: string;
}

const containerName = /^(\$root|\$web|\$logs|[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9])$/;
const tableName = /^[A-Za-z][A-Za-z0-9]{2,62}$/;

/** Types of the services and of what they hold. */
export function accountServices(
  entities: StorageEntities,
  backend: StorageBackend,
): readonly ResourceType[] {
  return [
    blobService(backend),
    service("queueServices", { cors: { corsRules: [] } }),
    service("tableServices", { cors: { corsRules: [] } }),
    containers(entities, backend),
    entity(entities, { type: "queueServices/queues", kind: "queue", namePattern: containerName }),
    entity(entities, { type: "tableServices/tables", kind: "table", namePattern: tableName }),
    managementPolicies,
  ];
}

/** Lifecycle rules of an account: one policy, named `default`. */
const managementPolicies: ResourceType = {
  type: "storageAccounts/managementPolicies",
  apiVersions: storageVersions,
  tracked: false,
  hasProvisioningState: false,
  createdStatus: 200,
  namePattern: /^default$/i,
  put: ({ body, now }) => {
    const properties = objectAt(body, "properties");
    const { rules } = objectAt(properties, "policy");
    if (!Array.isArray(rules) || rules.length === 0 || !rules.every((rule) => isJsonObject(rule)))
      throw new ArmError(
        400,
        "InvalidRequestPropertyValue",
        "The value of property 'policy.rules' is invalid: at least one rule is required.",
        { target: "properties.policy.rules" },
      );
    const lastModifiedTime = now().toISOString();
    return {
      kind: "stored",
      content: { body: { properties: { ...properties, lastModifiedTime } } },
    };
  },
  remove: () => ({ kind: "deleted" }),
};

const blobServiceDefaults: JsonObject = {
  cors: { corsRules: [] },
  deleteRetentionPolicy: { enabled: false },
  isVersioningEnabled: false,
};

/** Versions are switched on here, for all containers of the account. */
function blobService(backend: StorageBackend): ResourceType {
  const plain = service("blobServices", blobServiceDefaults);
  return {
    ...plain,
    implicit: (request) => {
      if (request.parsedId.names[1]?.toLowerCase() !== "default") return undefined;
      return { properties: { ...blobServiceDefaults, isVersioningEnabled: isVersioned(request) } };
    },
    put: async (request) => {
      const properties = { ...blobServiceDefaults, ...objectAt(request.body, "properties") };
      const versioning = properties["isVersioningEnabled"] === true;
      if (!versioning && hasImmutableContainers(request)) {
        throw new ArmError(
          409,
          "PropertyChangeNotAllowed",
          "Versioning cannot be switched off in an account with immutable storage.",
          { target: "properties.isVersioningEnabled" },
        );
      }
      await backend.protectAccount(request.parsedId.names[0] ?? "", { versioning });
      return { kind: "stored", content: { body: { properties } } };
    },
  };
}

/**
 * Version-level immutability of a container needs versioning, is set when the container is made (or
 * by a migration, which is not simulated) and stays
 * (learn.microsoft.com/azure/storage/blobs/immutable-policy-configure-version-scope; codes assumed).
 */
function containers(entities: StorageEntities, backend: StorageBackend): ResourceType {
  const plain = entity(entities, {
    type: "blobServices/containers",
    kind: "container",
    namePattern: containerName,
  });
  return {
    ...plain,
    put: async (request) => {
      const wants = hasImmutableStorage(objectAt(request.body, "properties"));
      const had =
        request.existing === undefined
          ? wants
          : hasImmutableStorage(objectAt(request.existing.body, "properties"));
      if (wants && (!had || !isVersioned(request))) throw immutabilityRefusal(had);
      const [account = "", , name = ""] = request.parsedId.names;
      if (wants) await backend.protectAccount(account, { immutableContainer: name });
      return plain.put(request);
    },
    remove: async (request) => {
      const outcome = await plain.remove(request);
      const [account = "", , name = ""] = request.parsedId.names;
      await backend.protectAccount(account, { mutableContainer: name });
      return outcome;
    },
  };
}

function immutabilityRefusal(isNew: boolean): ArmError {
  const reason = isNew
    ? "Immutable storage with versioning of a container needs versioning of the account."
    : "A container that exists gets immutable storage with versioning by a migration only.";
  const target = "properties.immutableStorageWithVersioning";
  return new ArmError(409, "PropertyChangeNotAllowed", reason, { target });
}

function accountOf({ resources, parsedId, id }: RequestContext): Resource | undefined {
  const name = parsedId.names[0]?.toLowerCase();
  const group = id.toLowerCase().split("/providers/")[0] ?? "";
  return resources.list(accountType, group).find((account) => account.name.toLowerCase() === name);
}

function isVersioned(request: RequestContext): boolean {
  const account = accountOf(request);
  if (account === undefined) return false;
  if (hasImmutableStorage(objectAt(account.body, "properties"))) return true;
  const stored = request.resources.get(`${account.id}/blobServices/default`);
  return objectAt(stored?.body ?? {}, "properties")["isVersioningEnabled"] === true;
}

function hasImmutableContainers(request: RequestContext): boolean {
  const account = accountOf(request);
  if (account === undefined) return false;
  return [account, ...request.resources.descendants(account.id)].some(({ body }) =>
    hasImmutableStorage(objectAt(body, "properties")),
  );
}

function service(name: string, defaults: JsonObject): ResourceType {
  return {
    type: `storageAccounts/${name}`,
    apiVersions: storageVersions,
    tracked: false,
    hasProvisioningState: false,
    createdStatus: 200,
    namePattern: /^default$/i,
    implicit: ({ parsedId }) =>
      parsedId.names[1]?.toLowerCase() === "default" ? { properties: defaults } : undefined,
    put: ({ body }) => {
      const properties = { ...defaults, ...objectAt(body, "properties") };
      return { kind: "stored", content: { body: { properties } } };
    },
  };
}

function entity(
  entities: StorageEntities,
  options: { type: string; kind: StorageEntity["kind"]; namePattern: RegExp },
): ResourceType & Required<Pick<ResourceType, "put" | "remove">> {
  const described = ({ parsedId }: RequestContext): StorageEntity => ({
    account: parsedId.names[0] ?? "",
    kind: options.kind,
    name: parsedId.names[2] ?? "",
  });
  return {
    type: `storageAccounts/${options.type}`,
    apiVersions: storageVersions,
    tracked: false,
    etag: options.kind === "container",
    createdStatus: options.kind === "container" ? 201 : 200,
    hasProvisioningState: false,
    namePattern: options.namePattern,
    put: async (request): Promise<WriteOutcome> => {
      const before =
        request.existing === undefined ? {} : objectAt(request.existing.body, "properties");
      await entities.create(described(request));
      const defaults: JsonObject =
        options.kind === "container"
          ? {
              publicAccess: "None",
              leaseState: "Available",
              hasImmutabilityPolicy: false,
              hasLegalHold: false,
            }
          : {};
      const properties = { ...defaults, ...before, ...objectAt(request.body, "properties") };
      return { kind: "stored", content: { body: { properties } } };
    },
    patch: ({ body, existing }) => ({
      kind: "stored",
      content: { body: mergePatch(existing.body, body) },
    }),
    remove: async (request) => {
      await entities.delete(described(request));
      return { kind: "deleted" };
    },
  };
}
