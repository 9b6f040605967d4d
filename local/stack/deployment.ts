/**
 * What a deployment makes before the app starts: resource groups, identities with their role
 * assignments, storage accounts, and networks for sample machines. Everything through Resource Manager,
 * with an operator's token. Repeating it changes nothing.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { ArmClient } from "./arm-client.ts";
import { deployControlNetwork, type ControlNetwork } from "./control-network.ts";

export const subscriptionId = "7c1f0f56-4a0e-4d5f-8f0b-2c9a6d3e1b47";
/** Another subscription with machines to protect: only what must be beside them is made there. */
export const otherSubscriptionId = "b0b7f2f1-63c5-4a5e-9a57-1d5f6f5c9a20";
const homeLocation = "westeurope";
const groupNames = {
  /** The control plane itself. */
  control: "holdfast-rg",
  /** What it makes for its work. */
  workers: "holdfast-workers-rg",
  /** What it protects. */
  workloads: "workloads-rg",
} as const;

const controlAccountName = "holdfastcontrol";
const hostAccountName = "holdfasthost";
const repositoryAccountName = "holdfastrepository";
/** Where all workers report to. */
const eventQueueName = "worker-events";
const sampleNetworkPrefix = "10.20.0.0/16";
const sampleSubnetPrefix = "10.20.0.0/24";

const apiVersions = {
  resourceGroups: "2021-04-01",
  identities: "2023-01-31",
  roleAssignments: "2022-04-01",
  storageAccounts: "2023-05-01",
  virtualNetworks: "2024-05-01",
} as const;

/** https://learn.microsoft.com/azure/role-based-access-control/built-in-roles */
const roles = {
  managedIdentityOperator: "f1a07417-d97a-45cb-824c-7a7467783830",
  queueDataContributor: "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
} as const;

export interface Deployment {
  readonly subscriptionId: string;
  readonly workerResourceGroupId: string;
  readonly workloadResourceGroupId: string;
  /** Of the other subscription. */
  readonly otherWorkloadResourceGroupId: string;
  readonly controlPlaneIdentity: Identity;
  readonly workerIdentity: Identity;
  readonly controlAccountId: string;
  readonly controlAccountName: string;
  /** Holds the Functions host's own storage: the control account, or one of its own. */
  readonly hostAccountName: string;
  readonly repositoryAccountName: string;
  readonly controlNetwork: ControlNetwork;
}

export interface Identity {
  readonly resourceId: string;
  readonly clientId: string;
  readonly principalId: string;
}

const identitySchema = z.object({
  id: z.string(),
  properties: z.object({ clientId: z.string(), principalId: z.string() }),
});

const roleSchema = z.object({
  Name: z.string(),
  Description: z.string(),
  Actions: z.array(z.string()),
  DataActions: z.array(z.string()),
});

export interface DeploymentOptions {
  /**
   * Whether the Functions host's own storage has an account of its own, which the app reaches without
   * private endpoints, as a deployment may have it.
   */
  readonly hasHostAccount: boolean;
}

export async function deploy(
  arm: ArmClient,
  { hasHostAccount }: DeploymentOptions,
): Promise<Deployment> {
  for (const name of Object.values(groupNames)) {
    const body = { location: homeLocation };
    await put(arm, groupId(name), apiVersions.resourceGroups, body);
  }
  for (const name of [groupNames.workers, groupNames.workloads]) {
    const body = { location: homeLocation };
    await put(arm, otherGroupId(name), apiVersions.resourceGroups, body);
  }
  const controlPlaneIdentity = await deployIdentity(arm, "holdfast-control-plane");
  const workerIdentity = await deployIdentity(arm, "holdfast-worker");
  const controlAccountId = await deployStorageAccount(arm, controlAccountName);
  const repositoryAccountId = await deployStorageAccount(arm, repositoryAccountName);
  if (hasHostAccount) await deployStorageAccount(arm, hostAccountName, "Enabled");
  const controlNetwork = await deployControlNetwork(arm, {
    resourceGroupId: groupId(groupNames.control),
    workerResourceGroupId: groupId(groupNames.workers),
    location: homeLocation,
    accountId: controlAccountId,
  });
  const eventQueueId = `${controlAccountId}/queueServices/default/queues/${eventQueueName}`;
  await put(arm, eventQueueId, apiVersions.storageAccounts, { properties: {} });
  await assignControlPlaneRoles(arm, controlPlaneIdentity.principalId, {
    controlAccountId,
    repositoryAccountId,
    workerIdentityId: workerIdentity.resourceId,
  });
  await assignWorkerRoles(arm, workerIdentity.principalId, {
    eventQueueId,
    repositoryAccountId,
  });
  return {
    subscriptionId,
    workerResourceGroupId: groupId(groupNames.workers),
    workloadResourceGroupId: groupId(groupNames.workloads),
    otherWorkloadResourceGroupId: otherGroupId(groupNames.workloads),
    controlPlaneIdentity,
    workerIdentity,
    controlAccountId,
    controlAccountName,
    hostAccountName: hasHostAccount ? hostAccountName : controlAccountName,
    repositoryAccountName,
    controlNetwork,
  };
}

