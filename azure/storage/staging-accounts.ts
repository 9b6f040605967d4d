import type { ManagementPolicyRule, StorageAccount } from "@azure/arm-storage";
import { STAGING_RULE, type RegionPort, type StorageAccountState } from "#core/ports/region.ts";
import { provisioningOf } from "../compute/provisioning.ts";
import { callAzure, listAzure, readAzure } from "../errors.ts";
import { normalLocation } from "../location.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";

type AccountCalls = Pick<
  RegionPort,
  | "listStorageAccounts"
  | "readLifecycleRules"
  | "startStagingAccount"
  | "secureStagingAccount"
  | "writeLifecycleRule"
>;

/** Nothing in a staging account is of use for so long; a bundle that is needed is uploaded again. */
const STALE_DAYS = 60;
const POLICY_NAME = "default";

/** Endpoints only; managed identities and user-delegation SAS only. */
const secured = {
  publicNetworkAccess: "Disabled",
  allowSharedKeyAccess: false,
  minimumTlsVersion: "TLS1_2",
  allowBlobPublicAccess: false,
  enableHttpsTrafficOnly: true,
} as const;

/** Storage accounts as Resource Manager sees them, and the settings of staging accounts. */
export function createStagingAccounts(clientsOf: ClientsOf): AccountCalls {
  const parts = (id: string) => {
    const { subscriptionId, resourceGroup, names } = parseResourceId(id);
    return { storage: clientsOf(subscriptionId).storage, resourceGroup, name: names[0] };
  };
  return {
    async *listStorageAccounts(subscriptionId) {
      const accounts = listAzure(`list storage accounts of ${subscriptionId}`, () =>
        clientsOf(subscriptionId).storage.storageAccounts.list(),
      );
      for await (const account of accounts) yield accountOf(account);
    },

    async readLifecycleRules(accountId) {
      const { storage, resourceGroup, name } = parts(accountId);
      const policy = await readAzure(`read lifecycle rules of ${accountId}`, () =>
        storage.managementPolicies.get(resourceGroup, name, POLICY_NAME),
      );
      return (policy?.policy?.rules ?? [])
        .filter(({ enabled }) => enabled !== false)
        .map((rule) => rule.name);
    },

    async startStagingAccount(accountId, location, tags) {
      const { storage, resourceGroup, name } = parts(accountId);
      const body = {
        location,
        tags: { ...tags },
        kind: "StorageV2",
        sku: { name: "Standard_LRS" },
        accessTier: "Hot",
        defaultToOAuthAuthentication: true,
        allowCrossTenantReplication: false,
        ...secured,
      } as const;
      await callAzure(`create storage account ${accountId}`, () =>
        submit(() => storage.storageAccounts.create(resourceGroup, name, body)),
      );
    },

    async secureStagingAccount(accountId) {
      const { storage, resourceGroup, name } = parts(accountId);
      await callAzure(`secure storage account ${accountId}`, () =>
        storage.storageAccounts.update(resourceGroup, name, { ...secured }),
      );
    },

    async writeLifecycleRule(accountId) {
      const { storage, resourceGroup, name } = parts(accountId);
      await callAzure(`write the lifecycle rule of ${accountId}`, () =>
        storage.managementPolicies.createOrUpdate(resourceGroup, name, POLICY_NAME, {
          policy: { rules: [staleBundles] },
        }),
      );
    },
  };
}

const staleBundles: ManagementPolicyRule = {
  name: STAGING_RULE,
  enabled: true,
  type: "Lifecycle",
  definition: {
    filters: { blobTypes: ["blockBlob"] },
    actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: STALE_DAYS } } },
  },
};

function accountOf(account: StorageAccount): StorageAccountState {
  return {
    accountId: account.id ?? "",
    name: account.name ?? "",
    location: normalLocation(account.location),
    provisioning: provisioningOf(account.provisioningState),
    tags: account.tags ?? {},
    blobServiceUrl: account.primaryEndpoints?.blob ?? "",
    queueServiceUrl: account.primaryEndpoints?.queue ?? "",
    publicAccess: account.publicNetworkAccess !== "Disabled",
    // Azure allows it unless it is said otherwise.
    sharedKeyAccess: account.allowSharedKeyAccess !== false,
    minimumTlsVersion: account.minimumTlsVersion ?? "TLS1_0",
  };
}
