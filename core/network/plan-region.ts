/**
 * What a region needs before a worker runs there, as actions with reasons: an own virtual network
 * with a subnet that has no default outbound access and a network security group, and a staging
 * account. `steps` is the seam for what the private network adds (endpoints, disk accesses): a step
 * looks at the facts and answers what is missing.
 */
import { createHash } from "node:crypto";
import type { StagingAccountState, WorkerNetworkState } from "../ports/region.ts";
import { RESOURCE_TYPES, resourceId } from "../model/resource-id.ts";

export interface RegionConfig {
  readonly controlPlaneId: string;
  readonly resourceGroupId: string;
}

export interface RegionFacts {
  readonly location: string;
  readonly network: WorkerNetworkState | undefined;
  readonly stagingAccount: StagingAccountState | undefined;
}

export interface RegionAction {
  readonly kind: "create-network" | "create-staging-account";
  readonly reason: string;
}

export interface RegionPlan {
  readonly actions: readonly RegionAction[];
  /** What is under way: look again later. */
  readonly waitingFor: readonly string[];
  readonly ready: boolean;
}

interface StepAnswer {
  readonly action?: RegionAction;
  readonly waitingFor?: string;
}

type RegionStep = (facts: RegionFacts) => StepAnswer;

const steps: readonly RegionStep[] = [planNetwork, planStagingAccount];

export function planRegion(facts: RegionFacts): RegionPlan {
  const answers = steps.map((step) => step(facts));
  const actions = answers.flatMap((answer) => answer.action ?? []);
  const waitingFor = answers.flatMap((answer) => answer.waitingFor ?? []);
  return { actions, waitingFor, ready: actions.length === 0 && waitingFor.length === 0 };
}

function planNetwork({ network, location }: RegionFacts): StepAnswer {
  if (network === undefined) {
    const reason = `${location} has no worker network`;
    return { action: { kind: "create-network", reason } };
  }
  if (network.provisioning === "pending") return { waitingFor: "worker network" };
  if (network.provisioning === "failed") {
    const reason = `the worker network in ${location} failed to be made`;
    return { action: { kind: "create-network", reason } };
  }
  return {};
}

function planStagingAccount({ stagingAccount, location }: RegionFacts): StepAnswer {
  if (stagingAccount === undefined) {
    const reason = `${location} has no staging account`;
    return { action: { kind: "create-staging-account", reason } };
  }
  if (stagingAccount.provisioning === "pending") return { waitingFor: "staging account" };
  if (stagingAccount.provisioning === "failed") {
    const reason = `the staging account in ${location} failed to be made`;
    return { action: { kind: "create-staging-account", reason } };
  }
  return {};
}

export interface RegionNames {
  readonly virtualNetworkId: string;
  readonly subnetName: string;
  readonly networkSecurityGroupId: string;
  readonly stagingAccountId: string;
}

/** Names are derived, so that a repeated run finds what an earlier one made. */
export function regionNamesOf(config: RegionConfig, location: string): RegionNames {
  const digest = createHash("sha256")
    .update(`${config.controlPlaneId.toLowerCase()}\n${location}`)
    .digest("hex");
  const { resourceGroupId: group } = config;
  return {
    virtualNetworkId: resourceId(group, RESOURCE_TYPES.virtualNetwork, `holdfast-${location}`),
    subnetName: "workers",
    networkSecurityGroupId: resourceId(
      group,
      RESOURCE_TYPES.networkSecurityGroup,
      `holdfast-${location}`,
    ),
    // Account names are unique in the world: 3 to 24 lower-case letters and digits.
    stagingAccountId: resourceId(
      group,
      RESOURCE_TYPES.storageAccount,
      `holdfast${digest.slice(0, 16)}`,
    ),
  };
}

/** Worker networks lie here; each region takes one /24, so that they can be peered. */
const WORKER_ADDRESS_SPACE = { first: 10, second: 213, prefixLength: 24, count: 256 } as const;

/** Prefixes in the order in which they are tried, each /24 of 10.213.0.0/16. */
export function* candidatePrefixes(taken: ReadonlySet<string>): Generator<string> {
  const { first, second, prefixLength, count } = WORKER_ADDRESS_SPACE;
  for (let third = 0; third < count; third++) {
    const prefix = `${first}.${second}.${third}.0/${prefixLength}`;
    if (!taken.has(prefix)) yield prefix;
  }
}