/** Subnet for sample machines of a region; made when it is missing. */
export async function ensureSampleSubnet(
  arm: ArmClient,
  workloadResourceGroupId: string,
  location: string,
): Promise<string> {
  const networks = `${workloadResourceGroupId}/providers/Microsoft.Network/virtualNetworks`;
  const networkId = `${networks}/workloads-${location}`;
  const existing = await arm.list(networks, apiVersions.virtualNetworks);
  const idOf = z.looseObject({ id: z.string() });
  const isThere = existing.some(
    (network) => idOf.parse(network).id.toLowerCase() === networkId.toLowerCase(),
  );
  if (!isThere) {
    await put(arm, networkId, apiVersions.virtualNetworks, {
      location,
      properties: {
        addressSpace: { addressPrefixes: [sampleNetworkPrefix] },
        subnets: [{ name: "workloads", properties: { addressPrefix: sampleSubnetPrefix } }],
      },
    });
  }
  return `${networkId}/subnets/workloads`;
}

async function assignControlPlaneRoles(
  arm: ArmClient,
  principalId: string,
  scopes: { controlAccountId: string; repositoryAccountId: string; workerIdentityId: string },
): Promise<void> {
  const subscription = `/subscriptions/${subscriptionId}`;
  const assignments: readonly (readonly [scope: string, role: string])[] = [
    [subscription, await deployRole(arm, "holdfast-source")],
    [groupId(groupNames.workloads), await deployRole(arm, "holdfast-restore")],
    [groupId(groupNames.workers), await deployRole(arm, "holdfast-workers")],
    [groupId(groupNames.workers), await deployRole(arm, "holdfast-disk-accesses")],
    // Snapshots are beside their disks, and so are the disk accesses that they are read through.
    [`/subscriptions/${otherSubscriptionId}`, await deployRole(arm, "holdfast-source")],
    [otherGroupId(groupNames.workers), await deployRole(arm, "holdfast-disk-accesses")],
    [otherGroupId(groupNames.workloads), await deployRole(arm, "holdfast-restore")],
    // The control plane's network with the zones and endpoints that all regions share.
    [groupId(groupNames.control), await deployRole(arm, "holdfast-hub")],
    [groupId(groupNames.control), await deployRole(arm, "holdfast-private-dns")],
    [groupId(groupNames.control), await deployRole(arm, "holdfast-shared-account")],
    [groupId(groupNames.workers), await deployRole(arm, "holdfast-staging")],
    [scopes.workerIdentityId, roles.managedIdentityOperator],
    [scopes.controlAccountId, await deployRole(arm, "holdfast-records")],
    // For the Functions host: the trigger of the event queue, and the queue of what it gave up.
    [scopes.controlAccountId, roles.queueDataContributor],
    [scopes.repositoryAccountId, await deployRole(arm, "holdfast-repository-container")],
  ];
  for (const [scope, role] of assignments) await assignRole(arm, { scope, role, principalId });
}

