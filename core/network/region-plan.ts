/**
 * The private network of a region, as a plan. An *action* makes or changes one resource, named by its
 * id, with the reason; it runs when what it comes *after* is there. A *finding* is something that only
 * a person can change: it stops the plan. What is under way is *waited for*. A plan with none of these
 * is ready. The *hub* is the control plane's own network: endpoints that all regions share lie there.
 */
import { createHash } from "node:crypto";
import { RESOURCE_TYPES, resourceId, sameId } from "../model/resource-id.ts";
import type {
  EndpointDnsState,
  EndpointService,
  PrivateEndpointState,
  Route,
  SecurityGroupState,
  StorageAccountState,
  VirtualNetworkState,
  ZoneState,
} from "../ports/region.ts";
import type { RegionActionBody } from "../model/region-action.ts";

export type { RegionActionBody } from "../model/region-action.ts";

export interface RegionAction {
  readonly action: RegionActionBody;
  readonly reason: string;
  /** Ids of what must be there first, in this plan or under way. */
  readonly after: readonly string[];
  /** What it costs as long as it exists, when it costs anything. */
  readonly costHint?: string;
}

export interface RegionFinding {
  readonly code: string;
  /** What is wrong, with what, and what to do. */
  readonly message: string;
}

export interface RegionPlan {
  readonly actions: readonly RegionAction[];
  readonly waitingFor: readonly string[];
  readonly findings: readonly RegionFinding[];
  /** Worth knowing, in nobody's way. */
  readonly notes: readonly string[];
  readonly ready: boolean;
}

export interface RegionConfig {
  readonly controlPlaneId: string;
  readonly location: string;
  /** Where the product makes resources. */
  readonly resourceGroupId: string;
  readonly hubNetworkId: string;
  /** Subnet of the hub for endpoints that all regions share. */
  readonly endpointSubnetId: string;
  readonly zoneGroupId: string;
  /** `verify`: somebody else owns the zones, they are only looked at. */
  readonly privateDns: "manage" | "verify";
  readonly controlAccountId: string;
  /** Subnet that the operator gave, else one is made. */
  readonly subnetId?: string | undefined;
  /** Prefix for the network that is made, by the operator or claimed before; else one is chosen. */
  readonly addressPrefix?: string | undefined;
  readonly workersMax: number;
  /** TCP port of the mirror that workers update from, where they have one. */
  readonly mirrorPort?: number | undefined;
}

export interface RepositoryAccount {
  readonly repositoryName: string;
  readonly blobServiceUrl: string;
  readonly account: StorageAccountState | undefined;
}

export interface RegionFacts {
  readonly workerNetwork: VirtualNetworkState | undefined;
  readonly hub: VirtualNetworkState | undefined;
  /** The group that is made, or the one of the given subnet. */
  readonly securityGroup: SecurityGroupState | undefined;
  /** Of the given subnet's route table. */
  readonly routes: readonly Route[];
  /** Prefixes of the networks of other regions, also of those that are being made. */
  readonly takenPrefixes: readonly string[];
  readonly stagingAccount: StorageAccountState | undefined;
  readonly lifecycleRules: readonly string[];
  readonly repositories: readonly RepositoryAccount[];
  readonly endpoints: readonly EndpointFacts[];
  /** That a run of all machines of the region needs at the same time; 0 where no given subnet asks. */
  readonly expectedDiskAccesses: number;
  readonly zones: Readonly<Partial<Record<ZoneService, ZoneState>>>;
  /** Addresses of A records by `<service>/<account>`. */
  readonly records: Readonly<Record<string, readonly string[]>>;
}

export interface EndpointFacts extends PrivateEndpointState {
  readonly dns: EndpointDnsState;
}

export type ZoneService = "blob" | "queue";

/** https://learn.microsoft.com/azure/private-link/private-endpoint-dns */
const ZONE_NAMES = {
  blob: "privatelink.blob.core.windows.net",
  queue: "privatelink.queue.core.windows.net",
} as const satisfies Record<ZoneService, string>;
export const ZONE_SERVICES: readonly ZoneService[] = ["blob", "queue"];

