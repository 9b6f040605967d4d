import { describe, expect, test } from "vitest";
import { planRegion } from "#core/network/plan-region.ts";
import {
  networkLabelOf,
  regionNamesOf,
  zoneIdOf,
  type EndpointFacts,
  type RegionConfig,
  type RegionFacts,
} from "#core/network/region-plan.ts";
import { completeFacts, config, emptyFacts, given, hubId } from "./region-facts.ts";

const names = regionNamesOf(config);
const kindsOf = (facts: RegionFacts, region: RegionConfig = config) =>
  planRegion(facts, region).actions.map(({ action }) => action.kind);

/** The facts after a change of the endpoint of one service of the staging account. */
function withStagingBlob(change: Partial<EndpointFacts>): RegionFacts {
  const facts = completeFacts();
  const [first, ...others] = facts.endpoints;
  return { ...facts, endpoints: [{ ...first!, ...change }, ...others] };
}

test("a complete region needs nothing, made or given", () => {
  for (const region of [config, given]) {
    const plan = planRegion(completeFacts(region), region);
    expect(plan).toEqual({ actions: [], waitingFor: [], findings: [], notes: [], ready: true });
  }
});

test("a new region gets everything, each piece after what it needs", () => {
  const plan = planRegion(emptyFacts(), config);
  expect(plan.findings).toEqual([]);
  const kinds = plan.actions.map(({ action }) => action.kind);
  expect(kinds).toEqual([
    "create-security-group",
    "create-network",
    "create-staging-account",
    "write-lifecycle-rule",
    "create-zone",
    "link-zone",
    "link-zone",
    "create-zone",
    "link-zone",
    "link-zone",
    "create-private-endpoint",
    "create-zone-group",
    "create-private-endpoint",
    "create-zone-group",
    "create-private-endpoint",
    "create-zone-group",
    "create-private-endpoint",
    "create-zone-group",
    "create-peering",
    "create-peering",
  ]);
  const due = plan.actions.filter(({ after }) => after.length === 0);
  expect(due.map(({ action }) => action.kind)).toEqual([
    "create-security-group",
    "create-staging-account",
    "create-zone",
    "create-zone",
    // In the hub, which is there.
    "create-private-endpoint",
    "create-private-endpoint",
  ]);
  // Whatever an action comes after is itself in the plan before it.
  const made: string[] = [];
  for (const { action, after, reason } of plan.actions) {
    expect(made).toEqual(expect.arrayContaining([...after]));
    expect(reason).not.toBe("");
    made.push(action.resourceId);
  }
  expect(new Set(made).size).toBe(made.length);
});

test("endpoints and zones say what they cost", () => {
  const hints = planRegion(emptyFacts(), config).actions.flatMap(({ action, costHint }) =>
    costHint === undefined ? [] : [action.kind],
  );
  expect(hints.filter((kind) => kind === "create-private-endpoint")).toHaveLength(4);
  expect(hints.filter((kind) => kind === "create-zone")).toHaveLength(2);
  expect(hints).toHaveLength(6);
});

