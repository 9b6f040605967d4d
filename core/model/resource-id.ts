import { HoldfastError } from "../lib/errors.ts";

/**
 * Resource Manager ids: `/subscriptions/<id>/resourceGroups/<name>/providers/<ns>/<type>/<name>…`.
 * They are compared without regard to case, as Azure does.
 */
const RESOURCE_GROUP_ID = /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)/i;

export interface ResourceGroupParts {
  readonly subscriptionId: string;
  readonly resourceGroup: string;
}

/** Throws `HoldfastError` code `InvalidResourceId`. */
export function resourceGroupOf(resourceId: string): ResourceGroupParts {
  const match = RESOURCE_GROUP_ID.exec(resourceId);
  const [, subscriptionId, resourceGroup] = match ?? [];
  if (subscriptionId === undefined || resourceGroup === undefined)
    throw new HoldfastError("InvalidResourceId", `'${resourceId}' is no Resource Manager id.`);
  return { subscriptionId, resourceGroup };
}

/** `/subscriptions/…/resourceGroups/…` of a resource. */
export function resourceGroupIdOf(resourceId: string): string {
  const { subscriptionId, resourceGroup } = resourceGroupOf(resourceId);
  return `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}`;
}

/** Id of a resource of one of the types that the product makes. */
export function resourceId(
  resourceGroupId: string,
  type: `${string}/${string}`,
  name: string,
): string {
  return `${resourceGroupId}/providers/${type}/${name}`;
}

/** Whether two ids name the same resource. */
export function sameId(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}

export const RESOURCE_TYPES = {
  virtualMachine: "Microsoft.Compute/virtualMachines",
  disk: "Microsoft.Compute/disks",
  snapshot: "Microsoft.Compute/snapshots",
  diskAccess: "Microsoft.Compute/diskAccesses",
  networkInterface: "Microsoft.Network/networkInterfaces",
  privateEndpoint: "Microsoft.Network/privateEndpoints",
  virtualNetwork: "Microsoft.Network/virtualNetworks",
  networkSecurityGroup: "Microsoft.Network/networkSecurityGroups",
  storageAccount: "Microsoft.Storage/storageAccounts",
  privateDnsZone: "Microsoft.Network/privateDnsZones",
} as const;
