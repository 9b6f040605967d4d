/**
 * The networks of a region in memory, as the control plane's port sees them: what was started is
 * pending at the first look and there at the second. The hub is there from the beginning.
 */
import { HoldfastError } from "#core/lib/errors.ts";
import type {
  EndpointDnsState,
  PeeringState,
  PrivateEndpointState,
  RegionPort,
  Route,
  SecurityGroupState,
  StorageAccountState,
  SubnetState,
  VirtualNetworkState,
  ZoneState,
} from "#core/ports/region.ts";
import { STAGING_RULE } from "#core/ports/region.ts";
import type { ProvisioningState } from "#core/ports/compute.ts";
import { SUBSCRIPTION } from "./test-vm.ts";

const GROUP = `/subscriptions/${SUBSCRIPTION}/resourceGroups/control`;
export const HUB_ID = `${GROUP}/providers/Microsoft.Network/virtualNetworks/hub`;
export const ENDPOINT_SUBNET_ID = `${HUB_ID}/subnets/endpoints`;
export const CONTROL_ACCOUNT_ID = `${GROUP}/providers/Microsoft.Storage/storageAccounts/control`;
export const ZONE_GROUP_ID = GROUP;

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

export interface FakeRegion extends RegionPort {
  readonly networks: Map<string, Mutable<VirtualNetworkState>>;
  readonly groups: Map<string, SecurityGroupState>;
  readonly routes: Map<string, readonly Route[]>;
  readonly accounts: Map<string, Mutable<StorageAccountState>>;
  readonly endpoints: Map<string, Mutable<PrivateEndpointState>>;
  readonly zones: Map<string, Mutable<ZoneState>>;
  readonly records: Map<string, readonly string[]>;
  /** Records that somebody deleted behind the zone groups' back. */
  readonly emptyRecords: Set<string>;
  /** Ids in the order in which they were made or changed. */
  readonly made: string[];
  /** Comes before each change; what it throws is what Azure answers. */
  beforeChange: (resourceId: string) => void | Promise<void>;
}