/** One piece gone, failed, pending or wrong; what the plan says of it. */
const complete = completeFacts();
const network = complete.workerNetwork!;
const subnet = network.subnets[0]!;
const staging = complete.stagingAccount!;
const blobZone = complete.zones.blob!;
const lonely = { ...blobZone, links: blobZone.links.filter((link) => link.networkId !== hubId) };
const [toHub] = network.peerings;
const pieces: readonly (readonly [string, Partial<RegionFacts>, string[], string[]])[] = [
  ["no security group", { securityGroup: undefined }, ["create-security-group"], []],
  [
    "a failed security group",
    { securityGroup: { ...complete.securityGroup!, provisioning: "failed" } },
    ["create-security-group"],
    [],
  ],
  [
    "a pending security group",
    { securityGroup: { ...complete.securityGroup!, provisioning: "pending" } },
    [],
    ["the security group"],
  ],
  [
    "a failed network",
    { workerNetwork: { ...network, provisioning: "failed" } },
    ["create-network"],
    [],
  ],
  [
    "a pending network",
    { workerNetwork: { ...network, provisioning: "pending" } },
    [],
    ["the worker network"],
  ],
  ["no subnet", { workerNetwork: { ...network, subnets: [] } }, ["create-subnet"], []],
  [
    "a pending subnet",
    { workerNetwork: { ...network, subnets: [{ ...subnet, provisioning: "pending" }] } },
    [],
    ["the workers' subnet"],
  ],
  [
    "a failed subnet",
    { workerNetwork: { ...network, subnets: [{ ...subnet, provisioning: "failed" }] } },
    ["create-subnet"],
    [],
  ],
  [
    "a subnet with a way out",
    { workerNetwork: { ...network, subnets: [{ ...subnet, defaultOutboundAccess: true }] } },
    ["create-subnet"],
    [],
  ],
  [
    "a subnet without its security group",
    { workerNetwork: { ...network, subnets: [{ ...subnet, securityGroupId: undefined }] } },
    ["create-subnet"],
    [],
  ],
  [
    "a failed staging account",
    { stagingAccount: { ...staging, provisioning: "failed" } },
    ["create-staging-account", "write-lifecycle-rule"],
    [],
  ],
  [
    "a pending staging account",
    { stagingAccount: { ...staging, provisioning: "pending" } },
    [],
    ["the staging account"],
  ],
  ...(["publicAccess", "sharedKeyAccess"] as const)
    .map(
      (key) =>
        [
          `a staging account with ${key}`,
          { stagingAccount: { ...staging, [key]: true } },
          ["secure-staging-account"],
          [],
        ] as const,
    )
    .map(([what, facts, kinds]): [string, Partial<RegionFacts>, string[], string[]] => [
      what,
      facts,
      [...kinds],
      [],
    ]),
  [
    "a staging account with old TLS",
    { stagingAccount: { ...staging, minimumTlsVersion: "TLS1_0" } },
    ["secure-staging-account"],
    [],
  ],
  ["no lifecycle rule", { lifecycleRules: ["other"] }, ["write-lifecycle-rule"], []],
  [
    "no zone",
    { zones: { queue: complete.zones.queue! } },
    ["create-zone", "link-zone", "link-zone"],
    [],
  ],
  [
    "a pending zone",
    { zones: { ...complete.zones, blob: { ...blobZone, provisioning: "pending" } } },
    [],
    ["the zone privatelink.blob.core.windows.net"],
  ],
  ["no link of the hub", { zones: { ...complete.zones, blob: lonely } }, ["link-zone"], []],
  [
    "no peering to the hub",
    { workerNetwork: { ...network, peerings: [] } },
    ["create-peering"],
    [],
  ],
  ["no peering of the hub", { hub: { ...complete.hub!, peerings: [] } }, ["create-peering"], []],
  [
    "a peering that was cut off",
    { workerNetwork: { ...network, peerings: [{ ...toHub!, state: "Disconnected" }] } },
    ["delete-peering"],
    [],
  ],
  [
    "a peering without access",
    { workerNetwork: { ...network, peerings: [{ ...toHub!, allowsAccess: false }] } },
    ["create-peering"],
    [],
  ],
  [
    "a failed peering",
    { workerNetwork: { ...network, peerings: [{ ...toHub!, provisioning: "failed" }] } },
    ["create-peering"],
    [],
  ],
  [
    "a pending peering",
    { workerNetwork: { ...network, peerings: [{ ...toHub!, provisioning: "pending" }] } },
    [],
    ["the peering of holdfast-northeurope to hub"],
  ],
];