async function assignWorkerRoles(
  arm: ArmClient,
  principalId: string,
  scopes: { eventQueueId: string; repositoryAccountId: string },
): Promise<void> {
  const assignments: readonly (readonly [scope: string, role: string])[] = [
    [groupId(groupNames.workers), await deployRole(arm, "holdfast-worker-jobs")],
    [scopes.eventQueueId, await deployRole(arm, "holdfast-worker-events")],
    [scopes.repositoryAccountId, await deployRole(arm, "holdfast-worker-repository")],
    // For disks whose data access mode is Entra ID: where they, their snapshots and restored ones lie.
    [`/subscriptions/${subscriptionId}`, await deployRole(arm, "holdfast-worker-disks")],
    [`/subscriptions/${otherSubscriptionId}`, await deployRole(arm, "holdfast-worker-disks")],
  ];
  for (const [scope, role] of assignments) await assignRole(arm, { scope, role, principalId });
}

async function deployIdentity(arm: ArmClient, name: string): Promise<Identity> {
  const id = `${groupId(groupNames.control)}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/${name}`;
  const made = await put(arm, id, apiVersions.identities, { location: homeLocation });
  const { properties } = identitySchema.parse(made);
  return { resourceId: id, clientId: properties.clientId, principalId: properties.principalId };
}

/** Reached through private endpoints only, unless public access is enabled. */
async function deployStorageAccount(
  arm: ArmClient,
  name: string,
  publicNetworkAccess: "Disabled" | "Enabled" = "Disabled",
): Promise<string> {
  const id = `${groupId(groupNames.control)}/providers/Microsoft.Storage/storageAccounts/${name}`;
  await put(arm, id, apiVersions.storageAccounts, {
    location: homeLocation,
    kind: "StorageV2",
    sku: { name: "Standard_LRS" },
    properties: {
      minimumTlsVersion: "TLS1_2",
      allowBlobPublicAccess: false,
      publicNetworkAccess,
    },
  });
  return id;
}

/** Makes a role of `infra/roles`; answers its GUID. */
async function deployRole(arm: ArmClient, name: string): Promise<string> {
  const file = join(import.meta.dirname, "../../infra/roles", `${name}.json`);
  const role = roleSchema.parse(JSON.parse(await readFile(file, "utf8")));
  const guid = guidOf(`role ${name}`);
  const scope = `/subscriptions/${subscriptionId}`;
  const id = `${scope}/providers/Microsoft.Authorization/roleDefinitions/${guid}`;
  await put(arm, id, apiVersions.roleAssignments, {
    properties: {
      roleName: role.Name,
      description: role.Description,
      type: "CustomRole",
      permissions: [
        {
          actions: role.Actions,
          notActions: [],
          dataActions: role.DataActions,
          notDataActions: [],
        },
      ],
      assignableScopes: [scope, `/subscriptions/${otherSubscriptionId}`],
    },
  });
  return guid;
}

/** The name is a GUID made of what is assigned, as templates do it: assigning again finds it. */
async function assignRole(
  arm: ArmClient,
  { scope, role, principalId }: { scope: string; role: string; principalId: string },
): Promise<void> {
  const name = guidOf(`${scope} ${role} ${principalId}`);
  const id = `${scope}/providers/Microsoft.Authorization/roleAssignments/${name}`;
  const roleDefinitionId = `/subscriptions/${subscriptionId}/providers/Microsoft.Authorization/roleDefinitions/${role}`;
  await put(arm, id, apiVersions.roleAssignments, {
    properties: { roleDefinitionId, principalId, principalType: "ServicePrincipal" },
  });
}

function guidOf(text: string): string {
  const hash = createHash("sha256").update(text).digest("hex");
  return hash.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, "$1-$2-$3-$4-$5");
}

function groupId(name: string): string {
  return `/subscriptions/${subscriptionId}/resourceGroups/${name}`;
}

function otherGroupId(name: string): string {
  return `/subscriptions/${otherSubscriptionId}/resourceGroups/${name}`;
}

async function put(
  arm: ArmClient,
  path: string,
  apiVersion: string,
  body: unknown,
): Promise<unknown> {
  return arm.request({ method: "PUT", path, apiVersion, body });
}