export function subnetOf(subnetId: string, addressPrefix: string): SubnetState {
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

export function accountOf(accountId: string, location: string): StorageAccountState {
  const name = accountId.slice(accountId.lastIndexOf("/") + 1);
  return {
    accountId,
    name,
    location,
    provisioning: "succeeded",
    tags: {},
    blobServiceUrl: `https://${name}.blob.example/`,
    queueServiceUrl: `https://${name}.queue.example/`,
    publicAccess: false,
    sharedKeyAccess: false,
    minimumTlsVersion: "TLS1_2",
  };
}

export function createFakeRegion(): FakeRegion {
  const networks: FakeRegion["networks"] = new Map();
  const groups: FakeRegion["groups"] = new Map();
  const routes: FakeRegion["routes"] = new Map();
  const accounts: FakeRegion["accounts"] = new Map();
  const endpoints: FakeRegion["endpoints"] = new Map();
  const zoneGroups = new Map<string, string[]>();
  const zones: FakeRegion["zones"] = new Map();
  const records: FakeRegion["records"] = new Map();
  const emptyRecords = new Set<string>();
  const rules = new Map<string, string[]>();
  const looks = new Map<string, number>();
  const made: string[] = [];
  let lastAddress = 3;

  const change = async (id: string): Promise<void> => {
    await region.beforeChange(id);
    made.push(id);
    looks.set(id, 0);
  };
  /** Pending at the first look. */
  const look = (id: string): ProvisioningState => {
    const before = looks.get(id);
    if (before === undefined) return "succeeded";
    looks.set(id, before + 1);
    return before === 0 ? "pending" : "succeeded";
  };
  const region: FakeRegion = {
    networks,
    groups,
    routes,
    accounts,
    endpoints,
    zones,
    records,
    emptyRecords,
    made,
    beforeChange: () => undefined,
    readSecurityGroup: async (id) => {
      const found = groups.get(id);
      return found === undefined ? undefined : { ...found, provisioning: look(id) };
    },
    readRoutes: async (id) => routes.get(id),
    readNetwork: async (id) => {
      const found = networks.get(id);
      if (found === undefined) return undefined;
      const peerings = found.peerings.map((each) => ({
        ...each,
        provisioning: look(each.peeringId),
        state: stateOf(networks, id, each),
        remotePrefixes: networks.get(each.remoteNetworkId)?.addressPrefixes ?? [],
      }));
      return { ...found, peerings, provisioning: look(id) };
    },
    async *listStorageAccounts() {
      for (const account of accounts.values())
        yield { ...account, provisioning: look(account.accountId) };
    },
    readLifecycleRules: async (id) => rules.get(id) ?? [],
    async *listPrivateEndpoints() {
      for (const endpoint of endpoints.values())
        yield { ...endpoint, provisioning: look(endpoint.endpointId) };
    },
    readEndpointDns: async ({ endpointId, interfaceId }): Promise<EndpointDnsState> => {
      const zoneIds = zoneGroups.get(endpointId);
      const group = `${endpointId}/privateDnsZoneGroups/default`;
      return {
        address: interfaceId,
        zoneGroups: zoneIds === undefined ? [] : [{ zoneIds, provisioning: look(group) }],
        recordNames:
          zoneIds === undefined ? [] : [nameOfTarget(endpoints.get(endpointId)?.targetId ?? "")],
      };
    },
    readZone: async (id) => {
      const found = zones.get(id);
      if (found === undefined) return undefined;
      const links = found.links.map((each) => ({ ...each, provisioning: look(each.linkId) }));
      return { ...found, links, provisioning: look(id) };
    },
    readAddressRecord: async (zoneId, name) => {
      const id = `${zoneId}/A/${name}`;
      return emptyRecords.has(id) ? undefined : records.get(id);
    },

    startSecurityGroup: async ({ securityGroupId, rules }) => {
      await change(securityGroupId);
      groups.set(securityGroupId, { securityGroupId, provisioning: "succeeded", rules });
    },
    startNetwork: async (request) => {
      const { networkId, location, addressPrefix, subnetName, securityGroupId } = request;
      await change(networkId);
      const subnet = subnetOf(`${networkId}/subnets/${subnetName}`, addressPrefix);
      networks.set(networkId, {
        networkId,
        location,
        addressPrefixes: [addressPrefix],
        provisioning: "succeeded",
        subnets: [{ ...subnet, securityGroupId }],
        peerings: [],
      });
    },
    startSubnet: async ({ networkId, subnetName, addressPrefix, securityGroupId }) => {
      const id = `${networkId}/subnets/${subnetName}`;
      await change(id);
      const network = networks.get(networkId)!;
      const others = network.subnets.filter(({ subnetId }) => subnetId !== id);
      network.subnets = [...others, { ...subnetOf(id, addressPrefix), securityGroupId }];
    },
    startStagingAccount: async (accountId, location, tags) => {
      await change(accountId);
      accounts.set(accountId, { ...accountOf(accountId, location), tags });
    },
    secureStagingAccount: async (accountId) => {
      await change(accountId);
      const safe = { publicAccess: false, sharedKeyAccess: false, minimumTlsVersion: "TLS1_2" };
      Object.assign(accounts.get(accountId)!, safe);
    },
    writeLifecycleRule: async (accountId) => {
      await change(`${accountId}/managementPolicies/default`);
      rules.set(accountId, [STAGING_RULE]);
    },
    startPrivateEndpoint: async ({ endpointId, subnetId, targetId, service, tags }) => {
      await change(endpointId);
      const before = endpoints.get(endpointId);
      if (before !== undefined && before.subnetId !== subnetId)
        throw new HoldfastError("InvalidSubnet", `${endpointId} stays in ${before.subnetId}`);
      const interfaceId = before?.interfaceId ?? `10.213.0.${++lastAddress}`;
      endpoints.set(endpointId, {
        endpointId,
        subnetId,
        targetId,
        service,
        provisioning: "succeeded",
        connection: "Approved",
        interfaceId,
        tags,
      });
    },
    startDeletePrivateEndpoint: async (endpointId) => {
      await change(endpointId);
      endpoints.delete(endpointId);
      zoneGroups.delete(endpointId);
    },
    startZone: async (zoneId) => {
      await change(zoneId);
      zones.set(zoneId, { zoneId, provisioning: "succeeded", links: [] });
    },
    startZoneLink: async (linkId, networkId) => {
      await change(linkId);
      const zone = zones.get(linkId.replace(/\/virtualNetworkLinks\/.*$/, ""))!;
      zone.links = [...zone.links, { linkId, networkId, provisioning: "succeeded" }];
    },
    startZoneGroup: async (endpointId, zoneId) => {
      await change(`${endpointId}/privateDnsZoneGroups/default`);
      zoneGroups.set(endpointId, [zoneId]);
      const { targetId, interfaceId } = endpoints.get(endpointId)!;
      records.set(`${zoneId}/A/${nameOfTarget(targetId)}`, [interfaceId!]);
    },
    startPeering: async (peeringId, remoteNetworkId) => {
      await change(peeringId);
      const network = networks.get(peeringId.replace(/\/virtualNetworkPeerings\/.*$/, ""))!;
      const others = network.peerings.filter((each) => each.peeringId !== peeringId);
      const peering: PeeringState = {
        peeringId,
        remoteNetworkId,
        remotePrefixes: [],
        state: "Initiated",
        allowsAccess: true,
        provisioning: "succeeded",
      };
      network.peerings = [...others, peering];
    },
    startDeletePeering: async (peeringId) => {
      await change(peeringId);
      const network = networks.get(peeringId.replace(/\/virtualNetworkPeerings\/.*$/, ""))!;
      const gone = network.peerings.find((each) => each.peeringId === peeringId);
      network.peerings = network.peerings.filter((each) => each !== gone);
      const remote = networks.get(gone?.remoteNetworkId ?? "");
      if (remote === undefined) return;
      remote.peerings = remote.peerings.map((each) =>
        each.remoteNetworkId === network.networkId ? { ...each, state: "Disconnected" } : each,
      );
    },
  };
  seed(region);
  return region;
}

/** The record of an account or, simplified, of a disk access. */
function nameOfTarget(targetId: string): string {
  return targetId.slice(targetId.lastIndexOf("/") + 1).toLowerCase();
}

/** What a deployment makes, and the account of the repository of `addRepository`. */
function seed({ networks, accounts, endpoints }: FakeRegion): void {
  networks.set(HUB_ID, {
    networkId: HUB_ID,
    location: "westeurope",
    addressPrefixes: ["10.212.0.0/16"],
    provisioning: "succeeded",
    subnets: [subnetOf(ENDPOINT_SUBNET_ID, "10.212.1.0/24")],
    peerings: [],
  });
  for (const name of ["control", "repo"]) {
    const id = `${GROUP}/providers/Microsoft.Storage/storageAccounts/${name}`;
    accounts.set(id, accountOf(id, "westeurope"));
  }
  const endpointId = `${GROUP}/providers/Microsoft.Network/privateEndpoints/control-queue`;
  endpoints.set(endpointId, {
    endpointId,
    subnetId: ENDPOINT_SUBNET_ID,
    targetId: CONTROL_ACCOUNT_ID,
    service: "queue",
    provisioning: "succeeded",
    connection: "Approved",
    interfaceId: "10.212.1.5",
    tags: {},
  });
}

function stateOf(
  networks: FakeRegion["networks"],
  from: string,
  { remoteNetworkId, state }: PeeringState,
): PeeringState["state"] {
  const remote = networks.get(remoteNetworkId);
  if (remote === undefined || state === "Disconnected") return "Disconnected";
  return remote.peerings.some((each) => each.remoteNetworkId === from) ? "Connected" : "Initiated";
}
