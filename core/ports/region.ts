/**
 * What a region's private network consists of, as the control plane reads and makes it: networks,
 * private endpoints, private DNS, the staging account. Implemented in `azure/network` and
 * `azure/storage`. `read*` answer `undefined` for what is not there. `start*` send the request and let
 * go: repeating one is harmless, its end is seen by reading. All ids are Resource Manager ids.
 */
import type { ProvisioningState } from "./compute.ts";

export type Tags = Readonly<Record<string, string>>;

/** Sub-resources of a target that a private endpoint leads to. */
export type EndpointService = "blob" | "queue" | "disks";

export interface SubnetState {
  readonly subnetId: string;
  readonly addressPrefix: string;
  readonly provisioning: ProvisioningState;
  readonly defaultOutboundAccess: boolean;
  readonly securityGroupId: string | undefined;
  readonly routeTableId: string | undefined;
  /** Services that the subnet belongs to, e.g. `Microsoft.Web/serverFarms`. */
  readonly delegations: readonly string[];
  /** IP configurations in the subnet, those of private endpoints included. */
  readonly usedAddresses: number;
  /** Whether rules of a security group and of a route table apply to private endpoints here. */
  readonly endpointPolicies: { readonly securityGroup: boolean; readonly routeTable: boolean };
}

export interface PeeringState {
  readonly peeringId: string;
  readonly remoteNetworkId: string;
  readonly remotePrefixes: readonly string[];
  /** `Initiated` until the other direction is there; `Disconnected` when that one was removed. */
  readonly state: "Initiated" | "Connected" | "Disconnected";
  readonly allowsAccess: boolean;
  readonly provisioning: ProvisioningState;
}

export interface VirtualNetworkState {
  readonly networkId: string;
  readonly location: string;
  readonly addressPrefixes: readonly string[];
  readonly provisioning: ProvisioningState;
  readonly subnets: readonly SubnetState[];
  readonly peerings: readonly PeeringState[];
}

export interface SecurityRule {
  readonly name: string;
  readonly priority: number;
  readonly direction: "Inbound" | "Outbound";
  readonly access: "Allow" | "Deny";
  /** `*`, `Tcp`, `Udp`, … */
  readonly protocol: string;
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  readonly ports: readonly string[];
}

export interface SecurityGroupState {
  readonly securityGroupId: string;
  readonly provisioning: ProvisioningState;
  /** Without the default rules of Azure. */
  readonly rules: readonly SecurityRule[];
}

export interface Route {
  readonly name: string;
  readonly addressPrefix: string;
  /** `None` drops the packets. */
  readonly nextHopType: string;
}

export interface StorageAccountState {
  readonly accountId: string;
  readonly name: string;
  readonly location: string;
  readonly provisioning: ProvisioningState;
  readonly tags: Tags;
  /** Service endpoints as the account reports them (`primaryEndpoints`), empty until it is made. */
  readonly blobServiceUrl: string;
  readonly queueServiceUrl: string;
  readonly publicAccess: boolean;
  readonly sharedKeyAccess: boolean;
  readonly minimumTlsVersion: string;
}

export interface PrivateEndpointState {
  readonly endpointId: string;
  readonly subnetId: string;
  readonly targetId: string;
  readonly service: string;
  readonly provisioning: ProvisioningState;
  /** Of its connection: `Approved`, `Pending`, `Rejected` or `Disconnected`. */
  readonly connection: string;
  readonly interfaceId: string | undefined;
  readonly tags: Tags;
}

export interface EndpointDnsState {
  readonly address: string | undefined;
  /** Zones that the endpoint's zone group keeps records in. */
  readonly zoneGroups: readonly {
    readonly zoneIds: readonly string[];
    readonly provisioning: ProvisioningState;
  }[];
  /** Names of the records that the zone groups keep, without the zone's name. */
  readonly recordNames: readonly string[];
}

export interface ZoneState {
  readonly zoneId: string;
  readonly provisioning: ProvisioningState;
  readonly links: readonly {
    readonly linkId: string;
    readonly networkId: string;
    readonly provisioning: ProvisioningState;
  }[];
}

export interface SecurityGroupRequest {
  readonly securityGroupId: string;
  readonly location: string;
  readonly rules: readonly SecurityRule[];
  readonly tags: Tags;
}

export interface NetworkRequest {
  readonly networkId: string;
  readonly location: string;
  readonly addressPrefix: string;
  readonly subnetName: string;
  readonly securityGroupId: string;
  readonly tags: Tags;
}

export interface PrivateEndpointRequest {
  readonly endpointId: string;
  readonly location: string;
  readonly subnetId: string;
  readonly targetId: string;
  readonly service: EndpointService;
  readonly tags: Tags;
}

export interface RegionPort {
  readSecurityGroup(securityGroupId: string): Promise<SecurityGroupState | undefined>;
  readRoutes(routeTableId: string): Promise<readonly Route[] | undefined>;
  readNetwork(networkId: string): Promise<VirtualNetworkState | undefined>;
  /** Accounts that the control plane may read. */
  listStorageAccounts(subscriptionId: string): AsyncIterable<StorageAccountState>;
  /** Names of the rules of the account's lifecycle policy. */
  readLifecycleRules(accountId: string): Promise<readonly string[]>;
  /** Endpoints that the control plane may read, each with its one connection. */
  listPrivateEndpoints(subscriptionId: string): AsyncIterable<PrivateEndpointState>;
  readEndpointDns(endpoint: PrivateEndpointState): Promise<EndpointDnsState>;
  readZone(zoneId: string): Promise<ZoneState | undefined>;
  /** Addresses of an A record. */
  readAddressRecord(zoneId: string, name: string): Promise<readonly string[] | undefined>;

  /** Makes the group, or replaces all its rules. */
  startSecurityGroup(request: SecurityGroupRequest): Promise<void>;
  /** Network with one subnet without default outbound access. */
  startNetwork(request: NetworkRequest): Promise<void>;
  /** Adds the subnet to a network that lacks it. */
  startSubnet(request: Omit<NetworkRequest, "location" | "tags">): Promise<void>;
  startStagingAccount(accountId: string, location: string, tags: Tags): Promise<void>;
  /** Sets public access, shared keys and TLS of an account as those of a new staging account. */
  secureStagingAccount(accountId: string): Promise<void>;
  writeLifecycleRule(accountId: string): Promise<void>;
  /** Without the right to approve connections of the target, the connection waits for its owner. */
  startPrivateEndpoint(request: PrivateEndpointRequest): Promise<void>;
  /** With its zone group and the records that the group keeps. */
  startDeletePrivateEndpoint(endpointId: string): Promise<void>;
  startZone(zoneId: string, tags: Tags): Promise<void>;
  startZoneLink(linkId: string, networkId: string, tags: Tags): Promise<void>;
  startZoneGroup(endpointId: string, zoneId: string): Promise<void>;
  startPeering(peeringId: string, remoteNetworkId: string): Promise<void>;
  startDeletePeering(peeringId: string): Promise<void>;
}

/** Name of the lifecycle rule of staging accounts. */
export const STAGING_RULE = "holdfast-stale-bundles";
