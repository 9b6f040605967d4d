import { expect, test } from "vitest";
import { planRegion } from "#core/network/plan-region.ts";
import type { EndpointFacts, RegionFacts } from "#core/network/region-plan.ts";
import { completeFacts, config, hubId } from "./region-facts.ts";

/** Plans of a region whose network is another one than before, or was deleted. */
function withStagingBlob(change: Partial<EndpointFacts>): RegionFacts {
  const facts = completeFacts();
  const [first, ...others] = facts.endpoints;
  return { ...facts, endpoints: [{ ...first!, ...change }, ...others] };
}

test("an endpoint of the region's own name in another network goes first: Azure moves none", () => {
  const elsewhere = withStagingBlob({ subnetId: `${hubId}/subnets/endpoints` });
  const plan = planRegion(elsewhere, config);
  expect(plan.actions[0]?.action.kind).toBe("delete-private-endpoint");
  expect(plan.actions.filter(({ after }) => after.length === 0)).toHaveLength(1);
  const going = withStagingBlob({
    subnetId: `${hubId}/subnets/endpoints`,
    provisioning: "pending",
  });
  expect(planRegion(going, config).actions.map(({ action }) => action.kind)).toEqual([
    "create-zone-group",
  ]);
});

test("a network that somebody deleted is made again with its own prefix, although the hub remembers it", () => {
  const facts = completeFacts();
  const dangling = facts.hub!.peerings.map((each) => ({
    ...each,
    state: "Disconnected" as const,
  }));
  const gone = { ...facts, workerNetwork: undefined, hub: { ...facts.hub!, peerings: dangling } };
  for (const addressPrefix of [undefined, "10.213.0.0/24"]) {
    const { actions, findings } = planRegion(gone, { ...config, addressPrefix });
    expect(findings).toEqual([]);
    expect(actions.map(({ action }) => action)).toContainEqual(
      expect.objectContaining({ kind: "create-network", addressPrefix: "10.213.0.0/24" }),
    );
    expect(actions.map(({ action }) => action.kind)).toContain("delete-peering");
  }
});
