import type {
  NetworkSecurityGroup,
  SecurityRule as AzureRule,
  Subnet,
  VirtualNetwork,
  VirtualNetworkPeering,
} from "@azure/arm-network";
import type {
  NetworkRequest,
  PeeringState,
  RegionPort,
  SecurityRule,
  SubnetState,
} from "#core/ports/region.ts";
import { provisioningOf } from "../compute/provisioning.ts";
import { callAzure, readAzure } from "../errors.ts";
import { normalLocation } from "../location.ts";
import { parseResourceId } from "../resource-id.ts";
import { submit, type ClientsOf } from "../resource-manager.ts";

type NetworkCalls = Pick<
  RegionPort,
  | "readSecurityGroup"
  | "readRoutes"
  | "readNetwork"
  | "startSecurityGroup"
  | "startNetwork"
  | "startSubnet"
  | "startPeering"
  | "startDeletePeering"
>;

/** After all rules that an operator may add by hand, before those of Azure. */
const LAST_PRIORITY = 4096;

export function createVirtualNetworks(clientsOf: ClientsOf): NetworkCalls {
  const parts = (id: string) => {
    const { subscriptionId, resourceGroup, names } = parseResourceId(id);
    const [, child = ""] = names;
    return { network: clientsOf(subscriptionId).network, resourceGroup, name: names[0], child };
  };
  return {
    async readSecurityGroup(securityGroupId) {
      const { network, resourceGroup, name } = parts(securityGroupId);
      const group = await readAzure(`read security group ${securityGroupId}`, () =>
        network.networkSecurityGroups.get(resourceGroup, name),
      );
      if (group === undefined) return undefined;
      return {
        securityGroupId,
        provisioning: provisioningOf(group.provisioningState),
        rules: (group.securityRules ?? []).map(ruleOf),
      };
    },

    async readRoutes(routeTableId) {
      const { network, resourceGroup, name } = parts(routeTableId);
      const table = await readAzure(`read route table ${routeTableId}`, () =>
        network.routeTables.get(resourceGroup, name),
      );
      return table?.routes?.map((route) => ({
        name: route.name ?? "",
        addressPrefix: route.addressPrefix ?? "",
        nextHopType: route.nextHopType ?? "",
      }));
    },

    async readNetwork(networkId) {
      const { network, resourceGroup, name } = parts(networkId);
      const found = await readAzure(`read virtual network ${networkId}`, () =>
        network.virtualNetworks.get(resourceGroup, name),
      );
      return found === undefined ? undefined : networkOf(networkId, found);
    },

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
const denyInternet: AzureRule = {
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

function networkOf(networkId: string, network: VirtualNetwork) {
  return {
    networkId,
    location: normalLocation(network.location ?? ""),
    addressPrefixes: network.addressSpace?.addressPrefixes ?? [],
    provisioning: provisioningOf(network.provisioningState),
    subnets: (network.subnets ?? []).map(subnetOf),
    peerings: (network.virtualNetworkPeerings ?? []).map(peeringOf),
  };
}

function subnetOf(subnet: Subnet): SubnetState {
  const policies = subnet.privateEndpointNetworkPolicies ?? "Disabled";
  return {
    subnetId: subnet.id ?? "",
    addressPrefix: subnet.addressPrefix ?? subnet.addressPrefixes?.[0] ?? "",
    provisioning: provisioningOf(subnet.provisioningState),
    defaultOutboundAccess: subnet.defaultOutboundAccess ?? true,
    securityGroupId: subnet.networkSecurityGroup?.id,
    routeTableId: subnet.routeTable?.id,
    delegations: (subnet.delegations ?? []).flatMap((each) => each.serviceName ?? []),
    usedAddresses: subnet.ipConfigurations?.length ?? 0,
    endpointPolicies: {
      securityGroup: policies === "Enabled" || policies === "NetworkSecurityGroupEnabled",
      routeTable: policies === "Enabled" || policies === "RouteTableEnabled",
    },
  };
}

function peeringOf(peering: VirtualNetworkPeering): PeeringState {
  return {
    peeringId: peering.id ?? "",
    remoteNetworkId: peering.remoteVirtualNetwork?.id ?? "",
    remotePrefixes: peering.remoteAddressSpace?.addressPrefixes ?? [],
    state:
      peering.peeringState === "Connected" || peering.peeringState === "Disconnected"
        ? peering.peeringState
        : "Initiated",
    allowsAccess: peering.allowVirtualNetworkAccess ?? true,
    provisioning: provisioningOf(peering.provisioningState),
  };
}

function ruleOf(rule: AzureRule): SecurityRule {
  const many = (one: string | undefined, more: string[] | undefined): string[] => [
    ...(one === undefined || one === "" ? [] : [one]),
    ...(more ?? []),
  ];
  return {
    name: rule.name ?? "",
    priority: rule.priority ?? LAST_PRIORITY,
    direction: rule.direction === "Inbound" ? "Inbound" : "Outbound",
    access: rule.access === "Deny" ? "Deny" : "Allow",
    protocol: rule.protocol ?? "*",
    sources: many(rule.sourceAddressPrefix, rule.sourceAddressPrefixes),
    destinations: many(rule.destinationAddressPrefix, rule.destinationAddressPrefixes),
    ports: many(rule.destinationPortRange, rule.destinationPortRanges),
  };
}
