/**
 * Virtual network peerings. A peering is one direction; traffic flows when both networks have theirs
 * (`Connected`). It is not transitive. One whose other direction or remote network was deleted is
 * `Disconnected` until it is written or made again; before that the other direction is refused.
 * https://learn.microsoft.com/azure/virtual-network/virtual-network-manage-peering
 */
import { ArmError } from "../arm-error.ts";
import { objectAt, referenceAt, stringAt, type JsonObject } from "../json.ts";
import type { PutRequest, Resource, ResourceStore, ResourceType } from "../provider.ts";
import { formatResourceId, parentIdOf, parseResourceId, sameId } from "../resource-id.ts";
import { overlaps, parsePrefix, type AddressRange } from "./ipv4.ts";
import { acceptedDelete, acceptedWrite, demandReference, networkVersions } from "./references.ts";

export const peeringType = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings";

export const virtualNetworkPeerings: ResourceType = {
  type: "virtualNetworks/virtualNetworkPeerings",
  apiVersions: networkVersions,
  tracked: false,
  etag: true,
  put: putPeering,
  remove: () => acceptedDelete,
  show: (peering, { resources }) => showPeering(peering, resources),
  linkedAccess: ({ body }) => {
    const id = remoteOf(body);
    // "Network Contributor on both": the action that the remote network is checked for.
    return id === undefined
      ? []
      : [{ id, action: "Microsoft.Network/virtualNetworks/peer/action" }];
  },
  work: {
    settle: async ({ current, resources }) => {
      const peering = current();
      const state = stringAt(objectAt(peering?.body ?? {}, "properties"), "provisioningState");
      if (peering === undefined || state !== "Deleting") return;
      const back = backOf(peering, resources);
      if (back !== undefined) disconnectPeering(back, resources);
    },
  },
};

/** What Azure does to the peerings of others with a network that goes. */
export function disconnectPeeringsTo(networkId: string, resources: ResourceStore): void {
  for (const peering of resources.list(peeringType))
    if (sameId(remoteOf(peering.body) ?? "", networkId)) disconnectPeering(peering, resources);
}

function disconnectPeering({ id, body, internal }: Resource, resources: ResourceStore): void {
  resources.put(id, { body, internal: { ...internal, isDisconnected: true } });
}

/** The peering of the other direction. */
function backOf(peering: Resource, resources: ResourceStore): Resource | undefined {
  const here = networkIdOf(peering);
  return resources
    .list(peeringType, remoteOf(peering.body) ?? "")
    .find((other) => sameId(remoteOf(other.body) ?? "", here));
}

/** `Initiated` until the other direction is there, then `Connected`. */
function peeringState(peering: Resource, resources: ResourceStore): string {
  const remoteId = remoteOf(peering.body) ?? "";
  const isLost = peering.internal["isDisconnected"] === true;
  if (isLost || resources.get(remoteId) === undefined) return "Disconnected";
  return backOf(peering, resources) === undefined ? "Initiated" : "Connected";
}

/** Networks that traffic from this one reaches directly. */
export function peeredNetworks(resources: ResourceStore, networkId: string): readonly string[] {
  return resources.list(peeringType, networkId).flatMap((peering) => {
    const remoteId = remoteOf(peering.body);
    if (remoteId === undefined || peeringState(peering, resources) !== "Connected") return [];
    const back = backOf(peering, resources);
    const isOpen = back !== undefined && allowsAccess(peering) && allowsAccess(back);
    return isOpen ? [remoteId] : [];
  });
}

function allowsAccess(peering: Resource): boolean {
  return objectAt(peering.body, "properties")["allowVirtualNetworkAccess"] !== false;
}

