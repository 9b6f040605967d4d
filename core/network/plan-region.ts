/**
 * What a region's private network lacks, as actions with reasons (see `region-plan.ts` for the nouns):
 * the workers' network, the staging account, private endpoints, private DNS, peerings with the hub.
 * Pure: the same facts always give the same plan, and a network that is complete gives none.
 */
import { sameId } from "../model/resource-id.ts";
import { planPeerings } from "./plan-peerings.ts";
import { planPrivateDns } from "./plan-private-dns.ts";
import { planPrivateEndpoints } from "./plan-private-endpoints.ts";
import { planStagingAccount } from "./plan-staging-account.ts";
import { planWorkerNetwork } from "./plan-worker-network.ts";
import {
  findSubnet,
  lastNameOf,
  PlanBuilder,
  type RegionConfig,
  type RegionFacts,
  type RegionPlan,
} from "./region-plan.ts";

/** Names beyond these are in `region-plan.ts`. */
export function planRegion(facts: RegionFacts, config: RegionConfig): RegionPlan {
  const plan = new PlanBuilder();
  checkHub(plan, facts, config);
  // In this order: what comes later needs what comes before.
  planWorkerNetwork(plan, facts, config);
  planStagingAccount(plan, facts, config);
  planPrivateDns(plan, facts, config);
  planPrivateEndpoints(plan, facts, config);
  planPeerings(plan, facts, config);
  return plan.build();
}

/** The hub comes with the deployment and is only looked at. */
function checkHub(plan: PlanBuilder, { hub }: RegionFacts, config: RegionConfig): void {
  const { hubNetworkId, endpointSubnetId } = config;
  if (hub === undefined)
    plan.refuse(
      "ControlNetworkNotFound",
      `The control plane's network ${hubNetworkId} does not exist, or the control plane may not read it: correct HOLDFAST_CONTROL_NETWORK_ID, or give its identity the role 'Holdfast hub' there.`,
    );
  else if (findSubnet(hub, endpointSubnetId) === undefined)
    plan.refuse(
      "EndpointSubnetNotFound",
      `The control plane's network ${lastNameOf(hub.networkId)} has no subnet ${endpointSubnetId}: correct HOLDFAST_ENDPOINT_SUBNET_ID.`,
    );
  else if (!sameId(hub.networkId, hubNetworkId))
    throw new Error("the facts are of another hub than the configuration's");
}
