import { sameId } from "../model/resource-id.ts";
import type { PeeringState, VirtualNetworkState } from "../ports/region.ts";
import {
  lastNameOf,
  networkLabelOf,
  regionNamesOf,
  type PlanBuilder,
  type RegionConfig,
  type RegionFacts,
} from "./region-plan.ts";

/** Hub and workers' network reach each other: one peering in each direction. */
export function planPeerings(plan: PlanBuilder, facts: RegionFacts, config: RegionConfig): void {
  const { networkId } = regionNamesOf(config);
  const { hubNetworkId } = config;
  if (sameId(networkId, hubNetworkId)) return;
  planDirection(plan, { network: facts.hub, from: hubNetworkId, to: networkId });
  planDirection(plan, { network: facts.workerNetwork, from: networkId, to: hubNetworkId });
}

interface Direction {
  readonly network: VirtualNetworkState | undefined;
  readonly from: string;
  readonly to: string;
}

function planDirection(plan: PlanBuilder, { network, from, to }: Direction): void {
  const peering = network?.peerings.find((each) => sameId(each.remoteNetworkId, to));
  const names = `${lastNameOf(from)} to ${lastNameOf(to)}`;
  const resourceId = peering?.peeringId ?? `${from}/virtualNetworkPeerings/${networkLabelOf(to)}`;
  if (peering?.provisioning === "pending") {
    plan.wait(resourceId, `the peering of ${names}`);
    return;
  }
  if (peering?.state === "Disconnected") {
    // Azure's way out of it is to delete the peering and to make it again.
    plan.add(
      { kind: "delete-peering", resourceId },
      `the peering of ${names} is disconnected: it is made again`,
    );
    return;
  }
  const reason = whyPeering(peering, names);
  if (reason === undefined) return;
  plan.add(
    { kind: "create-peering", resourceId, remoteNetworkId: to },
    reason,
    // One change of a network at a time: the subnet comes first.
    { needs: [from, to] },
  );
}

function whyPeering(peering: PeeringState | undefined, names: string): string | undefined {
  if (peering === undefined) return `there is no peering of ${names}`;
  if (peering.provisioning === "failed") return `the peering of ${names} failed to be made`;
  if (!peering.allowsAccess) return `the peering of ${names} lets no traffic pass`;
  return undefined;
}
