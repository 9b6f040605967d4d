/**
 * A subnet that an operator gave is never changed, only checked: what would keep a worker there from
 * its endpoints is refused with what to do, before anything is made.
 */
import { addressCountOf, contains, overlap } from "./address-ranges.ts";
import { sameId } from "../model/resource-id.ts";
import { checkRanges } from "./check-ranges.ts";
import {
  findSubnet,
  lastNameOf,
  networkIdOf,
  type PlanBuilder,
  type RegionConfig,
  type RegionFacts,
} from "./region-plan.ts";
import { findBlockingRule } from "./security-rules.ts";
import type { SubnetState } from "../ports/region.ts";

/** Azure keeps five addresses of each subnet (virtual-networks-faq). */
const RESERVED_ADDRESSES = 5;
/** Endpoints of the staging account's services; each disk access has one more. */
const STAGING_ENDPOINTS = 2;
/** Subnets that Azure keeps for services of its own by their name. */
const RESERVED_NAMES: ReadonlySet<string> = new Set([
  "azurebastionsubnet",
  "azurefirewallmanagementsubnet",
  "azurefirewallsubnet",
  "gatewaysubnet",
  "routeserversubnet",
]);

type GivenConfig = RegionConfig & { readonly subnetId: string };

export function checkGivenSubnet(plan: PlanBuilder, facts: RegionFacts, config: GivenConfig): void {
  const { workerNetwork } = facts;
  const { subnetId, location } = config;
  const networkId = networkIdOf(subnetId);
  if (workerNetwork === undefined) {
    plan.refuse(
      "NetworkNotFound",
      `The network ${networkId} of region ${location} does not exist, or the control plane may not read it: correct the region's subnetId, or give its identity Reader there.`,
    );
    return;
  }
  if (workerNetwork.location !== location)
    plan.refuse(
      "NetworkInOtherRegion",
      `The network ${networkId} is in ${workerNetwork.location}: workers of ${location} need a subnet in ${location}.`,
    );
  checkRanges(plan, workerNetwork, facts);
  const subnet = findSubnet(workerNetwork, subnetId);
  if (subnet === undefined) {
    plan.refuse(
      "SubnetNotFound",
      `The network ${networkId} has no subnet ${lastNameOf(subnetId)}.`,
    );
    return;
  }
  checkUse(plan, subnet);
  checkRoom(plan, subnet, facts, config);
  const prefixes = [subnet.addressPrefix, ...hubPrefixesOf(facts, config)];
  checkRules(plan, facts, { subnet, prefixes });
  checkRoutes(plan, facts, { subnet, prefixes });
}

/** Addresses of the endpoints in the hub. */
function hubPrefixesOf({ hub }: RegionFacts, { endpointSubnetId }: RegionConfig): string[] {
  const subnet = findSubnet(hub, endpointSubnetId);
  return subnet === undefined ? [] : [subnet.addressPrefix];
}

function checkUse(plan: PlanBuilder, subnet: SubnetState): void {
  const name = lastNameOf(subnet.subnetId);
  if (RESERVED_NAMES.has(name.toLowerCase()))
    plan.refuse(
      "SubnetReserved",
      `Azure keeps subnets of the name ${name} for itself: give another one.`,
    );
  if (subnet.delegations.length > 0)
    plan.refuse(
      "SubnetDelegated",
      `The subnet ${name} is delegated to ${subnet.delegations.join(", ")}, so that no worker can run there: give another one.`,
    );
  if (subnet.defaultOutboundAccess)
    plan.note(
      `the subnet ${name} has default outbound access: workers there have a way to the internet, which they do not need`,
    );
}

/** Asked before the first endpoint is made here: later the subnet is full of our own things. */
function checkRoom(
  plan: PlanBuilder,
  subnet: SubnetState,
  { endpoints, expectedDiskAccesses }: RegionFacts,
  { workersMax }: GivenConfig,
): void {
  if (endpoints.some(({ subnetId }) => sameId(subnetId, subnet.subnetId))) return;
  const room = addressCountOf(subnet.addressPrefix) - RESERVED_ADDRESSES;
  const free = Math.max(0, room - subnet.usedAddresses);
  // A region without virtual machines yet gets its first disk access soon.
  const diskAccesses = Math.max(1, expectedDiskAccesses);
  if (free >= STAGING_ENDPOINTS + diskAccesses + workersMax) return;
  plan.refuse(
    "SubnetFull",
    `The subnet ${lastNameOf(subnet.subnetId)} (${subnet.addressPrefix}) has ${free} free addresses; ${STAGING_ENDPOINTS} endpoints of the staging account, ${diskAccesses} of disk accesses and ${workersMax} workers need room. Give a larger one, or lower HOLDFAST_DISK_ACCESSES_MAX or the region's workers.`,
  );
}

interface Ways {
  readonly subnet: SubnetState;
  /** Where endpoints are. */
  readonly prefixes: readonly string[];
}

function checkRules(plan: PlanBuilder, facts: RegionFacts, { subnet, prefixes }: Ways): void {
  const { securityGroupId } = subnet;
  if (securityGroupId === undefined) return;
  const name = lastNameOf(securityGroupId);
  if (facts.securityGroup === undefined) {
    plan.note(`the rules of security group ${name} could not be read and were not checked`);
    return;
  }
  const { rules } = facts.securityGroup;
  const networks = [
    ...(facts.workerNetwork?.addressPrefixes ?? []),
    ...(facts.hub?.addressPrefixes ?? []),
  ];
  const source = subnet.addressPrefix;
  const directions = subnet.endpointPolicies.securityGroup
    ? (["Outbound", "Inbound"] as const)
    : (["Outbound"] as const);
  for (const direction of directions) {
    // Inbound rules meet the endpoints of this subnet only.
    const targets = direction === "Outbound" ? prefixes : [subnet.addressPrefix];
    for (const destination of targets) {
      const rule = findBlockingRule(rules, { direction, source, destination, networks });
      if (rule === undefined) continue;
      plan.refuse(
        "SecurityGroupBlocks",
        `Rule ${rule.name} (priority ${rule.priority}) of security group ${name} denies ${direction.toLowerCase()} TCP 443 from ${source} to ${destination}, where private endpoints are: put a rule before it that allows it.`,
      );
    }
  }
}

/**
 * A route to nowhere wins where it is as narrow as the network's own route, or narrower
 * (virtual-networks-udr-overview): the usual 0.0.0.0/0 to `None` does no harm.
 */
function checkRoutes(plan: PlanBuilder, facts: RegionFacts, { subnet, prefixes }: Ways): void {
  const networks = [
    ...(facts.workerNetwork?.addressPrefixes ?? []),
    ...(facts.hub?.addressPrefixes ?? []),
  ];
  for (const route of facts.routes) {
    const isNarrow = networks.some((network) => contains(network, route.addressPrefix));
    const target = prefixes.find((prefix) => overlap(prefix, route.addressPrefix));
    if (route.nextHopType !== "None" || !isNarrow || target === undefined) continue;
    plan.refuse(
      "RouteBlackholes",
      `Route ${route.name} of route table ${lastNameOf(subnet.routeTableId ?? "")} drops what goes to ${route.addressPrefix}, and private endpoints are in ${target}: remove it or narrow it down.`,
    );
  }
}
