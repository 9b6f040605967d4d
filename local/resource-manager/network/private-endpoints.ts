/**
 * A private endpoint takes an address in a subnet for another resource, its *target*. Who may
 * approve connections on the target gets an approved one at once; `manual` connections wait.
 * https://learn.microsoft.com/rest/api/virtualnetwork/private-endpoints
 */
import { ArmError } from "../arm-error.ts";
import {
  objectAt,
  objectsAt,
  referenceAt,
  stringAt,
  type JsonObject,
  type JsonValue,
} from "../json.ts";
import { connect, connectionOfEndpoint, connectionStatus, disconnect } from "../private-link.ts";
import type {
  AccessRequest,
  LinkedAccess,
  PutRequest,
  Resource,
  ResourceStore,
  ResourceType,
  WorkContext,
} from "../provider.ts";
import { fullTypeOf, parseResourceId, sameId } from "../resource-id.ts";
import { removeEndpointRecords } from "./endpoint-records.ts";
import {
  demandReference,
  joinOf,
  networkVersions,
  acceptedWrite,
  acceptedDelete,
} from "./references.ts";
import { allocateAddress, ipConfigurationsOf } from "./subnet-addresses.ts";

export const privateEndpoints: ResourceType = {
  type: "privateEndpoints",
  apiVersions: networkVersions,
  tracked: true,
  etag: true,
  put: putEndpoint,
  remove: () => acceptedDelete,
  show: (resource, { resources }) => showEndpoint(resource, resources),
  linkedAccess: endpointLinks,
  work: {
    // `settle` is the name of the work of every accepted write of this provider.
    settle: async (context) => {
      const endpoint = context.current();
      if (endpoint === undefined) return;
      const state = stringAt(objectAt(endpoint.body, "properties"), "provisioningState");
      if (state === "Deleting") removeTraces(context, endpoint);
    },
  },
};

interface LinkConnection {
  readonly name: string;
  readonly targetId: string;
  readonly groupIds: readonly string[];
  readonly requestMessage: string;
  readonly manual: boolean;
}

/** The one connection of an endpoint's body, or undefined. */
export function connectionOfBody(body: JsonObject): LinkConnection | undefined {
  const properties = objectAt(body, "properties");
  for (const key of ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"]) {
    const [connection] = objectsAt(properties, key);
    if (connection === undefined) continue;
    const details = objectAt(connection, "properties");
    const groupIds = details["groupIds"];
    return {
      name: stringAt(connection, "name") ?? "",
      targetId: stringAt(details, "privateLinkServiceId") ?? "",
      groupIds: Array.isArray(groupIds) ? groupIds.filter((item) => typeof item === "string") : [],
      requestMessage: stringAt(details, "requestMessage") ?? "",
      manual: key.startsWith("manual"),
    };
  }
  return undefined;
}

function putEndpoint(request: PutRequest): ReturnType<typeof acceptedWrite> {
  const { id, body, existing, resources } = request;
  const properties = objectAt(body, "properties");
  const subnetId = referenceAt(properties, "subnet");
  const connection = connectionOfBody(body);
  if (subnetId === undefined || connection === undefined)
    throw new ArmError(
      400,
      "InvalidRequestFormat",
      `Private endpoint ${id} needs a subnet and one private link service connection.`,
    );
  const location = stringAt(body, "location");
  const subnet = demandReference(resources, { id: subnetId, from: id, location });
  const target = checkTarget(request, connection);
  if (
    existing !== undefined &&
    connectionOfBody(existing.body)?.targetId.toLowerCase() !== connection.targetId.toLowerCase()
  )
    throw new ArmError(
      400,
      "PrivateEndpointPrivateLinkServiceConnectionCannotBeChanged",
      `The private link service of private endpoint ${id} cannot be changed.`,
    );
  checkSubnetKept(existing, subnet.id);
  const nicId = nicOf(existing) ?? makeInterface(request, subnet);
  connect(
    resources,
    {
      targetId: target.id,
      endpointId: id,
      status: connection.manual ? "Pending" : "Approved",
      requestMessage: connection.requestMessage,
    },
    request.newGuid,
  );
  return acceptedWrite({
    body: { ...body, properties: { ...properties, subnet: { id: subnet.id } } },
    internal: { nicId },
  });
}

/** Its address stays where it is. Code seen: pulumi/pulumi-azure-native#3883; the text is assumed. */
function checkSubnetKept(existing: Resource | undefined, subnetId: string): void {
  const before = referenceAt(objectAt(existing?.body ?? {}, "properties"), "subnet");
  if (existing === undefined || before === undefined || sameId(before, subnetId)) return;
  throw new ArmError(
    400,
    "CannotChangeSubnetOnExistingPrivateEndpoint",
    `Cannot change the subnet of existing private endpoint ${existing.id} from ${before} to ${subnetId}.`,
  );
}

