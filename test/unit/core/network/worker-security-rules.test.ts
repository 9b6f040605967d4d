import { describe, expect, test } from "vitest";
import type { SecurityRule } from "#core/ports/region.ts";
import { planRegion } from "#core/network/plan-region.ts";
import { findBlockingRule } from "#core/network/security-rules.ts";
import { hasExactly, portOfUrl, workerSecurityRules } from "#core/network/worker-security-rules.ts";
import { completeFacts, config } from "./region-facts.ts";

const rules = workerSecurityRules(undefined);
const workers = "10.213.0.0/24";
const hub = "10.212.1.0/24";
const networks = ["10.213.0.0/24", "10.212.0.0/16"];

describe("the rules for workers", () => {
  test.each([
    ["its own network", "Outbound", workers, workers, true],
    ["the hub's endpoints", "Outbound", workers, hub, true],
    ["a public address", "Outbound", workers, "20.60.1.0/24", false],
    ["another private network", "Outbound", workers, "10.99.0.0/24", false],
    ["a worker, from the hub", "Inbound", hub, workers, false],
    ["a worker, from another worker", "Inbound", workers, workers, false],
  ] as const)(
    "let HTTPS to %s pass (%s): %s to %s: %s",
    (_, direction, source, destination, passes) => {
      const blocking = findBlockingRule(rules, { direction, source, destination, networks });
      expect(blocking === undefined).toBe(passes);
    },
  );

  test("open no other port than that of endpoints, and that of a mirror where there is one", () => {
    const open = (mirrorPort?: number) =>
      workerSecurityRules(mirrorPort)
        .filter(({ access }) => access === "Allow")
        .map(({ direction, ports }) => [direction, ...ports]);
    expect(open()).toEqual([["Outbound", "443"]]);
    expect(open(8080)).toEqual([
      ["Outbound", "443"],
      ["Outbound", "8080"],
    ]);
    expect(open(443)).toEqual(open());
  });

  test.each([
    ["http://mirror.example/ubuntu", 80],
    ["https://mirror.example/ubuntu", 443],
    ["http://mirror.example:3142/ubuntu", 3142],
  ])("find the port of %s", (url, port) => {
    expect(portOfUrl(url)).toBe(port);
  });
});

describe("a security group that somebody changed", () => {
  const open: SecurityRule = { ...rules[0]!, name: "ssh", priority: 200, ports: ["22"] };
  const changes: readonly (readonly [string, readonly SecurityRule[]])[] = [
    ["without its rules", []],
    ["without the rule that denies", rules.filter(({ access }) => access === "Allow")],
    ["with one more rule", [...rules, open]],
    ["with a wider port", [{ ...rules[0]!, ports: ["*"] }, ...rules.slice(1)]],
    ["with Deny turned into Allow", rules.map((each) => ({ ...each, access: "Allow" as const }))],
    ["with another priority", [{ ...rules[0]!, priority: 1001 }, ...rules.slice(1)]],
  ];

  test.each(changes)("%s gets its rules again", (_, found) => {
    const facts = completeFacts();
    const securityGroup = { ...facts.securityGroup!, rules: found };
    const { actions } = planRegion({ ...facts, securityGroup }, config);
    expect(actions.map(({ action }) => action)).toEqual([
      {
        kind: "create-security-group",
        resourceId: facts.securityGroup!.securityGroupId,
        rules,
      },
    ]);
  });

  test("in order and case alone is left as it is", () => {
    const shuffled = rules
      .toReversed()
      .map((each) => ({ ...each, protocol: each.protocol.toUpperCase() }));
    expect(hasExactly(shuffled, rules)).toBe(true);
  });

  test("is changed when workers get a mirror", () => {
    const { actions } = planRegion(completeFacts(), { ...config, mirrorPort: 80 });
    expect(actions.map(({ action }) => action.kind)).toEqual(["create-security-group"]);
  });

  test("finds its subnet put right, too, when it applies rules to endpoints", () => {
    const facts = completeFacts();
    const subnets = facts.workerNetwork!.subnets.map((each) => ({
      ...each,
      endpointPolicies: { securityGroup: true, routeTable: false },
    }));
    const workerNetwork = { ...facts.workerNetwork!, subnets };
    const { actions } = planRegion({ ...facts, workerNetwork }, config);
    expect(actions.map(({ action }) => action.kind)).toEqual(["create-subnet"]);
  });
});
