/** Private DNS zones, their A records and the networks that see them. */
import { ArmError } from "../arm-error.ts";
import { objectAt, objectsAt, referenceAt, stringAt } from "../json.ts";
import type { PutRequest, ResourceType, WriteOutcome } from "../provider.ts";
import { formatResourceId, idKey, parentIdOf, sameId } from "../resource-id.ts";
import { parseAddress } from "./ipv4.ts";
import {
  acceptedDelete,
  acceptedWrite,
  demandReference,
  joinOf,
  settleWork,
} from "./references.ts";

const dnsVersions = ["2018-09-01", "2020-06-01", "2024-06-01"];
const linkType = "Microsoft.Network/privateDnsZones/virtualNetworkLinks";

export const privateDnsZones: ResourceType = {
  type: "privateDnsZones",
  apiVersions: dnsVersions,
  tracked: true,
  etag: true,
  namePattern: /^(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})+$/,
  put: ({ body, resources, id }) => {
    if (stringAt(body, "location") !== "global")
      throw new ArmError(
        400,
        "LocationNotAvailableForResourceType",
        "The provided location is not available for resource type 'Microsoft.Network/privateDnsZones'. List of available regions for the resource type is 'global'.",
      );
    const numberOfRecordSets = resources.list("Microsoft.Network/privateDnsZones/A", id).length + 1;
    return acceptedWrite({ body: { ...body, properties: { numberOfRecordSets } } });
  },
  remove: ({ resources, existing }) => {
    if (resources.list(linkType, existing.id).length > 0)
      throw new ArmError(
        409,
        "CannotDeleteResource",
        `Cannot delete resource while nested resources exist. Some existing nested resource IDs include: '${linkType}'. Please delete all nested resources before deleting this resource.`,
      );
    return acceptedDelete;
  },
  show: (zone, { resources }) => ({
    ...zone.body,
    properties: {
      ...objectAt(zone.body, "properties"),
      // The SOA record counts too.
      numberOfRecordSets: resources.list("Microsoft.Network/privateDnsZones/A", zone.id).length + 1,
      numberOfVirtualNetworkLinks: resources.list(linkType, zone.id).length,
    },
  }),
  work: settleWork,
};

export const addressRecords: ResourceType = {
  type: "privateDnsZones/A",
  apiVersions: dnsVersions,
  tracked: false,
  etag: true,
  hasProvisioningState: false,
  namePattern: /^(@|[\w*-]+(\.[\w-]+)*)$/,
  put: putRecord,
  remove: () => ({ kind: "deleted" }),
};

export const virtualNetworkLinks: ResourceType = {
  type: "privateDnsZones/virtualNetworkLinks",
  apiVersions: dnsVersions,
  tracked: true,
  etag: true,
  put: putLink,
  remove: () => acceptedDelete,
  linkedAccess: ({ body }) =>
    joinOf(referenceAt(objectAt(body, "properties"), "virtualNetwork"), "virtualNetworks"),
  work: settleWork,
};

function putRecord({ body, parsedId }: PutRequest): WriteOutcome {
  const properties = objectAt(body, "properties");
  const records = objectsAt(properties, "aRecords");
  const ttl = Number(properties["ttl"] ?? properties["TTL"]);
  const valid = records.every(
    (record) => parseAddress(stringAt(record, "ipv4Address") ?? "") !== undefined,
  );
  if (!valid || records.length === 0 || !Number.isInteger(ttl))
    throw new ArmError(400, "BadRequest", "The record set needs a ttl and valid aRecords.", {
      target: "properties.aRecords",
    });
  const [zone = "", name = ""] = parsedId.names;
  const fqdn = `${name}.${zone}.`;
  return {
    kind: "stored",
    content: { body: { properties: { ttl, fqdn, aRecords: records, isAutoRegistered: false } } },
  };
}

function putLink(request: PutRequest): WriteOutcome {
  const { body, id, parsedId, resources } = request;
  const networkId = referenceAt(objectAt(body, "properties"), "virtualNetwork");
  if (networkId === undefined)
    throw new ArmError(400, "BadRequest", "The virtual network link needs a virtualNetwork.", {
      target: "properties.virtualNetwork",
    });
  demandReference(resources, { id: networkId, from: id });
  const zone = parsedId.names[0] ?? "";
  const parent = parentIdOf(parsedId);
  const clash = resources.list(linkType).find((link) => {
    const linked = referenceAt(objectAt(link.body, "properties"), "virtualNetwork") ?? "";
    const otherZone = link.id.split("/").at(-3) ?? "";
    return !sameId(link.id, id) && sameId(linked, networkId) && idKey(otherZone) === idKey(zone);
  });
  if (clash !== undefined)
    throw new ArmError(
      400,
      "BadRequest",
      `A virtual network cannot be linked to multiple zones with overlapping namespaces. You tried to link virtual network with '${zone}' (${parent === undefined ? "" : formatResourceId(parent)}) and it is linked by ${clash.id}.`,
    );
  const properties = {
    registrationEnabled: false,
    ...objectAt(body, "properties"),
    virtualNetworkLinkState: "Completed",
  };
  return acceptedWrite({ body: { ...body, properties } });
}
