/**
 * A DNS zone group keeps the A records of a private endpoint in private DNS zones: made with the
 * group, removed with it or with the endpoint.
 */
import { ArmError } from "../arm-error.ts";
import { objectAt, objectsAt, stringAt, type JsonObject } from "../json.ts";
import type { PutRequest, Resource, ResourceStore, ResourceType } from "../provider.ts";
import {
  formatResourceId,
  fullTypeOf,
  idKey,
  nameOf,
  parentIdOf,
  parseResourceId,
} from "../resource-id.ts";
import { removeEndpointRecords } from "./endpoint-records.ts";
import { addressOf, connectionOfBody } from "./private-endpoints.ts";
import { privateNameOf } from "./private-names.ts";
import { acceptedDelete, acceptedWrite, demandReference, networkVersions } from "./references.ts";

const zoneGroupType = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups";
const recordTtlSeconds = 10;

export const privateDnsZoneGroups: ResourceType = {
  type: "privateEndpoints/privateDnsZoneGroups",
  apiVersions: networkVersions,
  tracked: false,
  etag: true,
  put: putZoneGroup,
  remove: () => acceptedDelete,
  linkedAccess: ({ body }) =>
    zoneIdsOf(body).map((id) => ({ id, action: "Microsoft.Network/privateDnsZones/join/action" })),
  work: {
    settle: async ({ current, resources }) => {
      const group = current();
      if (group === undefined) return;
      const state = stringAt(objectAt(group.body, "properties"), "provisioningState");
      if (state === "Deleting") removeRecords(resources, group);
    },
  },
};

function putZoneGroup(request: PutRequest): ReturnType<typeof acceptedWrite> {
  const { id, parsedId, resources, body, existing } = request;
  const parent = parentIdOf(parsedId);
  const endpoint = parent === undefined ? undefined : resources.get(formatResourceId(parent));
  if (endpoint === undefined) throw new Error("a zone group is written below an existing endpoint");
  const others = resources
    .list(zoneGroupType, endpoint.id)
    .filter((other) => idKey(other.id) !== idKey(id));
  if (others.length > 0)
    throw new ArmError(
      400,
      "PrivateDnsZoneGroupLimitReached",
      `Private endpoint ${endpoint.id} has a private DNS zone group already.`,
    );
  const configurations = objectsAt(objectAt(body, "properties"), "privateDnsZoneConfigs");
  for (const zoneId of zoneIdsOf(body)) demandReference(resources, { id: zoneId, from: id });
  if (existing !== undefined) removeRecords(resources, existing);
  const privateDnsZoneConfigs = configurations.map((configuration) => ({
    ...configuration,
    properties: {
      ...objectAt(configuration, "properties"),
      recordSets: writeRecords(request, endpoint, zoneIdOf(configuration)),
    },
  }));
  return acceptedWrite({ body: { properties: { privateDnsZoneConfigs } } });
}

/** Writes the records of an endpoint's host names that fall into one zone. */
function writeRecords(request: PutRequest, endpoint: Resource, zoneId: string): JsonObject[] {
  const { resources } = request;
  const address = addressOf(endpoint, resources);
  if (address === undefined) return [];
  const suffix = `.${nameOf(zoneId)}`;
  return hostNamesOf(request, endpoint).flatMap((host) => {
    const name = privateNameOf(host);
    if (!name.toLowerCase().endsWith(suffix.toLowerCase())) return [];
    const label = name.slice(0, -suffix.length);
    const zone = resources.get(zoneId);
    resources.put(`${zone?.id ?? zoneId}/A/${label}`, {
      body: {
        properties: {
          ttl: recordTtlSeconds,
          fqdn: `${label}.${nameOf(zoneId)}.`,
          aRecords: [{ ipv4Address: address }],
          isAutoRegistered: false,
        },
      },
      internal: { privateEndpointId: endpoint.id },
    });
    return [
      {
        recordType: "A",
        recordSetName: label,
        fqdn: `${label}.${nameOf(zoneId)}`,
        ttl: recordTtlSeconds,
        ipAddresses: [address],
        provisioningState: "Succeeded",
      },
    ];
  });
}

function hostNamesOf(
  { resources, privateLinkOf }: PutRequest,
  endpoint: Resource,
): readonly string[] {
  const connection = connectionOfBody(endpoint.body);
  const target = connection === undefined ? undefined : resources.get(connection.targetId);
  const parsed = target === undefined ? undefined : parseResourceId(target.id);
  if (connection === undefined || target === undefined || parsed === undefined) return [];
  const link = privateLinkOf(fullTypeOf(parsed));
  return connection.groupIds.flatMap((group) => link?.hostNames?.(target, group) ?? []);
}

function removeRecords(resources: ResourceStore, group: Resource): void {
  const parsed = parseResourceId(group.id);
  const parent = parsed === undefined ? undefined : parentIdOf(parsed);
  if (parent !== undefined) removeEndpointRecords(resources, formatResourceId(parent));
}

function zoneIdOf(configuration: JsonObject): string {
  return stringAt(objectAt(configuration, "properties"), "privateDnsZoneId") ?? "";
}

function zoneIdsOf(body: JsonObject): readonly string[] {
  return objectsAt(objectAt(body, "properties"), "privateDnsZoneConfigs").map(zoneIdOf);
}
