/**
 * Services below an account: `blobServices/default` and its siblings exist with the account, and
 * containers, queues and tables are made in it. Resource Manager only knows of what was made here;
 * what clients make through the data plane is the data plane's.
 */
import { ArmError } from "../arm-error.ts";
import { isJsonObject, mergePatch, objectAt, type JsonObject } from "../json.ts";
import type { RequestContext, ResourceType, WriteOutcome } from "../provider.ts";
import { storageVersions } from "./storage-accounts.ts";

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
export function accountServices(entities: StorageEntities): readonly ResourceType[] {
  return [
    service("blobServices", {
      cors: { corsRules: [] },
      deleteRetentionPolicy: { enabled: false },
      isVersioningEnabled: false,
    }),
    service("queueServices", { cors: { corsRules: [] } }),
    service("tableServices", { cors: { corsRules: [] } }),
    entity(entities, {
      type: "blobServices/containers",
      kind: "container",
      namePattern: containerName,
    }),
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
): ResourceType {
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
