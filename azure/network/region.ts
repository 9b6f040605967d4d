/**
 * What a region needs before a worker runs in it: a private network (NSG, virtual network, subnet
 * without outbound internet) and a staging account that takes no shared keys.
 */
import type { StorageAccount } from "@azure/arm-storage";
import type { NetworkManagementClient } from "@azure/arm-network";
import type {
  RegionPort,
  StagingAccountRequest,
  StagingAccountState,
  WorkerNetworkRequest,
} from "#core/ports/region.ts";
import { provisioningOf } from "../compute/provisioning.ts";
import { callAzure, listAzure, readAzure } from "../errors.ts";
import { parseResourceGroupId, parseResourceId } from "../resource-id.ts";
import {
  createResourceManagerClients,
  submit,
  type ResourceManagerOptions,
} from "../resource-manager.ts";

export function createRegion(options: ResourceManagerOptions): RegionPort {
  const clientsOf = createResourceManagerClients(options);
  return {
    async readNetwork(virtualNetworkId, subnetName) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(virtualNetworkId);
      const subnet = await readAzure(`read subnet ${subnetName} of ${virtualNetworkId}`, () =>
        clientsOf(subscriptionId).network.subnets.get(resourceGroup, names[0], subnetName),
      );
      if (subnet === undefined) return undefined;
      return {
        virtualNetworkId,
        subnetId: subnet.id ?? `${virtualNetworkId}/subnets/${subnetName}`,
        addressPrefix: subnet.addressPrefix ?? subnet.addressPrefixes?.[0] ?? "",
        provisioning: provisioningOf(subnet.provisioningState),
      };
    },

    async startNetwork(request) {
      const { network } = clientsOf(parseResourceId(request.virtualNetworkId).subscriptionId);
      await ensureSecurityGroup(network, request);
      await ensureVirtualNetwork(network, request);
    },

    async findStagingAccount(resourceGroupId, location, tagName, tagValue) {
      const { subscriptionId, resourceGroup } = parseResourceGroupId(resourceGroupId);
      const { storage } = clientsOf(subscriptionId);
      const accounts = listAzure(`list storage accounts of ${resourceGroupId}`, () =>
        storage.storageAccounts.listByResourceGroup(resourceGroup),
      );
      for await (const account of accounts) {
        const here = sameLocation(account.location, location);
        if (here && account.tags?.[tagName] === tagValue) return accountStateOf(account);
      }
      return undefined;
    },

    async startStagingAccount(request) {
      const { subscriptionId, resourceGroup, names } = parseResourceId(request.accountId);
      await callAzure(`create storage account ${request.accountId}`, () =>
        submit(() =>
          clientsOf(subscriptionId).storage.storageAccounts.create(
            resourceGroup,
            names[0],
            stagingAccountBody(request),
          ),
        ),
      );
    },
  };
}

/** Waits for the group (seconds): the subnet refers to it. */
async function ensureSecurityGroup(
  network: NetworkManagementClient,
  request: WorkerNetworkRequest,
): Promise<void> {
  const { resourceGroup, names } = parseResourceId(request.networkSecurityGroupId);
  const action = `create network security group ${request.networkSecurityGroupId}`;
  const existing = await readAzure(action, () =>
    network.networkSecurityGroups.get(resourceGroup, names[0]),
  );
  if (existing !== undefined) return;
  // Azure's default rules refuse what comes from outside the virtual network; no rule of ours opens it.
  await callAzure(action, () =>
    network.networkSecurityGroups.createOrUpdate(resourceGroup, names[0], {
      location: request.location,
      tags: { ...request.tags },
      securityRules: [],
    }),
  );
}

/** An existing network keeps its other subnets: only a missing subnet is added to it. */
async function ensureVirtualNetwork(
  network: NetworkManagementClient,
  request: WorkerNetworkRequest,
): Promise<void> {
  const { resourceGroup, names } = parseResourceId(request.virtualNetworkId);
  const action = `create virtual network ${request.virtualNetworkId}`;
  const subnet = {
    name: request.subnetName,
    addressPrefix: request.addressPrefix,
    networkSecurityGroup: { id: request.networkSecurityGroupId },
    // Said explicitly: whether it is the default depends on the API version.
    defaultOutboundAccess: false,
    // Without a way to the internet only this leads to storage accounts and to the data of disks: over
    // Azure's own network, whatever their region ("Global").
    serviceEndpoints: [{ service: "Microsoft.Storage.Global" }],
  };
  const existing = await readAzure(action, () =>
    network.virtualNetworks.get(resourceGroup, names[0]),
  );
  if (existing === undefined) {
    await callAzure(action, () =>
      submit(() =>
        network.virtualNetworks.createOrUpdate(resourceGroup, names[0], {
          location: request.location,
          tags: { ...request.tags },
          addressSpace: { addressPrefixes: [request.addressPrefix] },
          subnets: [subnet],
        }),
      ),
    );
    return;
  }
  if (existing.subnets?.some(({ name }) => name === request.subnetName) === true) return;
  await callAzure(action, () =>
    submit(() =>
      network.subnets.createOrUpdate(resourceGroup, names[0], request.subnetName, subnet),
    ),
  );
}

function stagingAccountBody(request: StagingAccountRequest) {
  return {
    location: request.location,
    tags: { ...request.tags },
    kind: "StorageV2",
    sku: { name: "Standard_LRS" },
    accessTier: "Hot",
    minimumTlsVersion: "TLS1_2",
    enableHttpsTrafficOnly: true,
    allowBlobPublicAccess: false,
    // Managed identities and user-delegation SAS only.
    allowSharedKeyAccess: false,
    defaultToOAuthAuthentication: true,
    allowCrossTenantReplication: false,
  } as const;
}

function accountStateOf(account: StorageAccount): StagingAccountState {
  return {
    accountId: account.id ?? "",
    name: account.name ?? "",
    location: account.location,
    provisioning: provisioningOf(account.provisioningState),
    // Endpoints appear when the account is provisioned.
    blobServiceUrl: account.primaryEndpoints?.blob ?? "",
    queueServiceUrl: account.primaryEndpoints?.queue ?? "",
  };
}

/** `West Europe` and `westeurope` are the same place. */
function sameLocation(one: string, other: string): boolean {
  return normalLocation(one) === normalLocation(other);
}

function normalLocation(location: string): string {
  return location.replaceAll(" ", "").toLowerCase();
}