/** The zone with the names of a service; exports of disks are in that of blobs. */
export function zoneIdOf(zoneGroupId: string, service: EndpointService): string {
  const name = ZONE_NAMES[service === "queue" ? "queue" : "blob"];
  return resourceId(zoneGroupId, RESOURCE_TYPES.privateDnsZone, name);
}

export interface RegionNames {
  readonly networkId: string;
  readonly subnetName: string;
  readonly subnetId: string;
  readonly securityGroupId: string;
  readonly stagingAccountId: string;
}

type NamingConfig = Pick<
  RegionConfig,
  "controlPlaneId" | "location" | "resourceGroupId" | "subnetId"
>;

/** Names are derived, so that a repeated run finds what an earlier one made. */
export function regionNamesOf(config: NamingConfig): RegionNames {
  const { controlPlaneId, location, resourceGroupId: group, subnetId } = config;
  const digest = digestOf(`${controlPlaneId.toLowerCase()}\n${location}`);
  const name = `holdfast-${location}`;
  const made = resourceId(group, RESOURCE_TYPES.virtualNetwork, name);
  const networkId = subnetId === undefined ? made : networkIdOf(subnetId);
  const subnetName = subnetId === undefined ? "workers" : lastNameOf(subnetId);
  return {
    networkId,
    subnetName,
    subnetId: subnetId ?? `${networkId}/subnets/${subnetName}`,
    securityGroupId: resourceId(group, RESOURCE_TYPES.networkSecurityGroup, name),
    // Account names are unique in the world: 3 to 24 lower-case letters and digits.
    stagingAccountId: resourceId(
      group,
      RESOURCE_TYPES.storageAccount,
      `holdfast${digest.slice(0, 16)}`,
    ),
  };
}

/** Name of what stands for a network elsewhere: links in zones, peerings. Readable and unique. */
export function networkLabelOf(networkId: string): string {
  const label = lastNameOf(networkId).slice(0, 50);
  return `${label.startsWith("holdfast") ? "" : "holdfast-"}${label}-${digestOf(networkId.toLowerCase()).slice(0, 8)}`;
}

/** `…/virtualNetworks/<name>` of a subnet. */
export function networkIdOf(subnetId: string): string {
  return subnetId.replace(/\/subnets\/[^/]+$/i, "");
}

export function lastNameOf(id: string): string {
  return id.slice(id.lastIndexOf("/") + 1);
}

export function findSubnet(network: VirtualNetworkState | undefined, subnetId: string) {
  return network?.subnets.find((subnet) => sameId(subnet.subnetId, subnetId));
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Collects what the parts of a plan found out. */
export class PlanBuilder {
  readonly #actions: RegionAction[] = [];
  readonly #waitingFor: string[] = [];
  readonly #findings: RegionFinding[] = [];
  readonly #notes: string[] = [];
  /** Ids that are not ready yet. */
  readonly #missing: string[] = [];

  /** `needs`: ids that it cannot be made without; those that are there already are left out. */
  add(
    action: RegionActionBody,
    reason: string,
    options: { readonly needs?: readonly string[]; readonly costHint?: string } = {},
  ): void {
    const after = (options.needs ?? []).filter((id) => this.isMissing(id));
    const { costHint } = options;
    this.#actions.push({
      action,
      reason,
      after,
      ...(costHint === undefined ? {} : { costHint }),
    });
    this.#missing.push(action.resourceId);
  }

  wait(id: string, what: string): void {
    this.#waitingFor.push(what);
    this.#missing.push(id);
  }

  refuse(code: string, message: string): void {
    this.#findings.push({ code, message });
  }

  note(text: string): void {
    this.#notes.push(text);
  }

  isMissing(id: string): boolean {
    return this.#missing.some((each) => sameId(each, id));
  }

  build(): RegionPlan {
    const [actions, waitingFor, findings] = [this.#actions, this.#waitingFor, this.#findings];
    const ready = actions.length === 0 && waitingFor.length === 0 && findings.length === 0;
    return { actions, waitingFor, findings, notes: this.#notes, ready };
  }
}