test.each(pieces)("%s leads to exactly what puts it right", (_, change, kinds, waitingFor) => {
  const plan = planRegion({ ...complete, ...change }, config);
  expect(plan.actions.map(({ action }) => action.kind)).toEqual(kinds);
  expect(plan.waitingFor).toEqual(waitingFor);
  expect(plan.findings).toEqual([]);
  expect(plan.ready).toBe(false);
});

describe("an endpoint", () => {
  test("that is missing, failed or pending", () => {
    const [, ...others] = complete.endpoints;
    expect(kindsOf({ ...complete, endpoints: others })).toEqual([
      "create-private-endpoint",
      "create-zone-group",
    ]);
    expect(kindsOf(withStagingBlob({ provisioning: "failed" }))).toEqual([
      "create-private-endpoint",
    ]);
    const pending = planRegion(withStagingBlob({ provisioning: "pending" }), config);
    expect(pending.waitingFor).toEqual([
      "the private endpoint of the blob service of the staging account",
    ]);
  });

  test("that waits for its owner, or was refused, stops the plan and says who must act", () => {
    const waiting = planRegion(withStagingBlob({ connection: "Pending" }), config);
    expect(waiting.findings).toMatchObject([{ code: "EndpointNotApproved" }]);
    expect(waiting.findings[0]?.message).toContain("waits for approval by the account's owner");
    const refused = planRegion(withStagingBlob({ connection: "Rejected" }), config);
    expect(refused.findings).toMatchObject([{ code: "EndpointRefused" }]);
  });

  test("of any name will do, in the right network only", () => {
    const other = `${config.resourceGroupId}/providers/Microsoft.Network/privateEndpoints/theirs`;
    expect(planRegion(withStagingBlob({ endpointId: other }), config).ready).toBe(true);
    const subnetId = `${hubId}/subnets/endpoints`;
    const elsewhere = withStagingBlob({ endpointId: other, subnetId });
    expect(kindsOf(elsewhere)).toContain("create-private-endpoint");
  });

  test("without its record gets it again, also where a wrong one is", () => {
    expect(
      kindsOf(withStagingBlob({ dns: { address: "10.0.0.0", zoneGroups: [], recordNames: [] } })),
    ).toEqual(["create-zone-group"]);
    const gone = { ...complete, records: {} };
    expect(kindsOf(gone)).toEqual(Array.from({ length: 4 }, () => "create-zone-group"));
    const wrong = planRegion(
      { ...complete, records: { ...complete.records, "blob/repo": ["10.9.9.9"] } },
      config,
    );
    expect(wrong.actions).toHaveLength(1);
    expect(wrong.actions[0]?.reason).toContain("is 10.9.9.9 and not 10.0.0.3");
  });

  test("of a repository whose account nobody finds is refused", () => {
    const [main] = complete.repositories;
    const unknown = { ...complete, repositories: [{ ...main!, account: undefined }] };
    const { findings } = planRegion(unknown, config);
    expect(findings).toMatchObject([{ code: "RepositoryAccountNotFound" }]);
    expect(findings[0]?.message).toContain("https://repo.blob.core.windows.net/");
  });

  test("is made once for two repositories in one account", () => {
    const [main] = complete.repositories;
    const facts = { ...emptyFacts(), repositories: [main!, { ...main!, repositoryName: "other" }] };
    const wanted = planRegion(facts, config).actions.filter(
      ({ action }) => action.kind === "create-private-endpoint",
    );
    expect(wanted).toHaveLength(4);
  });
});

