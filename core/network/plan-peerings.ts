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
  const directions: readonly Direction[] = [
    { network: facts.hub, from: hubNetworkId, to: networkId },
    { network: facts.workerNetwork, from: networkId, to: hubNetworkId },
  ];
  const lost = directions.filter((each) => peeringOf(each)?.state === "Disconnected");
  for (const direction of lost) planDeletion(plan, direction);
  // Azure takes no peering while the one of the other direction is disconnected.
  const after = lost.map(idOf);
  for (const direction of directions)
    if (!lost.includes(direction)) planDirection(plan, direction, after);
}

interface Direction {
  readonly network: VirtualNetworkState | undefined;
  readonly from: string;
  readonly to: string;
}

function peeringOf({ network, to }: Direction): PeeringState | undefined {
  return network?.peerings.find((each) => sameId(each.remoteNetworkId, to));
}

function idOf(direction: Direction): string {
  const { from, to } = direction;
  const derived = `${from}/virtualNetworkPeerings/${networkLabelOf(to)}`;
  return peeringOf(direction)?.peeringId ?? derived;
}

function namesOf({ from, to }: Direction): string {
  return `${lastNameOf(from)} to ${lastNameOf(to)}`;
}

/** Azure's way out of it is to delete the peering and to make it again. */
function planDeletion(plan: PlanBuilder, direction: Direction): void {
  const resourceId = idOf(direction);
  if (peeringOf(direction)?.provisioning === "pending") {
    plan.wait(resourceId, `the peering of ${namesOf(direction)}`);
    return;
  }
  plan.add(
    { kind: "delete-peering", resourceId },
    `the peering of ${namesOf(direction)} is disconnected: it is made again`,
  );
}

function planDirection(plan: PlanBuilder, direction: Direction, after: readonly string[]): void {
  const { from, to } = direction;
  const peering = peeringOf(direction);
  const names = namesOf(direction);
  const resourceId = idOf(direction);
  if (peering?.provisioning === "pending") {
    plan.wait(resourceId, `the peering of ${names}`);
    return;
  }
  const reason = whyPeering(peering, names);
  if (reason === undefined) return;
  plan.add(
    { kind: "create-peering", resourceId, remoteNetworkId: to },
    reason,
    // One change of a network at a time: the subnet comes first.
    { needs: [from, to, ...after] },
  );
}

function whyPeering(peering: PeeringState | undefined, names: string): string | undefined {
  if (peering === undefined) return `there is no peering of ${names}`;
  if (peering.provisioning === "failed") return `the peering of ${names} failed to be made`;
  if (!peering.allowsAccess) return `the peering of ${names} lets no traffic pass`;
  return undefined;
}
