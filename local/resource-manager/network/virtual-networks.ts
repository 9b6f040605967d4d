/**
 * Virtual networks and subnets. A subnet is a resource of its own; a network shows its subnets and
 * a PUT of the network with `subnets` replaces them all.
 * https://learn.microsoft.com/rest/api/virtualnetwork/virtual-networks
 */
import { ArmError } from "../arm-error.ts";
import { objectAt, objectsAt, referenceAt, stringAt, type JsonObject } from "../json.ts";
import type {
  LinkedAccess,
  PutRequest,
  RequestContext,
  Resource,
  ResourceStore,
  ResourceType,
} from "../provider.ts";
import { formatResourceId, idKey, parentIdOf, sameId } from "../resource-id.ts";
import { disconnectPeeringsTo, peeringType, showPeering } from "./peerings.ts";
import { containsRange, overlaps, parsePrefix, type AddressRange } from "./ipv4.ts";
import {
  acceptedDelete,
  acceptedWrite,
  demandReference,
  joinOf,
  networkVersions,
  settleWork,
} from "./references.ts";
import { configurationsIn, prefixesOf } from "./subnet-addresses.ts";

const networkType = "Microsoft.Network/virtualNetworks";
const subnetType = `${networkType}/subnets`;

export const virtualNetworks: ResourceType = {
  type: "virtualNetworks",
  apiVersions: networkVersions,
  tracked: true,
  etag: true,
  namePattern: /^[A-Za-z0-9][\w.-]{0,62}\w$/,
  put: putNetwork,
  remove: ({ existing, resources }) => {
    for (const subnet of resources.list(subnetType, existing.id)) checkUnused(resources, subnet);
    return acceptedDelete;
  },
  show: (resource, { resources }) => showNetwork(resource, resources),
  linkedAccess: ({ body }) =>
    objectsAt(objectAt(body, "properties"), "subnets").flatMap((subnet) => subnetLinks(subnet)),
  work: {
    settle: async ({ id, current, resources }) => {
      const state = stringAt(objectAt(current()?.body ?? {}, "properties"), "provisioningState");
      if (state === "Deleting") disconnectPeeringsTo(id, resources);
    },
  },
};

export const subnets: ResourceType = {
  type: "virtualNetworks/subnets",
  apiVersions: networkVersions,
  tracked: false,
  etag: true,
  namePattern: /^[A-Za-z0-9]([\w.-]{0,78}\w)?$/,
  put: (request) => {
    const network = networkOf(request);
    checkSiblingsIdle(request, network);
    const properties = checkSubnet(request, network, {
      name: request.parsedId.names[1] ?? "",
      properties: objectAt(request.body, "properties"),
    });
    return acceptedWrite({ body: { properties } });
  },
  remove: (request) => {
    checkUnused(request.resources, request.existing);
    checkSiblingsIdle(request, networkOf(request));
    return acceptedDelete;
  },
  show: (resource, { resources }) => showSubnet(resource, resources),
  linkedAccess: ({ body }) => subnetLinks(body),
  work: settleWork,
};

function putNetwork(request: PutRequest): ReturnType<typeof acceptedWrite> {
  const { body, resources, id } = request;
  const { subnets: _, ...properties } = objectAt(body, "properties");
  const prefixes = objectAt(properties, "addressSpace")["addressPrefixes"];
  const space = Array.isArray(prefixes) ? prefixes.filter((item) => typeof item === "string") : [];
  if (space.length === 0)
    throw new ArmError(
      400,
      "InvalidRequestFormat",
      "Required property 'addressSpace.addressPrefixes' is missing or empty.",
      { target: "properties.addressSpace" },
    );
  const ranges = space.map((prefix) => demandPrefix(prefix, id));
  const network: NetworkPlan = {
    id,
    name: request.parsedId.names[0] ?? "",
    location: stringAt(body, "location"),
    ranges,
  };
  const wanted =
    objectAt(body, "properties")["subnets"] === undefined
      ? undefined
      : objectsAt(objectAt(body, "properties"), "subnets");
  if (wanted !== undefined) replaceSubnets(request, network, wanted);
  else
    for (const subnet of resources.list(subnetType, id))
      checkInside(network, subnet.name, rangeOf(subnet));
  return acceptedWrite({
    body: { ...body, properties: { ...properties, resourceGuid: guidOf(request) } },
  });
}