describe("zones of somebody else", () => {
  const verify: RegionConfig = { ...config, privateDns: "verify" };

  test("are only looked at", () => {
    expect(planRegion(complete, verify).ready).toBe(true);
    const plan = planRegion(emptyFacts(), verify);
    expect(plan.actions.map(({ action }) => action.kind)).not.toContain("create-zone");
    expect(plan.actions.map(({ action }) => action.kind)).not.toContain("link-zone");
    expect(plan.actions.map(({ action }) => action.kind)).not.toContain("create-zone-group");
    expect(plan.findings.map(({ code }) => code)).toEqual(["ZoneNotFound", "ZoneNotFound"]);
  });

  test("that lack a link or a record are named, with what to put there", () => {
    const unlinked = planRegion(
      { ...complete, zones: { ...complete.zones, blob: lonely } },
      verify,
    );
    expect(unlinked.findings).toMatchObject([{ code: "ZoneNotLinked" }]);
    expect(unlinked.findings[0]?.message).toContain(zoneIdOf(config.zoneGroupId, "blob"));
    expect(unlinked.findings[0]?.message).toContain(hubId);
    const { "blob/repo": _, ...records } = complete.records;
    const plan = planRegion({ ...complete, records }, verify);
    expect(plan.actions).toEqual([]);
    expect(plan.waitingFor).toHaveLength(1);
    expect(plan.waitingFor[0]).toContain("an A record repo with 10.0.0.3 in the zone");
  });
});

describe("address prefixes", () => {
  const prefixOf = (facts: RegionFacts, region: RegionConfig = config) =>
    planRegion(facts, region).actions.flatMap(({ action }) =>
      action.kind === "create-network" ? [action.addressPrefix] : [],
    );

  test("overlap no other region, nor the hub, nor what it is peered with", () => {
    const empty = emptyFacts();
    expect(prefixOf(empty)).toEqual(["10.213.0.0/24"]);
    const hub = {
      ...empty.hub!,
      peerings: [{ ...toHub!, remoteNetworkId: "/x", remotePrefixes: ["10.213.1.0/25"] }],
    };
    expect(prefixOf({ ...empty, takenPrefixes: ["10.213.0.0/24"], hub })).toEqual([
      "10.213.2.0/24",
    ]);
    expect(prefixOf(empty, { ...config, addressPrefix: "10.50.0.0/26" })).toEqual(["10.50.0.0/26"]);
  });

  test("that are all taken, or taken by the hub, are refused", () => {
    const full = planRegion({ ...emptyFacts(), takenPrefixes: ["10.213.0.0/16"] }, config);
    expect(full.findings).toMatchObject([{ code: "NoAddressPrefix" }]);
    const clash = planRegion(emptyFacts(), { ...config, addressPrefix: "10.212.3.0/24" });
    expect(clash.findings).toMatchObject([{ code: "AddressSpaceOverlaps" }]);
  });
});

test("workers in the hub itself need no peering and one link", () => {
  const inHub: RegionConfig = {
    ...config,
    location: "westeurope",
    subnetId: `${hubId}/subnets/endpoints`,
  };
  const { hub } = emptyFacts();
  const kinds = kindsOf({ ...emptyFacts(), workerNetwork: hub }, inHub);
  expect(kinds).not.toContain("create-peering");
  expect(kinds.filter((kind) => kind === "link-zone")).toHaveLength(2);
});

test("a hub that is not there is said at once", () => {
  expect(planRegion({ ...complete, hub: undefined }, config).findings).toMatchObject([
    { code: "ControlNetworkNotFound" },
  ]);
  const bare = { ...complete.hub!, subnets: [] };
  expect(planRegion({ ...complete, hub: bare }, config).findings).toMatchObject([
    { code: "EndpointSubnetNotFound" },
  ]);
});

test("names are the same each time, and fit Azure's rules", () => {
  expect(regionNamesOf(config)).toEqual(names);
  expect(names.stagingAccountId).toMatch(/\/holdfast[0-9a-f]{16}$/);
  expect(names.stagingAccountId).not.toBe(
    regionNamesOf({ ...config, location: "eastus" }).stagingAccountId,
  );
  const label = networkLabelOf(`/x/${"n".repeat(80)}`);
  expect(label.length).toBeLessThanOrEqual(80);
  expect(label).not.toBe(networkLabelOf(`/y/${"n".repeat(80)}`));
});
