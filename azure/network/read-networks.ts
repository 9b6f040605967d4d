import type {
  SecurityRule as AzureRule,
  Subnet,
  VirtualNetwork,
  VirtualNetworkPeering,
} from "@azure/arm-network";
import type { PeeringState, RegionPort, SecurityRule, SubnetState } from "#core/ports/region.ts";
import { provisioningOf } from "../compute/provisioning.ts";
import { readAzure } from "../errors.ts";
import { normalLocation } from "../location.ts";
import { parseResourceId } from "../resource-id.ts";
import type { ClientsOf } from "../resource-manager.ts";

type NetworkReads = Pick<RegionPort, "readSecurityGroup" | "readRoutes" | "readNetwork">;

/** What a rule without a priority would have: Azure answers none. */
const LAST_PRIORITY = 4096;

export function createNetworkReads(clientsOf: ClientsOf): NetworkReads {
  const parts = (id: string) => {
    const { subscriptionId, resourceGroup, names } = parseResourceId(id);
    const [name] = names;
    return { network: clientsOf(subscriptionId).network, resourceGroup, name };
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