interface NetworkPlan {
  readonly id: string;
  readonly name: string;
  readonly location: string | undefined;
  readonly ranges: readonly AddressRange[];
}

/** All checks come before the first change. */
function replaceSubnets(
  request: PutRequest,
  network: NetworkPlan,
  wanted: readonly JsonObject[],
): void {
  const { resources } = request;
  const names = wanted.map((subnet) => stringAt(subnet, "name") ?? "");
  const removed = resources
    .list(subnetType, network.id)
    .filter(({ name }) => !names.some((item) => idKey(item) === idKey(name)));
  for (const subnet of removed) checkUnused(resources, subnet);
  const seen: { name: string; range: AddressRange }[] = [];
  const checked = wanted.map((subnet, index) => {
    const name = names[index] ?? "";
    const properties = checkSubnet(request, network, {
      name,
      properties: objectAt(subnet, "properties"),
      alone: true,
    });
    const range = demandPrefix(prefixesOf(properties, "addressPrefix")[0] ?? "", name);
    if (seen.some((other) => overlaps(other.range, range))) throw overlapError(network, name);
    seen.push({ name, range });
    return { id: `${network.id}/subnets/${name}`, properties };
  });
  for (const subnet of removed) resources.delete(subnet.id);
  for (const { id, properties } of checked)
    resources.put(id, { body: { properties: { ...properties, provisioningState: "Succeeded" } } });
}

/** Properties of a subnet after all checks. `alone`: the siblings are replaced too and not compared. */
function checkSubnet(
  request: RequestContext,
  network: NetworkPlan,
  subnet: { name: string; properties: JsonObject; alone?: boolean },
): JsonObject {
  const { resources } = request;
  const { name, properties } = subnet;
  const id = `${network.id}/subnets/${name}`;
  const [prefix] = prefixesOf(properties, "addressPrefix");
  if (prefix === undefined || name === "")
    throw new ArmError(
      400,
      "InvalidRequestFormat",
      `Required property 'addressPrefix' of subnet '${name}' is missing.`,
      { target: "properties.addressPrefix" },
    );
  const range = demandPrefix(prefix, id);
  checkInside(network, name, range);
  const existing = resources.get(id);
  const siblings = resources.list(subnetType, network.id).filter((other) => !sameId(other.id, id));
  if (subnet.alone !== true && siblings.some((other) => overlaps(rangeOf(other), range)))
    throw overlapError(network, name);
  const changed = existing !== undefined && rangeOf(existing).first !== range.first;
  if (changed && configurationsIn(resources, id).length > 0)
    throw new ArmError(
      400,
      "InUseSubnetCannotBeUpdated",
      `Subnet ${name} is in use and cannot be updated.`,
    );
  for (const key of ["networkSecurityGroup", "routeTable", "natGateway"]) {
    const reference = referenceAt(properties, key);
    if (reference !== undefined)
      demandReference(resources, { id: reference, from: id, location: network.location });
  }
  return {
    delegations: [],
    privateEndpointNetworkPolicies: "Disabled",
    privateLinkServiceNetworkPolicies: "Enabled",
    ...properties,
  };
}

function networkOf({ parsedId, resources }: RequestContext): NetworkPlan {
  const parent = parentIdOf(parsedId);
  const found = parent === undefined ? undefined : resources.get(formatResourceId(parent));
  if (found === undefined) throw new Error("a subnet is written below an existing network");
  const prefixes = objectAt(objectAt(found.body, "properties"), "addressSpace")["addressPrefixes"];
  const space = Array.isArray(prefixes) ? prefixes.filter((item) => typeof item === "string") : [];
  return {
    id: found.id,
    name: found.name,
    location: stringAt(found.body, "location"),
    ranges: space.map((prefix) => demandPrefix(prefix, found.id)),
  };
}

