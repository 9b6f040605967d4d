import { sameId } from "../model/resource-id.ts";
import type { SubnetState, VirtualNetworkState } from "../ports/region.ts";
import { chooseWorkerPrefix, findOverlap } from "./address-ranges.ts";
import { checkGivenSubnet } from "./check-given-subnet.ts";
import { checkRanges } from "./check-ranges.ts";
import {
  findSubnet,
  regionNamesOf,
  type PlanBuilder,
  type RegionConfig,
  type RegionFacts,
} from "./region-plan.ts";
import { hasExactly, workerSecurityRules } from "./worker-security-rules.ts";

/** The network of the workers: security group, virtual network and subnet, made or given. */
export function planWorkerNetwork(
  plan: PlanBuilder,
  facts: RegionFacts,
  config: RegionConfig,
): void {
  if (config.subnetId !== undefined) {
    checkGivenSubnet(plan, facts, { ...config, subnetId: config.subnetId });
    return;
  }
  planSecurityGroup(plan, facts, config);
  planNetwork(plan, facts, config);
}

function planSecurityGroup(plan: PlanBuilder, facts: RegionFacts, config: RegionConfig): void {
  const { securityGroupId } = regionNamesOf(config);
  const { securityGroup } = facts;
  const rules = workerSecurityRules(config.mirrorPort);
  const action = { kind: "create-security-group", resourceId: securityGroupId, rules } as const;
  if (securityGroup === undefined)
    plan.add(
      action,
      `workers in ${config.location} have no security group that keeps them off the internet`,
    );
  else if (securityGroup.provisioning === "pending")
    plan.wait(securityGroupId, "the security group");
  else if (securityGroup.provisioning === "failed")
    plan.add(action, "the security group failed to be made");
  else if (!hasExactly(securityGroup.rules, rules))
    plan.add(action, "the security group's rules are not those that workers need and no other");
}

function planNetwork(plan: PlanBuilder, facts: RegionFacts, config: RegionConfig): void {
  const { workerNetwork } = facts;
  const { networkId, subnetName, securityGroupId } = regionNamesOf(config);
  if (workerNetwork === undefined || workerNetwork.provisioning === "failed") {
    const addressPrefix = choosePrefix(plan, facts, config);
    if (addressPrefix === undefined) return;
    const reason =
      workerNetwork === undefined
        ? `${config.location} has no worker network`
        : `the worker network in ${config.location} failed to be made`;
    plan.add(
      { kind: "create-network", resourceId: networkId, addressPrefix, subnetName, securityGroupId },
      reason,
      { needs: [securityGroupId] },
    );
    return;
  }
  checkRanges(plan, workerNetwork, facts);
  if (workerNetwork.provisioning === "pending") {
    plan.wait(networkId, "the worker network");
    return;
  }
  planSubnet(plan, workerNetwork, config);
}

/** The network is the product's own: its subnet is put right whatever somebody did to it. */
function planSubnet(plan: PlanBuilder, network: VirtualNetworkState, config: RegionConfig): void {
  const { networkId, subnetName, subnetId, securityGroupId } = regionNamesOf(config);
  const subnet = findSubnet(network, subnetId);
  const addressPrefix = subnet?.addressPrefix ?? network.addressPrefixes[0] ?? "";
  if (subnet?.provisioning === "pending") {
    plan.wait(subnetId, "the workers' subnet");
    return;
  }
  const reason = whySubnet(subnet, securityGroupId);
  if (reason === undefined) return;
  plan.add(
    {
      kind: "create-subnet",
      resourceId: subnetId,
      networkId,
      addressPrefix,
      subnetName,
      securityGroupId,
    },
    reason,
    { needs: [securityGroupId] },
  );
}

function whySubnet(subnet: SubnetState | undefined, securityGroupId: string): string | undefined {
  if (subnet === undefined) return "the worker network has no subnet for workers";
  if (subnet.provisioning === "failed") return "the workers' subnet failed to be made";
  if (subnet.defaultOutboundAccess) return "the workers' subnet has a way to the internet";
  if (subnet.endpointPolicies.securityGroup)
    return "the workers' subnet applies the rules for workers to private endpoints too";
  if (subnet.securityGroupId === undefined || !sameId(subnet.securityGroupId, securityGroupId))
    return "the workers' subnet lacks its security group";
  return undefined;
}

function choosePrefix(
  plan: PlanBuilder,
  { hub, takenPrefixes }: RegionFacts,
  config: RegionConfig,
): string | undefined {
  const { addressPrefix, location } = config;
  const { networkId } = regionNamesOf(config);
  // What the hub keeps of this region's own network, after somebody deleted it, takes nobody's room.
  const others = (hub?.peerings ?? []).filter(
    ({ remoteNetworkId }) => !sameId(remoteNetworkId, networkId),
  );
  const hubPrefixes = [
    ...(hub?.addressPrefixes ?? []),
    ...others.flatMap(({ remotePrefixes }) => remotePrefixes),
  ];
  const taken = [...hubPrefixes, ...takenPrefixes];
  if (addressPrefix === undefined) {
    const chosen = chooseWorkerPrefix(taken);
    if (chosen === undefined)
      plan.refuse(
        "NoAddressPrefix",
        `All of 10.213.0.0/16 is taken by other networks: set an addressPrefix for region ${location}.`,
      );
    return chosen;
  }
  const clash = findOverlap([addressPrefix], taken);
  if (clash === undefined) return addressPrefix;
  plan.refuse(
    "AddressSpaceOverlaps",
    `The prefix ${addressPrefix} of region ${location} overlaps ${clash.other}, which the control plane's network or one that is peered with it has: set another addressPrefix.`,
  );
  return undefined;
}
