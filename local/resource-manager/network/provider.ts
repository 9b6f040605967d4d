/**
 * Microsoft.Network: *virtual networks* hold *subnets*; a subnet's addresses belong to *network
 * interfaces*, of VMs or of *private endpoints*. Nothing that is in use can be deleted.
 */
import type { ResourceProvider } from "../provider.ts";
import { networkInterfaces } from "./network-interfaces.ts";
import { networkSecurityGroups } from "./network-security-groups.ts";
import { virtualNetworkPeerings } from "./peerings.ts";
import { addressRecords, privateDnsZones, virtualNetworkLinks } from "./private-dns.ts";
import { privateDnsZoneGroups } from "./private-dns-zone-groups.ts";
import { privateEndpoints } from "./private-endpoints.ts";
import { networkVersions } from "./references.ts";
import { routeTables } from "./route-tables.ts";
import { subnets, virtualNetworks } from "./virtual-networks.ts";

export const networkProvider: ResourceProvider = {
  namespace: "Microsoft.Network",
  types: [
    virtualNetworks,
    subnets,
    virtualNetworkPeerings,
    networkSecurityGroups,
    routeTables,
    networkInterfaces,
    privateEndpoints,
    privateDnsZoneGroups,
    privateDnsZones,
    addressRecords,
    virtualNetworkLinks,
    // Listed by inventories; this cloud has none, because workers and VMs here have no public side.
    { type: "publicIPAddresses", apiVersions: networkVersions, tracked: true, etag: true },
  ],
};
