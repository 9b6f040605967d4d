import type { SubnetState, VirtualNetworkState } from "#core/ports/region.ts";
import { STAGING_RULE } from "#core/ports/region.ts";
import { findEndpoint, recordKey, wantedEndpoints } from "#core/network/plan-private-endpoints.ts";
import {
  lastNameOf,
  regionNamesOf,
  zoneIdOf,
  ZONE_SERVICES,
  type EndpointFacts,
  type RegionConfig,
  type RegionFacts,
} from "#core/network/region-plan.ts";
import { workerSecurityRules } from "#core/network/worker-security-rules.ts";

/** Facts of a region whose private network is complete, for tests to take pieces away. */
const group = "/subscriptions/s/resourceGroups/control";
export const hubId = `${group}/providers/Microsoft.Network/virtualNetworks/hub`;

export const config: RegionConfig = {
  controlPlaneId: "me",
  location: "northeurope",
  resourceGroupId: "/subscriptions/s/resourceGroups/workers",
  hubNetworkId: hubId,
  endpointSubnetId: `${hubId}/subnets/endpoints`,
  zoneGroupId: group,
  privateDns: "manage",
  controlAccountId: `${group}/providers/Microsoft.Storage/storageAccounts/control`,
  workersMax: 5,
};

export const given: RegionConfig = {
  ...config,
  subnetId:
    "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/spoke/subnets/backup",
};

export function subnet(subnetId: string, addressPrefix: string): SubnetState {
  return {
    subnetId,
    addressPrefix,
    provisioning: "succeeded",
    defaultOutboundAccess: false,
    securityGroupId: undefined,
    routeTableId: undefined,
    delegations: [],
    usedAddresses: 0,
    endpointPolicies: { securityGroup: false, routeTable: false },
  };
}

export function account(accountId: string, location: string) {
  const name = lastNameOf(accountId);
  return {
    accountId,
    name,
    location,
    provisioning: "succeeded",
    tags: {},
    blobServiceUrl: `https://${name}.blob.core.windows.net/`,
    queueServiceUrl: `https://${name}.queue.core.windows.net/`,
    publicAccess: false,
    sharedKeyAccess: false,
    minimumTlsVersion: "TLS1_2",
  } as const;
}

/** A fresh deployment: the hub and nothing else. */
export function emptyFacts(): RegionFacts {
  const repositoryId = `${group}/providers/Microsoft.Storage/storageAccounts/repo`;
  const repository = account(repositoryId, "westeurope");
  return {
    workerNetwork: undefined,
    hub: {
      networkId: hubId,
      location: "westeurope",
      addressPrefixes: ["10.212.0.0/16"],
      provisioning: "succeeded",
      subnets: [subnet(config.endpointSubnetId, "10.212.1.0/24")],
      peerings: [],
    },
    securityGroup: undefined,
    routes: [],
    takenPrefixes: [],
    stagingAccount: undefined,
    lifecycleRules: [],
    repositories: [
      { repositoryName: "main", blobServiceUrl: repository.blobServiceUrl, account: repository },
    ],
    endpoints: [],
    expectedDiskAccesses: 0,
    zones: {},
    records: {},
  };
}

function peering(from: string, to: string, remotePrefix: string) {
  return {
    peeringId: `${from}/virtualNetworkPeerings/p`,
    remoteNetworkId: to,
    remotePrefixes: [remotePrefix],
    state: "Connected",
    allowsAccess: true,
    provisioning: "succeeded",
  } as const;
}

export function completeFacts(region: RegionConfig = config): RegionFacts {
  const empty = emptyFacts();
  const { networkId, subnetId, securityGroupId, stagingAccountId } = regionNamesOf(region);
  const workers = { ...subnet(subnetId, "10.213.0.0/24"), securityGroupId };
  const hub: VirtualNetworkState = {
    ...empty.hub!,
    peerings: [peering(hubId, networkId, "10.213.0.0/24")],
  };
  const facts: RegionFacts = {
    ...empty,
    hub,
    workerNetwork: {
      networkId,
      location: region.location,
      addressPrefixes: ["10.213.0.0/24"],
      provisioning: "succeeded",
      subnets: [workers],
      peerings: [peering(networkId, hubId, "10.212.0.0/16")],
    },
    securityGroup: {
      securityGroupId,
      provisioning: "succeeded",
      rules: region.subnetId === undefined ? workerSecurityRules(region.mirrorPort) : [],
    },
    stagingAccount: account(stagingAccountId, region.location),
    lifecycleRules: [STAGING_RULE],
    zones: Object.fromEntries(
      ZONE_SERVICES.map((service) => {
        const zoneId = zoneIdOf(region.zoneGroupId, service);
        const link = (id: string) =>
          ({
            linkId: `${zoneId}/virtualNetworkLinks/${lastNameOf(id)}`,
            networkId: id,
            provisioning: "succeeded",
          }) as const;
        const links = [link(hubId), link(networkId)];
        return [service, { zoneId, provisioning: "succeeded", links }];
      }),
    ),
  };
  const wanted = wantedEndpoints(facts, region);
  const endpoints = wanted.map((each, index): EndpointFacts => {
    const zoneIds = [zoneIdOf(region.zoneGroupId, each.service)];
    return {
      ...each,
      provisioning: "succeeded",
      connection: "Approved",
      interfaceId: undefined,
      tags: {},
      dns: {
        address: `10.0.0.${index}`,
        zoneGroups: [{ zoneIds, provisioning: "succeeded" }],
        recordNames: [],
      },
    };
  });
  const records = Object.fromEntries(
    wanted.map((each) => [
      recordKey(each.service, lastNameOf(each.targetId)),
      [findEndpoint(endpoints, each)?.dns.address ?? ""],
    ]),
  );
  return { ...facts, endpoints, records };
}
