import { describe, expect, it } from "vitest";
import { candidatePrefixes, planRegion, regionNamesOf } from "#core/network/plan-region.ts";
import type { ProvisioningState } from "#core/ports/compute.ts";

const networkIn = (provisioning: ProvisioningState) => ({
  virtualNetworkId: "/v",
  subnetId: "/v/s",
  addressPrefix: "10.213.0.0/24",
  provisioning,
});
const accountIn = (provisioning: ProvisioningState) => ({
  accountId: "/a",
  name: "a",
  location: "west",
  provisioning,
  blobServiceUrl: "https://b/",
  queueServiceUrl: "https://q/",
});

describe("plan of a region", () => {
  const states = [undefined, "pending", "succeeded", "failed"] as const;
  const cases = states.flatMap((network) => states.map((account) => [network, account] as const));
  it.each(cases)("network %s, account %s", (network, account) => {
    const plan = planRegion({
      location: "west",
      network: network === undefined ? undefined : networkIn(network),
      stagingAccount: account === undefined ? undefined : accountIn(account),
    });
    const isMade = (state: (typeof states)[number]): boolean =>
      state === undefined || state === "failed";
    expect(plan.actions.map((action) => action.kind)).toEqual([
      ...(isMade(network) ? ["create-network"] : []),
      ...(isMade(account) ? ["create-staging-account"] : []),
    ]);
    expect(plan.waitingFor).toHaveLength(
      [network, account].filter((state) => state === "pending").length,
    );
    expect(plan.ready).toBe(network === "succeeded" && account === "succeeded");
  });

  it("derives names that differ by location and control plane, within Azure's rules", () => {
    const names = ["one", "two"].flatMap((controlPlaneId) =>
      ["west", "north"].map(
        (location) =>
          regionNamesOf({ controlPlaneId, resourceGroupId: "/g" }, location).stagingAccountId,
      ),
    );
    expect(new Set(names).size).toBe(4);
    for (const name of names) expect(name.split("/").at(-1)).toMatch(/^[a-z0-9]{3,24}$/);
  });

  it("offers every /24 of its space once, without those that are taken", () => {
    const taken = new Set(["10.213.0.0/24", "10.213.7.0/24"]);
    const prefixes = [...candidatePrefixes(taken)];
    expect(new Set(prefixes).size).toBe(254);
    expect(prefixes.filter((prefix) => taken.has(prefix))).toEqual([]);
    expect(prefixes[0]).toBe("10.213.1.0/24");
  });
});
