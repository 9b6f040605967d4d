/**
 * What a machine in a virtual network sees of private link: which private endpoints its packets
 * reach, and what Azure's name server answers it. Pure reading of the resource table.
 */
import { objectAt, objectsAt, referenceAt, stringAt } from "../json.ts";
import { connectionOfEndpoint, connectionStatus } from "../private-link.ts";
import type { PrivateLinkTarget, Resource, ResourceStore } from "../provider.ts";
import {
  formatResourceId,
  idKey,
  nameOf,
  parentIdOf,
  parseResourceId,
  sameId,
} from "../resource-id.ts";
import { peeredNetworks } from "./peerings.ts";
import { privateNameOf } from "./private-names.ts";
import { addressOf, connectionOfBody } from "./private-endpoints.ts";

const endpointType = "Microsoft.Network/privateEndpoints";
const linkType = "Microsoft.Network/privateDnsZones/virtualNetworkLinks";

export interface LiveEndpoint {
  readonly endpointId: string;
  readonly networkId: string;
  readonly address: string;
  readonly targetId: string;
  readonly groupId: string;
}

/** Endpoints with an approved connection: the others have an address that nothing answers at. */
export function liveEndpoints(resources: ResourceStore): readonly LiveEndpoint[] {
  return resources.list(endpointType).flatMap((endpoint) => {
    const connection = connectionOfBody(endpoint.body);
    const address = addressOf(endpoint, resources);
    const subnetId = referenceAt(objectAt(endpoint.body, "properties"), "subnet");
    const [groupId] = connection?.groupIds ?? [];
    if (connection === undefined || address === undefined) return [];
    if (subnetId === undefined || groupId === undefined) return [];
    const { targetId } = connection;
    const stored = connectionOfEndpoint(resources, targetId, endpoint.id);
    if (stored === undefined || connectionStatus(stored) !== "Approved") return [];
    const networkId = networkOfSubnet(subnetId);
    return [{ endpointId: endpoint.id, networkId, address, targetId, groupId }];
  });
}

/** Those in the machine's own network and in networks peered with it. */
export function reachableEndpoints(
  resources: ResourceStore,
  networkId: string,
): readonly LiveEndpoint[] {
  const networks = [networkId, ...peeredNetworks(resources, networkId)].map(idKey);
  return liveEndpoints(resources).filter((each) => networks.includes(idKey(each.networkId)));
}

export interface NameView {
  readonly resources: ResourceStore;
  /** How a full type may be the target of endpoints. */
  readonly privateLinkOf: (fullType: string) => PrivateLinkTarget | undefined;
}

export interface ResolvedName {
  readonly aliases: readonly string[];
  /** `public`: the address that everybody gets; undefined: there is no such name. */
  readonly address: string | undefined;
}

/**
 * What 168.63.129.16 answers a machine of this network. A service name becomes an alias of its
 * `privatelink` name as soon as the service has an approved connection; that one is looked up in the
 * zone of its suffix that is linked to the network, and publicly where none is. A linked zone
 * without the record says that there is no such name
 * (learn.microsoft.com/azure/private-link/private-endpoint-dns).
 */
export function resolveName(view: NameView, networkId: string, name: string): ResolvedName {
  const owner = targetOfName(view, name);
  if (owner === undefined) {
    const inZone = lookUpInZones(view.resources, networkId, name);
    return { aliases: [], address: inZone.kind === "found" ? inZone.address : undefined };
  }
  const isPrivate = liveEndpoints(view.resources).some(
    ({ targetId, groupId }) => sameId(targetId, owner.target.id) && groupId === owner.groupId,
  );
  if (!isPrivate) return { aliases: [], address: "public" };
  const alias = privateNameOf(name);
  const inZone = lookUpInZones(view.resources, networkId, alias);
  switch (inZone.kind) {
    case "found":
      return { aliases: [alias], address: inZone.address };
    case "no-record":
      return { aliases: [alias], address: undefined };
    case "no-zone":
      return { aliases: [alias], address: "public" };
  }
}

interface NameOwner {
  readonly target: Resource;
  readonly groupId: string;
}

function targetOfName({ resources, privateLinkOf }: NameView, name: string): NameOwner | undefined {
  for (const type of ["Microsoft.Storage/storageAccounts", "Microsoft.Compute/diskAccesses"]) {
    const link = privateLinkOf(type);
    for (const target of resources.list(type)) {
      for (const groupId of link?.groupIds ?? []) {
        const hosts = link?.hostNames?.(target, groupId) ?? [];
        if (hosts.some((host) => host.toLowerCase() === name.toLowerCase())) {
          return { target, groupId };
        }
      }
    }
  }
  return undefined;
}

/** The address, or why there is none. */
type ZoneAnswer =
  { readonly kind: "found"; readonly address: string } | { readonly kind: "no-record" | "no-zone" };

function lookUpInZones(resources: ResourceStore, networkId: string, name: string): ZoneAnswer {
  const zones = resources.list(linkType).flatMap((link) => {
    const linked = referenceAt(objectAt(link.body, "properties"), "virtualNetwork") ?? "";
    const parsed = parseResourceId(link.id);
    const parent = parsed === undefined ? undefined : parentIdOf(parsed);
    const zoneId = parent === undefined ? "" : formatResourceId(parent);
    const isFor = name.toLowerCase().endsWith(`.${nameOf(zoneId).toLowerCase()}`);
    return sameId(linked, networkId) && isFor ? [zoneId] : [];
  });
  // The most specific zone answers.
  const [zoneId] = zones.sort((left, right) => nameOf(right).length - nameOf(left).length);
  if (zoneId === undefined) return { kind: "no-zone" };
  const label = name.slice(0, -nameOf(zoneId).length - 1);
  const record = resources.get(`${zoneId}/A/${label}`);
  const [first] =
    record === undefined ? [] : objectsAt(objectAt(record.body, "properties"), "aRecords");
  const address = first === undefined ? undefined : stringAt(first, "ipv4Address");
  return address === undefined ? { kind: "no-record" } : { kind: "found", address };
}

export function networkOfSubnet(subnetId: string): string {
  return subnetId.slice(0, subnetId.toLowerCase().lastIndexOf("/subnets/"));
}
