import type { Stack } from "#local/stack.ts";
import { stringAt, objectAt, referenceAt } from "#local/resource-manager/json.ts";
import type { Resource } from "#local/resource-manager/provider.ts";

/** Single pieces of a region's private network: how a test finds one, takes it away, puts it back. */
export type PutBack = () => Promise<void>;

export interface Piece {
  /** What it is called in test names. */
  readonly name: string;
  readonly type: string;
  readonly id: RegExp;
}

const endpointType = "Microsoft.Network/privateEndpoints";
const linkType = "Microsoft.Network/privateDnsZones/virtualNetworkLinks";
const recordType = "Microsoft.Network/privateDnsZones/A";
const peeringType = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings";
const snapshotType = "Microsoft.Compute/snapshots";
const diskAccessType = "Microsoft.Compute/diskAccesses";

export const diskAccessPiece: Piece = {
  name: "the disk access",
  type: diskAccessType,
  id: /\/diskAccesses\/holdfast-northeurope-/,
};
export const diskEndpointPiece: Piece = {
  name: "the endpoint of the disk access",
  type: endpointType,
  id: /\/holdfast-northeurope-[^/]+-01-endpoint$/,
};
export const repositoryEndpointPiece: Piece = {
  name: "the endpoint of the repository",
  type: endpointType,
  id: /holdfastrepository-blob$/,
};
export const hubPeeringPiece: Piece = {
  name: "the hub's peering with the region",
  type: peeringType,
  id: /\/virtualNetworks\/holdfast-control\//,
};

/**
 * `seenPieces` and `silencingPieces` are every endpoint, zone link, record and peering of a region; the
 * first ones are seen by a worker that reports, the others keep it from reporting or from coming up.
 * `eventQueuePieces` are those of the queue of events, which regions share: somebody is left who can
 * tell when the Functions host has a storage account of its own.
 */
export const seenPieces: readonly Piece[] = [
  repositoryEndpointPiece,
  {
    name: "the record of the repository",
    type: recordType,
    id: /blob[^/]*\/A\/holdfastrepository$/,
  },
  diskEndpointPiece,
  {
    name: "the record of the disk access",
    type: recordType,
    id: /privatelink\.blob[^/]*\/A\/md-impexp-[^/]*$/,
  },
  {
    name: "the region's link of the zone of blobs",
    type: linkType,
    id: /privatelink\.blob\.[^/]+\/virtualNetworkLinks\/holdfast-northeurope/,
  },
];

export const silencingPieces: readonly Piece[] = [
  {
    name: "the record of the bundle's account",
    type: recordType,
    id: /privatelink\.blob[^/]*\/A\/holdfast[0-9a-f]{16}$/,
  },
  { name: "the endpoint of the bundle's account", type: endpointType, id: /staging-blob$/ },
  {
    name: "the hub's link of the zone of blobs",
    type: linkType,
    id: /privatelink\.blob\.[^/]+\/virtualNetworkLinks\/holdfast-control/,
  },
  {
    name: "the region's link of the zone of queues",
    type: linkType,
    id: /privatelink\.queue\.[^/]+\/virtualNetworkLinks\/holdfast-northeurope/,
  },
  {
    name: "the record of the job queues",
    type: recordType,
    id: /privatelink\.queue[^/]*\/A\/holdfast[0-9a-f]{16}$/,
  },
  { name: "the endpoint of the job queues", type: endpointType, id: /staging-queue$/ },
  {
    name: "the region's peering with the hub",
    type: peeringType,
    id: /\/virtualNetworks\/holdfast-northeurope\//,
  },
  hubPeeringPiece,
];

export const eventQueuePieces: readonly Piece[] = [
  {
    name: "the record of the queue of events",
    type: recordType,
    id: /privatelink\.queue[^/]*\/A\/holdfastcontrol$/,
  },
  { name: "the endpoint of the queue of events", type: endpointType, id: /holdfastcontrol-queue$/ },
  {
    name: "the hub's link of the zone of queues",
    type: linkType,
    id: /privatelink\.queue\.[^/]+\/virtualNetworkLinks\/holdfast-control/,
  },
];

const apiVersions: Readonly<Record<string, string>> = {
  [linkType.toLowerCase()]: "2024-06-01",
  [recordType.toLowerCase()]: "2024-06-01",
  [snapshotType.toLowerCase()]: "2026-03-02",
  [diskAccessType.toLowerCase()]: "2026-03-02",
};

/** The one resource that a piece stands for. */
export function findPiece(stack: Stack, { type, id }: Piece): string {
  const found = stack.cloud.resourceManager.resources.list(type).filter((each) => id.test(each.id));
  if (found.length !== 1) throw new Error(`${found.length} resources match ${id}`);
  return found[0]?.id ?? "";
}

/** Takes a resource away, and what hangs on it; answers what puts all of it back. */
export async function takeAway(stack: Stack, id: string): Promise<PutBack> {
  const { resources } = stack.cloud.resourceManager;
  const own = resources.get(id);
  if (own === undefined) throw new Error(`there is no ${id}`);
  const stored = [own, ...resources.descendants(id)];
  // Azure takes no peering beside one that lost its other direction: that one is written first.
  const other = own.type === peeringType ? backOf(stack, own) : undefined;
  await send(stack, "DELETE", own);
  return async () => {
    for (const each of [...(other === undefined ? [] : [other]), ...stored])
      await send(stack, "PUT", each);
  };
}

/**
 * Deletes a disk access as somebody might: its snapshots are led away from it first, because Azure
 * deletes none that is named. Only the product puts it back.
 */
export async function takeDiskAccessAway(stack: Stack, id: string): Promise<void> {
  const { resources } = stack.cloud.resourceManager;
  const users = resources
    .list(snapshotType)
    .filter(({ body }) => isSame(stringAt(objectAt(body, "properties"), "diskAccessId"), id));
  for (const { id: path } of users) {
    const properties = { networkAccessPolicy: "DenyAll", publicNetworkAccess: "Disabled" };
    const apiVersion = apiVersions[snapshotType.toLowerCase()] ?? "";
    await stack.cloud.arm.request({ method: "PATCH", path, apiVersion, body: { properties } });
  }
  const own = resources.get(id);
  if (own === undefined) throw new Error(`there is no ${id}`);
  await send(stack, "DELETE", own);
}

async function send(stack: Stack, method: "PUT" | "DELETE", resource: Resource): Promise<void> {
  const { id: path, type, body } = resource;
  const apiVersion = apiVersions[type.toLowerCase()] ?? "2024-05-01";
  await stack.cloud.arm.request({ method, path, apiVersion, ...(method === "PUT" && { body }) });
}

function backOf(stack: Stack, peering: Resource): Resource | undefined {
  const here = peering.id.replace(/\/virtualNetworkPeerings\/.*$/i, "");
  const remoteOf = ({ body }: Resource): string | undefined =>
    referenceAt(objectAt(body, "properties"), "remoteVirtualNetwork");
  return stack.cloud.resourceManager.resources
    .list(peeringType, remoteOf(peering))
    .find((each) => isSame(remoteOf(each), here));
}

function isSame(left: string | undefined, right: string): boolean {
  return left?.toLowerCase() === right.toLowerCase();
}