function checkTarget(request: PutRequest, connection: LinkConnection): Resource {
  const { resources, id, privateLinkOf } = request;
  const parsed = parseResourceId(connection.targetId);
  const link = parsed === undefined ? undefined : privateLinkOf(fullTypeOf(parsed));
  const target = resources.get(connection.targetId);
  if (link === undefined || target === undefined)
    throw new ArmError(
      400,
      "InvalidResourceReference",
      `Resource ${connection.targetId} referenced by resource ${id} was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.`,
    );
  const wrong = connection.groupIds.find((group) => !link.groupIds.includes(group));
  if (wrong !== undefined || connection.groupIds.length !== 1)
    throw new ArmError(
      400,
      "InvalidPrivateLinkServiceGroupId",
      `The group ids '${connection.groupIds.join(",")}' are invalid for ${connection.targetId}. Exactly one of '${link.groupIds.join(",")}' is expected.`,
      { target: "groupIds" },
    );
  if (connectionOfEndpoint(resources, target.id, id) !== undefined) return target;
  const refusal = link.checkConnection?.(target, resources);
  if (refusal !== undefined) throw refusal;
  return target;
}

/** The endpoint's network interface: it holds the address and cannot be deleted on its own. */
function makeInterface(request: PutRequest, subnet: Resource): string {
  const { id, parsedId, resources, body, newGuid } = request;
  const name =
    stringAt(objectAt(body, "properties"), "customNetworkInterfaceName") ??
    `${parsedId.names[0] ?? ""}.nic.${newGuid()}`;
  const nicId = `${id.slice(0, id.toLowerCase().indexOf("/providers/"))}/providers/Microsoft.Network/networkInterfaces/${name}`;
  if (resources.get(nicId) !== undefined)
    throw new ArmError(400, "NicInUse", `Network Interface ${nicId} exists already.`);
  const configuration = {
    name: "privateEndpointIpConfig",
    id: `${nicId}/ipConfigurations/privateEndpointIpConfig`,
    type: "Microsoft.Network/networkInterfaces/ipConfigurations",
    properties: {
      primary: true,
      privateIPAddress: allocateAddress(resources, subnet, new Set()),
      privateIPAddressVersion: "IPv4",
      privateIPAllocationMethod: "Dynamic",
      provisioningState: "Succeeded",
      subnet: { id: subnet.id },
    },
  };
  resources.put(nicId, {
    body: {
      location: stringAt(body, "location") ?? "",
      properties: { provisioningState: "Succeeded", ipConfigurations: [configuration] },
    },
    internal: { privateEndpointId: id },
  });
  return nicId;
}

function nicOf(endpoint: Resource | undefined): string | undefined {
  return endpoint === undefined ? undefined : stringAt(endpoint.internal, "nicId");
}

/** The private address of an endpoint. */
export function addressOf(endpoint: Resource, resources: ResourceStore): string | undefined {
  const nic = resources.get(nicOf(endpoint) ?? "");
  const [configuration] = nic === undefined ? [] : ipConfigurationsOf(nic.body);
  return configuration === undefined
    ? undefined
    : stringAt(objectAt(configuration, "properties"), "privateIPAddress");
}

function removeTraces({ resources }: WorkContext, endpoint: Resource): void {
  removeEndpointRecords(resources, endpoint.id);
  const connection = connectionOfBody(endpoint.body);
  if (connection !== undefined) disconnect(resources, connection.targetId, endpoint.id);
  const nicId = nicOf(endpoint);
  if (nicId !== undefined) resources.delete(nicId);
}

function showEndpoint(endpoint: Resource, resources: ResourceStore): JsonObject {
  const properties: Record<string, JsonValue> = { ...objectAt(endpoint.body, "properties") };
  const nicId = nicOf(endpoint);
  const connection = connectionOfBody(endpoint.body);
  if (nicId !== undefined) properties["networkInterfaces"] = [{ id: nicId }];
  if (connection === undefined) return { ...endpoint.body, properties };
  const stored = connectionOfEndpoint(resources, connection.targetId, endpoint.id);
  const status = stored === undefined ? "Disconnected" : connectionStatus(stored);
  const shown: JsonObject = {
    name: connection.name,
    id: `${endpoint.id}/privateLinkServiceConnections/${connection.name}`,
    properties: {
      provisioningState: "Succeeded",
      privateLinkServiceId: connection.targetId,
      groupIds: connection.groupIds,
      privateLinkServiceConnectionState: { status, description: "", actionsRequired: "None" },
    },
  };
  properties["privateLinkServiceConnections"] = connection.manual ? [] : [shown];
  properties["manualPrivateLinkServiceConnections"] = connection.manual ? [shown] : [];
  return { ...endpoint.body, properties };
}

function endpointLinks({ body }: AccessRequest): LinkedAccess[] {
  const links = joinOf(
    referenceAt(objectAt(body, "properties"), "subnet"),
    "virtualNetworks/subnets",
  );
  const connection = connectionOfBody(body);
  const parsed = connection === undefined ? undefined : parseResourceId(connection.targetId);
  if (connection === undefined || parsed === undefined || connection.manual) return links;
  const action = `${fullTypeOf(parsed)}/privateEndpointConnectionsApproval/action`;
  return [...links, { id: connection.targetId, action }];
}
