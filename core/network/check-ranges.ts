import { sameId } from "../model/resource-id.ts";
import type { VirtualNetworkState } from "../ports/region.ts";
import { findOverlap } from "./address-ranges.ts";
import { lastNameOf, type PlanBuilder, type RegionFacts } from "./region-plan.ts";

/** Peering is impossible between networks with a common address, and beside a peer with one. */
export function checkRanges(
  plan: PlanBuilder,
  network: VirtualNetworkState,
  { hub }: RegionFacts,
): void {
  if (hub === undefined || sameId(hub.networkId, network.networkId)) return;
  const name = lastNameOf(network.networkId);
  const withHub = findOverlap(network.addressPrefixes, hub.addressPrefixes);
  if (withHub !== undefined)
    plan.refuse(
      "AddressSpaceOverlaps",
      `The network ${name} (${withHub.one}) and the control plane's network (${withHub.other}) overlap and cannot be peered: give a subnet of another network.`,
    );
  for (const peering of hub.peerings) {
    if (sameId(peering.remoteNetworkId, network.networkId)) continue;
    const clash = findOverlap(network.addressPrefixes, peering.remotePrefixes);
    if (clash === undefined) continue;
    plan.refuse(
      "AddressSpaceOverlaps",
      `The network ${name} (${clash.one}) overlaps ${lastNameOf(peering.remoteNetworkId)} (${clash.other}), which the control plane's network is peered with: give a subnet of another network.`,
    );
  }
}