function putPeering(request: PutRequest): ReturnType<typeof acceptedWrite> {
  const { body, id, parsedId, resources } = request;
  const parent = parentIdOf(parsedId);
  const networkId = parent === undefined ? "" : formatResourceId(parent);
  const remoteId = remoteOf(body);
  if (remoteId === undefined) {
    throw new ArmError(400, "InvalidRequestFormat", `Peering ${id} needs a remoteVirtualNetwork.`, {
      target: "properties.remoteVirtualNetwork",
    });
  }
  const remote = demandReference(resources, { id: remoteId, from: id });
  const network = resources.get(networkId);
  if (network === undefined) throw new Error("a peering is written below an existing network");
  if (sameId(remote.id, network.id)) {
    throw new ArmError(
      400,
      "InvalidPeeringToSelf",
      `Virtual network ${network.id} cannot be peered with itself.`,
    );
  }
  const other = resources
    .list(peeringType, network.id)
    .find((each) => !sameId(each.id, id) && sameId(remoteOf(each.body) ?? "", remote.id));
  if (other !== undefined) {
    throw new ArmError(
      400,
      "AnotherPeeringAlreadyReferencesRemoteVnet",
      `Peering ${other.id} already references remote virtual network ${remote.id}. Cannot add another peering referencing the same remote virtual network.`,
    );
  }
  checkBack(remote, network, { id, resources });
  checkSpaces(network, remote, id);
  checkNetworkIdle(request, network);
  const properties = {
    allowVirtualNetworkAccess: true,
    allowForwardedTraffic: false,
    allowGatewayTransit: false,
    useRemoteGateways: false,
    ...objectAt(body, "properties"),
    remoteVirtualNetwork: { id: remote.id },
  };
  return acceptedWrite({ body: { properties }, internal: {} });
}

/** Code and text seen: hashicorp/terraform-provider-azurerm#14051. */
function checkBack(
  remote: Resource,
  network: Resource,
  { id, resources }: Pick<PutRequest, "id" | "resources">,
): void {
  const back = resources
    .list(peeringType, remote.id)
    .find((other) => sameId(remoteOf(other.body) ?? "", network.id));
  if (back?.internal["isDisconnected"] !== true) return;
  throw new ArmError(
    400,
    "RemotePeeringIsDisconnected",
    `Cannot create or update peering ${id} because remote peering ${back.id} referencing parent virtual network ${network.id} is in Disconnected state. Update or re-create the remote peering to get it back to Initiated state. Peering gets Disconnected when remote vnet or remote peering is deleted and re-created.`,
  );
}

/** Network takes one change of a virtual network at a time, its peerings included. */
function checkNetworkIdle({ resources, id, isBusy }: PutRequest, network: Resource): void {
  const parts = [peeringType, "Microsoft.Network/virtualNetworks/subnets"].flatMap((type) =>
    resources.list(type, network.id).map((each) => each.id),
  );
  const busy = [network.id, ...parts].find((other) => !sameId(other, id) && isBusy(other));
  if (busy === undefined) return;
  throw new ArmError(
    409,
    "AnotherOperationInProgress",
    `Another operation on this or dependent resource is in progress: ${busy}.`,
  );
}

function checkSpaces(network: Resource, remote: Resource, id: string): void {
  const clash = rangesOf(network).some((one) =>
    rangesOf(remote).some((other) => overlaps(one, other)),
  );
  if (!clash) return;
  throw new ArmError(
    400,
    "VnetAddressSpacesOverlap",
    `Cannot create or update peering ${id}. Virtual networks ${network.id} and ${remote.id} cannot be peered because their address spaces overlap.`,
  );
}

function rangesOf(network: Resource): readonly AddressRange[] {
  const prefixes = objectAt(objectAt(network.body, "properties"), "addressSpace")[
    "addressPrefixes"
  ];
  const texts = Array.isArray(prefixes) ? prefixes.filter((item) => typeof item === "string") : [];
  return texts.flatMap((text) => parsePrefix(text)?.range ?? []);
}

export function showPeering(peering: Resource, resources: ResourceStore): JsonObject {
  const remote = resources.get(remoteOf(peering.body) ?? "");
  const state = peeringState(peering, resources);
  const properties = {
    ...objectAt(peering.body, "properties"),
    peeringState: state,
    peeringSyncLevel: state === "Connected" ? "FullyInSync" : "RemoteNotInSync",
    remoteAddressSpace:
      remote === undefined
        ? { addressPrefixes: [] }
        : objectAt(objectAt(remote.body, "properties"), "addressSpace"),
  };
  return { ...peering.body, properties };
}

function remoteOf(body: JsonObject): string | undefined {
  return referenceAt(objectAt(body, "properties"), "remoteVirtualNetwork");
}

function networkIdOf(peering: Resource): string {
  const parsed = parseResourceId(peering.id);
  const parent = parsed === undefined ? undefined : parentIdOf(parsed);
  return parent === undefined ? "" : formatResourceId(parent);
}
