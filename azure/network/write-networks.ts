import type {
  NetworkSecurityGroup,
  SecurityRule as AzureRule,
  Subnet,
  VirtualNetwork,
  VirtualNetworkPeering,
} from "@azure/arm-network";
import type { NetworkRequest, RegionPort, SecurityRule } from "#core/ports/region.ts";
import { callAzure, readAzure } from "../errors.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";

type NetworkWrites = Pick<
  RegionPort,
  "startSecurityGroup" | "startNetwork" | "startSubnet" | "startPeering" | "startDeletePeering"
>;

export function createNetworkWrites(clientsOf: ClientsOf): NetworkWrites {
  const parts = (id: string) => {
    const { subscriptionId, resourceGroup, names } = parseResourceId(id);
    const [name, child = ""] = names;
    return { network: clientsOf(subscriptionId).network, resourceGroup, name, child };
  };
  return {
    async startSecurityGroup({ securityGroupId, location, rules, tags }) {
      const { network, resourceGroup, name } = parts(securityGroupId);
      const body: NetworkSecurityGroup = {
        location,
        tags: { ...tags },
        securityRules: rules.map(ruleBody),
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

function ruleBody({ sources, destinations, ports, ...rule }: SecurityRule): AzureRule {
  const [source = "*"] = sources;
  const [destination = "*"] = destinations;
  const [port = "*"] = ports;
  return {
    ...rule,
    sourcePortRange: "*",
    ...(sources.length > 1
      ? { sourceAddressPrefixes: [...sources] }
      : { sourceAddressPrefix: source }),
    ...(destinations.length > 1
      ? { destinationAddressPrefixes: [...destinations] }
      : { destinationAddressPrefix: destination }),
    ...(ports.length > 1 ? { destinationPortRanges: [...ports] } : { destinationPortRange: port }),
  };
}

function subnetBody(request: Omit<NetworkRequest, "location" | "tags">): Subnet {
  return {
    addressPrefix: request.addressPrefix,
    networkSecurityGroup: { id: request.securityGroupId },
    // Said explicitly: whether it is the default depends on the API version.
    defaultOutboundAccess: false,
    // The group's rules are for workers; endpoints in the subnet are reached from the hub, too.
    privateEndpointNetworkPolicies: "Disabled",
  };
}
