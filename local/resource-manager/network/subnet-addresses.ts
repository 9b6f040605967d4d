/**
 * Addresses of a subnet. Azure keeps the first four and the last one for itself
 * (https://learn.microsoft.com/azure/virtual-network/virtual-networks-faq); the others belong to
 * IP configurations of network interfaces, which also hold those of private endpoints.
 */
import { ArmError } from "../arm-error.ts";
import { objectAt, objectsAt, referenceAt, stringAt, type JsonObject } from "../json.ts";
import type { Resource, ResourceStore } from "../provider.ts";
import { sameId } from "../resource-id.ts";
import { formatAddress, parseAddress, parsePrefix, type AddressRange } from "./ipv4.ts";

const reservedAtStart = 4;
const reservedAtEnd = 1;

export const interfaceType = "Microsoft.Network/networkInterfaces";

export interface IpConfiguration {
  /** Id of the configuration below its network interface. */
  readonly id: string;
  readonly subnetId: string;
  readonly address: string;
}

/** All IP configurations in one subnet. */
export function configurationsIn(
  resources: ResourceStore,
  subnetId: string,
): readonly IpConfiguration[] {
  return resources.list(interfaceType).flatMap((nic) =>
    ipConfigurationsOf(nic.body).flatMap((configuration) => {
      const properties = objectAt(configuration, "properties");
      const subnet = referenceAt(properties, "subnet");
      if (subnet === undefined || !sameId(subnet, subnetId)) return [];
      const name = stringAt(configuration, "name") ?? "";
      const address = stringAt(properties, "privateIPAddress") ?? "";
      return [{ id: `${nic.id}/ipConfigurations/${name}`, subnetId: subnet, address }];
    }),
  );
}

export function ipConfigurationsOf(body: JsonObject): readonly JsonObject[] {
  return objectsAt(objectAt(body, "properties"), "ipConfigurations");
}

/** The range of a stored subnet. */
function rangeOfSubnet(subnet: Resource): AddressRange {
  const properties = objectAt(subnet.body, "properties");
  const [first] = prefixesOf(properties, "addressPrefix");
  const parsed = first === undefined ? undefined : parsePrefix(first);
  if (parsed === undefined) throw new Error(`subnet ${subnet.id} has no address prefix`);
  return parsed.range;
}

/** `addressPrefix` or `addressPrefixes`. */
export function prefixesOf(properties: JsonObject, key: "addressPrefix"): readonly string[] {
  const one = stringAt(properties, key);
  if (one !== undefined) return [one];
  const many = properties["addressPrefixes"];
  return Array.isArray(many) ? many.filter((item) => typeof item === "string") : [];
}

/** The lowest free address. Throws 400 SubnetIsFull. */
export function allocateAddress(
  resources: ResourceStore,
  subnet: Resource,
  taken: ReadonlySet<string>,
): string {
  const range = rangeOfSubnet(subnet);
  const used = new Set([
    ...taken,
    ...configurationsIn(resources, subnet.id).map(({ address }) => address),
  ]);
  for (let value = range.first + reservedAtStart; value <= range.last - reservedAtEnd; value++) {
    const address = formatAddress(value);
    if (!used.has(address)) return address;
  }
  const [prefix = ""] = prefixesOf(objectAt(subnet.body, "properties"), "addressPrefix");
  throw new ArmError(
    400,
    "SubnetIsFull",
    `Subnet ${subnet.name} with address prefix ${prefix} does not have enough capacity for 1 IP addresses.`,
  );
}

/** Throws 400 when a chosen address lies outside, is reserved or belongs to another configuration. */
export function checkStaticAddress(
  resources: ResourceStore,
  subnet: Resource,
  wanted: { address: string; configurationId: string },
): void {
  const range = rangeOfSubnet(subnet);
  const value = parseAddress(wanted.address);
  const [prefix = ""] = prefixesOf(objectAt(subnet.body, "properties"), "addressPrefix");
  if (value === undefined || value < range.first || value > range.last)
    throw new ArmError(
      400,
      "PrivateIPAddressNotInSubnet",
      `Private static IP address ${wanted.address} does not belong to the range of subnet prefix ${prefix}.`,
    );
  if (value < range.first + reservedAtStart || value > range.last - reservedAtEnd)
    throw new ArmError(
      400,
      "PrivateIPAddressInReservedRange",
      `Private static IP address ${wanted.address} falls within reserved IP range of subnet prefix ${prefix}.`,
    );
  const holder = configurationsIn(resources, subnet.id).find(
    ({ address, id }) => address === wanted.address && !sameId(id, wanted.configurationId),
  );
  if (holder !== undefined)
    throw new ArmError(
      400,
      "PrivateIPAddressInUse",
      `IP configuration ${wanted.configurationId} is using the private IP address ${wanted.address} which is already allocated to resource ${holder.id}.`,
    );
}
