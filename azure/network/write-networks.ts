import type {
  NetworkSecurityGroup,
  SecurityRule,
  Subnet,
  VirtualNetwork,
  VirtualNetworkPeering,
} from "@azure/arm-network";
import type { NetworkRequest, RegionPort } from "#core/ports/region.ts";
import { callAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";

type NetworkWrites = Pick<
  RegionPort,
  "startSecurityGroup" | "startNetwork" | "startSubnet" | "startPeering" | "startDeletePeering"
>;

/** After all rules that an operator may add by hand, before those of Azure. */
const LAST_PRIORITY = 4096;

export function createNetworkWrites(clientsOf: ClientsOf): NetworkWrites {
  const parts = (id: string) => {
    const { subscriptionId, resourceGroup, names } = parseResourceId(id);
    const [name, child = ""] = names;
    return { network: clientsOf(subscriptionId).network, resourceGroup, name, child };
  };
  return {
    async startSecurityGroup(securityGroupId, location, tags) {
      const { network, resourceGroup, name } = parts(securityGroupId);
      const body: NetworkSecurityGroup = {
        location,
        tags: { ...tags },
        securityRules: [denyInternet],
      };
      await callAzure(`create security group ${securityGroupId}`, () =>
        submit(() => network.networkSecurityGroups.createOrUpdate(resourceGroup, name, body)),
      );
    },

    async startNetwork(request) {
      const { network, resourceGroup, name } = parts(request.networkId);
      const body: VirtualNetwork = {
        location: request.location,
        tags: { ...request.tags },
        addressSpace: { addressPrefixes: [request.addressPrefix] },
        subnets: [{ name: request.subnetName, ...subnetBody(request) }],
      };
      await callAzure(`create virtual network ${request.networkId}`, () =>
        submit(() => network.virtualNetworks.createOrUpdate(resourceGroup, name, body)),
      );
    },

    async startSubnet(request) {
      const { network, resourceGroup, name } = parts(request.networkId);
      const { subnetName } = request;
      await callAzure(`create subnet ${subnetName} of ${request.networkId}`, () =>
        submit(() =>
          network.subnets.createOrUpdate(resourceGroup, name, subnetName, subnetBody(request)),
        ),
      );
    },

    async startPeering(peeringId, remoteNetworkId) {
      const { network, resourceGroup, name, child } = parts(peeringId);
      const body: VirtualNetworkPeering = {
        remoteVirtualNetwork: { id: remoteNetworkId },
        allowVirtualNetworkAccess: true,
        allowForwardedTraffic: false,
        allowGatewayTransit: false,
        useRemoteGateways: false,
      };
      await callAzure(`create peering ${peeringId}`, () =>
        submit(() =>
          network.virtualNetworkPeerings.createOrUpdate(resourceGroup, name, child, body),
        ),
      );
    },

    async startDeletePeering(peeringId) {
      const { network, resourceGroup, name, child } = parts(peeringId);
      await readAzure(`delete peering ${peeringId}`, () =>
        submit(() => network.virtualNetworkPeerings.delete(resourceGroup, name, child)),
      );
    },
  };
}

/**
 * All that Azure's own rules do not refuse already: they let the virtual network and what is peered
 * with it talk, and keep others out. Name server, metadata and host agent at 168.63.129.16 and
 * 169.254.169.254 are reached whatever the rules say (network-security-groups-overview).
 */
const denyInternet: SecurityRule = {
  name: "holdfast-no-internet",
  description: "Workers reach private endpoints only.",
  priority: LAST_PRIORITY,
  direction: "Outbound",
  access: "Deny",
  protocol: "*",
  sourceAddressPrefix: "*",
  sourcePortRange: "*",
  destinationAddressPrefix: "Internet",
  destinationPortRange: "*",
};

function subnetBody(request: Omit<NetworkRequest, "location" | "tags">): Subnet {
  return {
    addressPrefix: request.addressPrefix,
    networkSecurityGroup: { id: request.securityGroupId },
    // Said explicitly: whether it is the default depends on the API version.
    defaultOutboundAccess: false,
  };
}