/** Network takes one change of a virtual network at a time, subnets included. */
function checkSiblingsIdle({ isBusy, resources, id }: RequestContext, network: NetworkPlan): void {
  const others = [network.id, ...resources.list(subnetType, network.id).map((subnet) => subnet.id)];
  const busy = others.find((other) => !sameId(other, id) && isBusy(other));
  if (busy !== undefined)
    throw new ArmError(
      409,
      "AnotherOperationInProgress",
      `Another operation on this or dependent resource is in progress: ${busy}.`,
    );
}

function checkUnused(resources: ResourceStore, subnet: Resource): void {
  const [holder] = configurationsIn(resources, subnet.id);
  if (holder === undefined) return;
  throw new ArmError(
    400,
    "InUseSubnetCannotBeDeleted",
    `Subnet ${subnet.name} is in use by ${holder.id} and cannot be deleted. In order to delete the subnet, delete all the resources within the subnet. See aka.ms/deletesubnet.`,
  );
}

function checkInside(network: NetworkPlan, name: string, range: AddressRange): void {
  if (network.ranges.some((outer) => containsRange(outer, range))) return;
  throw new ArmError(
    400,
    "NetcfgSubnetRangeOutsideVnet",
    `Subnet '${name}' is not valid because its IP address range is outside the IP address range of virtual network '${network.name}'.`,
  );
}

function overlapError(network: NetworkPlan, name: string): ArmError {
  return new ArmError(
    400,
    "NetcfgSubnetRangesOverlap",
    `Subnet '${name}' is not valid because its IP address range overlaps with that of an existing subnet in virtual network '${network.name}'.`,
  );
}

function demandPrefix(prefix: string, owner: string): AddressRange {
  const parsed = parsePrefix(prefix);
  if (parsed !== undefined && parsed.aligned) return parsed.range;
  throw new ArmError(
    400,
    "InvalidCIDRNotation",
    `The address prefix ${prefix} in resource ${owner} has an invalid CIDR notation.`,
  );
}

function rangeOf(subnet: Resource): AddressRange {
  return demandPrefix(
    prefixesOf(objectAt(subnet.body, "properties"), "addressPrefix")[0] ?? "",
    subnet.id,
  );
}

function guidOf({ existing, newGuid }: PutRequest): string {
  const before =
    existing === undefined
      ? undefined
      : stringAt(objectAt(existing.body, "properties"), "resourceGuid");
  return before ?? newGuid();
}

function showNetwork(network: Resource, resources: ResourceStore): JsonObject {
  const shown = resources.list(subnetType, network.id).map((subnet) => ({
    id: subnet.id,
    name: subnet.name,
    type: subnet.type,
    etag: subnet.etag,
    ...showSubnet(subnet, resources),
  }));
  const properties = objectAt(network.body, "properties");
  const virtualNetworkPeerings = resources.list(peeringType, network.id).map((peering) => ({
    id: peering.id,
    name: peering.name,
    type: peering.type,
    etag: peering.etag,
    ...showPeering(peering, resources),
  }));
  return { ...network.body, properties: { ...properties, subnets: shown, virtualNetworkPeerings } };
}

function showSubnet(subnet: Resource, resources: ResourceStore): JsonObject {
  const used = configurationsIn(resources, subnet.id).map(({ id }) => ({ id }));
  const properties = objectAt(subnet.body, "properties");
  return {
    properties: { ...properties, ...(used.length === 0 ? {} : { ipConfigurations: used }) },
  };
}

function subnetLinks(subnet: JsonObject): LinkedAccess[] {
  const properties = objectAt(subnet, "properties");
  return [
    ...joinOf(referenceAt(properties, "networkSecurityGroup"), "networkSecurityGroups"),
    ...joinOf(referenceAt(properties, "routeTable"), "routeTables"),
    ...joinOf(referenceAt(properties, "natGateway"), "natGateways"),
  ];
}
