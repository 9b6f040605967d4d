import { sameId } from "../model/resource-id.ts";
import {
  lastNameOf,
  networkLabelOf,
  regionNamesOf,
  zoneIdOf,
  ZONE_SERVICES,
  type PlanBuilder,
  type RegionConfig,
  type RegionFacts,
  type ZoneService,
} from "./region-plan.ts";

const ZONE_COST_HINT = "about 0.50 USD a month (list price)";

/** The zones of private names, each seen from the hub and from the workers' network. */
export function planPrivateDns(plan: PlanBuilder, facts: RegionFacts, config: RegionConfig): void {
  const { networkId } = regionNamesOf(config);
  const isHub = sameId(networkId, config.hubNetworkId);
  const networks = isHub ? [networkId] : [config.hubNetworkId, networkId];
  for (const service of ZONE_SERVICES) {
    if (config.privateDns === "manage") planZone(plan, facts, config, service, networks);
    else verifyZone(plan, facts, config, service, networks);
  }
}

function planZone(
  plan: PlanBuilder,
  facts: RegionFacts,
  config: RegionConfig,
  service: ZoneService,
  networks: readonly string[],
): void {
  const zoneId = zoneIdOf(config.zoneGroupId, service);
  const zone = facts.zones[service];
  const name = lastNameOf(zoneId);
  if (zone?.provisioning === "pending") plan.wait(zoneId, `the zone ${name}`);
  else if (zone?.provisioning !== "succeeded")
    plan.add(
      { kind: "create-zone", resourceId: zoneId },
      zone === undefined ? `there is no zone ${name}` : `the zone ${name} failed to be made`,
      { costHint: ZONE_COST_HINT },
    );
  for (const networkId of networks) {
    const link = zone?.links.find((each) => sameId(each.networkId, networkId));
    const linkId = link?.linkId ?? `${zoneId}/virtualNetworkLinks/${networkLabelOf(networkId)}`;
    if (link?.provisioning === "pending")
      plan.wait(linkId, `the link of ${lastNameOf(networkId)} to the zone ${name}`);
    else if (link?.provisioning !== "succeeded")
      plan.add(
        { kind: "link-zone", resourceId: linkId, networkId },
        link === undefined
          ? `the network ${lastNameOf(networkId)} does not see the zone ${name}`
          : `the link of ${lastNameOf(networkId)} to the zone ${name} failed to be made`,
        { needs: [zoneId, networkId] },
      );
  }
}

/** Somebody else's zones: only what is missing is said. */
function verifyZone(
  plan: PlanBuilder,
  facts: RegionFacts,
  config: RegionConfig,
  service: ZoneService,
  networks: readonly string[],
): void {
  const zoneId = zoneIdOf(config.zoneGroupId, service);
  const zone = facts.zones[service];
  if (zone === undefined) {
    plan.refuse(
      "ZoneNotFound",
      `There is no zone ${zoneId}, or the control plane may not read it: make it and link it to ${networks.map(lastNameOf).join(" and ")}, or give the control plane's identity Reader on its resource group.`,
    );
    return;
  }
  for (const networkId of networks) {
    if (zone.links.some((link) => sameId(link.networkId, networkId))) continue;
    // A network that is about to be made cannot be linked yet: its owner learns the name now.
    const text = `a link of the network ${networkId} to the zone ${zoneId}, which its owner makes`;
    if (plan.isMissing(networkId)) plan.wait(`${zoneId}/link`, text);
    else
      plan.refuse(
        "ZoneNotLinked",
        `The zone ${zoneId} is not linked to the network ${networkId}, so that machines there find public addresses: its owner adds a virtual network link.`,
      );
  }
}
