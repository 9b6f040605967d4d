import { expect, test } from "vitest";
import { planRegion } from "#core/network/plan-region.ts";
import { findBlockingRule } from "#core/network/security-rules.ts";
import type { RegionFacts } from "#core/network/region-plan.ts";
import type { SecurityRule, SubnetState, VirtualNetworkState } from "#core/ports/region.ts";
import { completeFacts, given } from "./region-facts.ts";

const complete = completeFacts(given);
const network = complete.workerNetwork!;
const subnet = network.subnets[0]!;

function withSubnet(change: Partial<SubnetState>, more: Partial<RegionFacts> = {}): RegionFacts {
  const workerNetwork = { ...network, subnets: [{ ...subnet, ...change }] };
  return { ...complete, workerNetwork, ...more };
}

function withNetwork(change: Partial<VirtualNetworkState>): RegionFacts {
  return { ...complete, workerNetwork: { ...network, ...change } };
}

const rule = (change: Partial<SecurityRule>): SecurityRule => ({
  name: "r",
  priority: 100,
  direction: "Outbound",
  access: "Deny",
  protocol: "*",
  sources: ["*"],
  destinations: ["*"],
  ports: ["*"],
  ...change,
});
const withRules = (...rules: SecurityRule[]): RegionFacts => ({
  ...complete,
  securityGroup: { securityGroupId: "/g/nsg", provisioning: "succeeded", rules },
});
const groupless = complete.endpoints.filter(({ subnetId }) => subnetId !== subnet.subnetId);
const route = { name: "drop", nextHopType: "None" };
const peer = { ...complete.hub!.peerings[0]!, remoteNetworkId: "/x/other" };

const cases: readonly (readonly [string, RegionFacts, string])[] = [
  ["no such network", { ...complete, workerNetwork: undefined }, "NetworkNotFound"],
  ["a network in another region", withNetwork({ location: "eastus" }), "NetworkInOtherRegion"],
  ["no such subnet", withNetwork({ subnets: [] }), "SubnetNotFound"],
  [
    "a delegated subnet",
    withSubnet({ delegations: ["Microsoft.Web/serverFarms"] }),
    "SubnetDelegated",
  ],
  ["a full subnet", withSubnet({ usedAddresses: 251 }, { endpoints: groupless }), "SubnetFull"],
  [
    "a small subnet",
    withSubnet({ addressPrefix: "10.213.0.0/29" }, { endpoints: groupless }),
    "SubnetFull",
  ],
  [
    "a subnet without room for the disk accesses of all its machines",
    withSubnet({ usedAddresses: 215 }, { endpoints: groupless, expectedDiskAccesses: 30 }),
    "SubnetFull",
  ],
  [
    "addresses of the hub",
    withNetwork({ addressPrefixes: ["10.212.128.0/17"] }),
    "AddressSpaceOverlaps",
  ],
  [
    "addresses of a peer of the hub",
    { ...complete, hub: { ...complete.hub!, peerings: [...complete.hub!.peerings, peer] } },
    "AddressSpaceOverlaps",
  ],
  ["a rule that blocks", withRules(rule({})), "SecurityGroupBlocks"],
  [
    "a route to nowhere",
    { ...complete, routes: [{ ...route, addressPrefix: "10.212.1.0/24" }] },
    "RouteBlackholes",
  ],
];

test.each(cases)("%s is refused, and nothing is made", (_, facts, code) => {
  const plan = planRegion(facts, given);
  expect(plan.findings[0]).toMatchObject({ code });
  expect(plan.ready).toBe(false);
});

test("a subnet of a reserved name is refused", () => {
  const subnetId = `${network.networkId}/subnets/GatewaySubnet`;
  const facts = withSubnet({ subnetId });
  expect(planRegion(facts, { ...given, subnetId }).findings[0]).toMatchObject({
    code: "SubnetReserved",
  });
});

test("a given network is never changed but for its peering", () => {
  const open = withSubnet({ defaultOutboundAccess: true, securityGroupId: undefined });
  const plan = planRegion({ ...open, securityGroup: undefined }, given);
  expect(plan.actions).toEqual([]);
  expect(plan.ready).toBe(true);
  expect(plan.notes).toHaveLength(1);
});

test("a subnet with room for the disk accesses of all its machines is good", () => {
  const room = { endpoints: groupless, expectedDiskAccesses: 30 };
  const plan = planRegion(withSubnet({ usedAddresses: 251 - 2 - 30 - 5 }, room), given);
  expect(plan.findings).toEqual([]);
});

test("a subnet that is full of our own things stays good", () => {
  expect(planRegion(withSubnet({ usedAddresses: 251 }), given).ready).toBe(true);
});

test("routes and rules that do no harm are let be", () => {
  const fine: RegionFacts = {
    ...withRules(
      rule({ name: "no-internet", destinations: ["Internet"] }),
      rule({ name: "no-udp", priority: 101, protocol: "Udp" }),
      rule({ name: "no-ssh", priority: 102, ports: ["22", "1000-2000"] }),
      rule({ name: "inbound", priority: 103, direction: "Inbound" }),
    ),
    routes: [
      { ...route, addressPrefix: "0.0.0.0/0" },
      { ...route, addressPrefix: "10.212.200.0/24" },
      { name: "firewall", nextHopType: "VirtualAppliance", addressPrefix: "10.212.1.0/24" },
    ],
  };
  expect(planRegion(fine, given).ready).toBe(true);
});

test("inbound rules count where endpoints obey them", () => {
  const rules = withRules(rule({ direction: "Inbound" }));
  const facts = withSubnet(
    { endpointPolicies: { securityGroup: true, routeTable: false } },
    { securityGroup: rules.securityGroup },
  );
  expect(planRegion(facts, given).findings).toMatchObject([{ code: "SecurityGroupBlocks" }]);
});

test("the first rule that matches decides, as far as it reaches", () => {
  const flow = {
    direction: "Outbound",
    source: "10.1.0.0/24",
    destination: "10.2.0.0/24",
    networks: ["10.1.0.0/16", "10.2.0.0/16"],
  } as const;
  const allow = rule({ name: "allow", access: "Allow", priority: 100, ports: ["443"] });
  const deny = rule({ name: "deny", priority: 200 });
  expect(findBlockingRule([deny, allow], flow)).toBeUndefined();
  const tagged = { ...allow, destinations: ["VirtualNetwork"], sources: ["VirtualNetwork"] };
  expect(findBlockingRule([deny, tagged], flow)).toBeUndefined();
  // It allows one half only: the other half is denied.
  const half = { ...allow, destinations: ["10.2.0.0/25"] };
  expect(findBlockingRule([half, deny], flow)?.name).toBe("deny");
  const single = { ...deny, destinations: ["10.2.0.7"] };
  expect(findBlockingRule([single], flow)?.name).toBe("deny");
  expect(findBlockingRule([{ ...deny, destinations: ["Storage"] }], flow)).toBeUndefined();
});
