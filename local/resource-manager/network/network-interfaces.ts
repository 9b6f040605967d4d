import { ArmError } from "../arm-error.ts";
import { objectAt, referenceAt, stringAt, type JsonObject, type JsonValue } from "../json.ts";
import type { LinkedAccess, PutRequest, Resource, ResourceType } from "../provider.ts";
import { attachedVmOf } from "./attachment.ts";
import {
  acceptedDelete,
  acceptedWrite,
  demandReference,
  joinOf,
  networkVersions,
  settleWork,
} from "./references.ts";
import { allocateAddress, checkStaticAddress, ipConfigurationsOf } from "./subnet-addresses.ts";

/** https://learn.microsoft.com/rest/api/virtualnetwork/network-interfaces */
export const networkInterfaces: ResourceType = {
  type: "networkInterfaces",
  apiVersions: networkVersions,
  tracked: true,
  etag: true,
  put: putInterface,
  remove: ({ existing }) => {
    const user = attachedVmOf(existing) ?? stringAt(existing.internal, "privateEndpointId");
    if (user !== undefined)
      throw new ArmError(
        400,
        "NicInUse",
        `Network Interface ${existing.id} is used by existing resource ${user}. In order to delete the network interface, it must be dissociated from the resource. To learn more, see aka.ms/deletenic.`,
      );
    return acceptedDelete;
  },
  show: showInterface,
  linkedAccess: ({ body }) => interfaceLinks(body),
  work: settleWork,
};

function putInterface(request: PutRequest): ReturnType<typeof acceptedWrite> {
  const { id, body, existing, newGuid } = request;
  const configurations = ipConfigurationsOf(body);
  if (configurations.length === 0)
    throw new ArmError(
      400,
      "NetworkInterfaceMustHaveAtLeastOneIPConfiguration",
      `Network interface ${id} must have at least one IP configuration.`,
    );
  const location = stringAt(body, "location");
  const properties = objectAt(body, "properties");
  const group = referenceAt(properties, "networkSecurityGroup");
  if (group !== undefined) demandReference(request.resources, { id: group, from: id, location });
  const taken = new Set<string>();
  const ipConfigurations = configurations.map((configuration, index) => {
    const placed = placeConfiguration(request, configuration, { index, taken });
    const address = stringAt(objectAt(placed, "properties"), "privateIPAddress");
    if (address !== undefined) taken.add(address);
    return placed;
  });
  const before = existing === undefined ? {} : objectAt(existing.body, "properties");
  const resourceGuid = stringAt(before, "resourceGuid") ?? newGuid();
  const macAddress = stringAt(before, "macAddress") ?? macOf(resourceGuid);
  const { virtualMachine: _, ...kept } = properties;
  return acceptedWrite({
    body: { ...body, properties: { ...kept, ipConfigurations, resourceGuid, macAddress } },
  });
}

/** A configuration with its address: the one it had, the one it asks for, or the next free one. */
function placeConfiguration(
  request: PutRequest,
  configuration: JsonObject,
  place: { index: number; taken: ReadonlySet<string> },
): JsonObject {
  const { id, resources, existing, body } = request;
  const name = stringAt(configuration, "name") ?? "";
  const properties = objectAt(configuration, "properties");
  const subnetId = referenceAt(properties, "subnet");
  if (name === "" || subnetId === undefined)
    throw new ArmError(
      400,
      "InvalidRequestFormat",
      `IP configuration '${name}' of ${id} needs a name and a subnet.`,
      { target: "properties.ipConfigurations" },
    );
  const subnet = demandReference(resources, {
    id: subnetId,
    from: id,
    location: stringAt(body, "location"),
  });
  const configurationId = `${id}/ipConfigurations/${name}`;
  const asked = stringAt(properties, "privateIPAddress");
  const isStatic = stringAt(properties, "privateIPAllocationMethod") === "Static";
  if (isStatic && asked === undefined)
    throw new ArmError(
      400,
      "PrivateIPAddressMissing",
      `IP configuration ${configurationId} has the allocation method Static but no private IP address.`,
    );
  const before = existing === undefined ? undefined : addressBefore(existing, name, subnetId);
  if (isStatic && asked !== undefined)
    checkStaticAddress(resources, subnet, { address: asked, configurationId });
  const address = (isStatic ? asked : before) ?? allocateAddress(resources, subnet, place.taken);
  return {
    ...configuration,
    id: configurationId,
    type: "Microsoft.Network/networkInterfaces/ipConfigurations",
    properties: {
      primary: place.index === 0,
      privateIPAddressVersion: "IPv4",
      ...properties,
      privateIPAllocationMethod: isStatic ? "Static" : "Dynamic",
      privateIPAddress: address,
      provisioningState: "Succeeded",
    },
  };
}

function addressBefore(existing: Resource, name: string, subnetId: string): string | undefined {
  const before = ipConfigurationsOf(existing.body).find((item) => stringAt(item, "name") === name);
  if (before === undefined) return undefined;
  const properties = objectAt(before, "properties");
  const sameSubnet = referenceAt(properties, "subnet")?.toLowerCase() === subnetId.toLowerCase();
  return sameSubnet ? stringAt(properties, "privateIPAddress") : undefined;
}

function showInterface(resource: Resource): JsonObject {
  const properties: Record<string, JsonValue> = { ...objectAt(resource.body, "properties") };
  const vm = attachedVmOf(resource);
  const endpoint = stringAt(resource.internal, "privateEndpointId");
  if (vm === undefined) delete properties["macAddress"];
  else properties["virtualMachine"] = { id: vm };
  if (endpoint !== undefined) properties["privateEndpoint"] = { id: endpoint };
  if (vm !== undefined) properties["primary"] = resource.internal["primary"] ?? true;
  return { ...resource.body, properties };
}

/** Azure's own vendor prefix, then three bytes of the interface's guid. */
function macOf(guid: string): string {
  const hex = guid.replaceAll("-", "").slice(0, 6).toUpperCase();
  return `00-0D-3A-${hex.slice(0, 2)}-${hex.slice(2, 4)}-${hex.slice(4, 6)}`;
}

function interfaceLinks(body: JsonObject): LinkedAccess[] {
  const group = referenceAt(objectAt(body, "properties"), "networkSecurityGroup");
  return [
    ...joinOf(group, "networkSecurityGroups"),
    ...ipConfigurationsOf(body).flatMap((configuration) => {
      const properties = objectAt(configuration, "properties");
      return [
        ...joinOf(referenceAt(properties, "subnet"), "virtualNetworks/subnets"),
        ...joinOf(referenceAt(properties, "publicIPAddress"), "publicIPAddresses"),
      ];
    }),
  ];
}
