import { describe, expect, test } from "vitest";
import { explainDoctor, textOfFindings } from "#core/network/explain-doctor.ts";
import { doctorFactsSchema, type DoctorFacts } from "#core/model/doctor-facts.ts";
import type { ProbeCode, ProbeResult } from "#core/model/doctor.ts";

const group = "/subscriptions/s/resourceGroups/g/providers";
const worker = `${group}/Microsoft.Network/virtualNetworks/workers-west`;
const hub = `${group}/Microsoft.Network/virtualNetworks/hub`;
const staging = `${group}/Microsoft.Storage/storageAccounts/staging`;
const control = `${group}/Microsoft.Storage/storageAccounts/control`;
const repository = `${group}/Microsoft.Storage/storageAccounts/vault`;
const disks = `${group}/Microsoft.Compute/diskAccesses/disks-1`;
const zone = (service: string) =>
  `${group}/Microsoft.Network/privateDnsZones/privatelink.${service}.core.windows.net`;
const endpointId = (name: string) => `${group}/Microsoft.Network/privateEndpoints/${name}`;
const linkId = (service: string, name: string) => `${zone(service)}/virtualNetworkLinks/${name}`;
const peering = (from: string, name: string) => `${from}/virtualNetworkPeerings/${name}`;

type Way = DoctorFacts["ways"][number];

const way = (
  kind: Way["kind"],
  targetId: string,
  service: Way["service"],
  [networkId, address]: [string, string],
): Way => ({
  kind,
  targetId,
  targetExists: true,
  service,
  neededBy: targetId === staging ? ["worker", "control-plane"] : ["worker"],
  endpoint: {
    id: endpointId(`${targetId.slice(targetId.lastIndexOf("/") + 1)}-${service}`),
    exists: true,
    networkId,
    connection: "Approved",
    addresses: [address],
  },
  zoneId: zone(service === "queue" ? "queue" : "blob"),
  recordNames: [service === "disks" ? "md-a.z1" : targetId.slice(targetId.lastIndexOf("/") + 1)],
});

/** A region where all is well; each test breaks one thing of its own copy. */
function wellFacts() {
  const zoneOf = (service: string, records: [string, string][]) => ({
    id: zone(service),
    exists: true,
    links: [
      { id: linkId(service, "to-workers"), networkId: worker, exists: true },
      { id: linkId(service, "to-hub"), networkId: hub, exists: true },
    ],
    records: records.map(([name, address]) => ({ name, addresses: [address] })),
  });
  return doctorFactsSchema.parse({
    workerNetworkId: worker,
    controlNetworkId: hub,
    ways: [
      way("staging-blob", staging, "blob", [worker, "10.1.0.4"]),
      way("job-queue", staging, "queue", [worker, "10.1.0.5"]),
      way("event-queue", control, "queue", [hub, "10.0.1.4"]),
      way("repository", repository, "blob", [hub, "10.0.1.5"]),
      way("disk", disks, "disks", [worker, "10.1.0.6"]),
    ],
    zones: [
      zoneOf("blob", [
        ["staging", "10.1.0.4"],
        ["vault", "10.0.1.5"],
        ["md-a.z1", "10.1.0.6"],
      ]),
      zoneOf("queue", [
        ["staging", "10.1.0.5"],
        ["control", "10.0.1.4"],
      ]),
    ],
    peerings: [
      {
        id: peering(worker, "to-hub"),
        fromNetworkId: worker,
        toNetworkId: hub,
        state: "Connected",
      },
      { id: peering(hub, "to-west"), fromNetworkId: hub, toNetworkId: worker, state: "Connected" },
    ],
  });
}

function probe(kind: ProbeResult["kind"], code: ProbeCode, targetId?: string): ProbeResult {
  return {
    name: `the ${kind}`,
    kind,
    host: "name.example",
    ok: code === "Ok",
    aliases: [],
    durationMs: 3,
    code,
    message: `it is ${code}`,
    ...(targetId === undefined ? {} : { targetId }),
  };
}

/** All ways, of which those of the named kinds fail. */
function probes(code: ProbeCode, ...kinds: ProbeResult["kind"][]): ProbeResult[] {
  const all = ["staging-blob", "job-queue", "event-queue", "repository", "disk"] as const;
  return all.map((kind) => probe(kind, kinds.includes(kind) ? code : "Ok"));
}

const found = <Item>(item: Item | undefined): Item => {
  if (item === undefined) throw new Error("the test's facts lack it");
  return item;
};
const wayOf = (facts: DoctorFacts, kind: Way["kind"]) =>
  found(facts.ways.find((each) => each.kind === kind));
const zoneFact = (facts: DoctorFacts, service: string) =>
  found(facts.zones.find(({ id }) => id === zone(service)));

const breakages: readonly {
  readonly name: string;
  readonly damage: (facts: DoctorFacts) => void;
  readonly failing: ProbeResult["kind"][];
  readonly code: ProbeCode;
  readonly names: string;
  readonly text: RegExp;
}[] = [
  ...(["staging-blob", "job-queue", "event-queue", "repository", "disk"] as const).map((kind) => ({
    name: `the endpoint of ${kind}`,
    damage: (facts: DoctorFacts) => {
      const { endpoint } = wayOf(facts, kind);
      endpoint.exists = false;
      endpoint.addresses = [];
    },
    failing: [kind],
    code: "NoSuchName" as const,
    names: wayOf(wellFacts(), kind).endpoint.id,
    text: /private endpoint \S+ is missing/,
  })),
  {
    name: "a rejected connection",
    damage: (facts) => (wayOf(facts, "repository").endpoint.connection = "Rejected"),
    failing: ["repository"],
    code: "PublicAddress",
    names: endpointId("vault-blob"),
    text: /connection of the private endpoint vault-blob is rejected.*Approve/,
  },
  ...["blob", "queue"].map((service) => ({
    name: `the zone link of ${service}`,
    damage: (facts: DoctorFacts) => (found(zoneFact(facts, service).links[0]).exists = false),
    failing:
      service === "blob"
        ? (["staging-blob", "repository", "disk"] as const).slice()
        : (["job-queue", "event-queue"] as const).slice(),
    code: "PublicAddress" as const,
    names: linkId(service, "to-workers"),
    text: /not linked to the network workers-west: its link to-workers is missing/,
  })),
  {
    name: "a zone",
    damage: (facts) => (zoneFact(facts, "queue").exists = false),
    failing: ["job-queue", "event-queue"],
    code: "PublicAddress",
    names: zone("queue"),
    text: /zone privatelink\.queue\.core\.windows\.net is missing/,
  },
  ...(
    [
      ["blob", "staging", "staging-blob"],
      ["queue", "staging", "job-queue"],
      ["queue", "control", "event-queue"],
      ["blob", "vault", "repository"],
      ["blob", "md-a.z1", "disk"],
    ] as const
  ).map(([service, record, kind]) => ({
    name: `the DNS record of ${kind}`,
    damage: (facts: DoctorFacts) => {
      const fact = zoneFact(facts, service);
      fact.records = fact.records.filter(({ name }) => name !== record);
    },
    failing: [kind],
    code: "NoSuchName" as const,
    names: `${zone(service)}/A/${record}`,
    text: new RegExp(`DNS record ${record.replace(".", String.raw`\.`)} is missing`),
  })),
  {
    name: "a record of another endpoint",
    damage: (facts) => (found(zoneFact(facts, "blob").records[1]).addresses = ["10.0.9.9"]),
    failing: ["repository"],
    code: "ForeignCertificate",
    names: `${zone("blob")}/A/vault`,
    text: /leads to 10\.0\.9\.9, not to 10\.0\.1\.5/,
  },
  {
    name: "a peering",
    damage: (facts) => {
      const [first, second] = facts.peerings;
      found(first).state = "Missing";
      found(second).state = "Disconnected";
    },
    failing: ["event-queue", "repository"],
    code: "ConnectTimedOut",
    names: peering(worker, "to-hub"),
    text: /peering to-hub from workers-west to hub is missing/,
  },
  {
    name: "the peering of the other direction",
    damage: (facts) => {
      const [first, second] = facts.peerings;
      found(first).state = "Disconnected";
      found(second).state = "Missing";
    },
    failing: ["event-queue", "repository"],
    code: "NoRoute",
    names: peering(hub, "to-west"),
    text: /peering to-west from hub to workers-west is missing/,
  },
  {
    name: "a disk access",
    damage: (facts) => (wayOf(facts, "disk").targetExists = false),
    failing: ["disk"],
    code: "NoSuchName",
    names: disks,
    text: /disk access disks-1 is missing/,
  },
];

describe("the doctor's explanation", () => {
  test("has nothing to say where every probe passes, whatever the facts look like", () => {
    expect(explainDoctor(wellFacts(), probes("Ok"))).toEqual({ ok: true, findings: [] });
    const ownNameServers = wellFacts();
    ownNameServers.zones = ownNameServers.zones.map((each) => ({ ...each, exists: false }));
    expect(explainDoctor(ownNameServers, probes("Ok")).ok).toBe(true);
    expect(explainDoctor(wellFacts(), undefined).ok).toBe(true);
  });

  test.each(breakages)("names $name, from probes and from the facts alone", (each) => {
    const facts = wellFacts();
    each.damage(facts);
    for (const seen of [probes(each.code, ...each.failing), undefined]) {
      const { ok, findings } = explainDoctor(facts, seen);
      expect(ok).toBe(false);
      expect(findings.map(({ resourceId }) => resourceId)).toEqual([each.names]);
      expect(textOfFindings("west", findings)).toMatch(each.text);
    }
    const [first] = explainDoctor(facts, probes(each.code, ...each.failing)).findings;
    expect(first?.probes).toEqual(each.failing.map((kind) => `the ${kind}`));
  });

  test("takes a probe of one target for that target's fault only", () => {
    const facts = wellFacts();
    const other = `${group}/Microsoft.Compute/diskAccesses/disks-2`;
    facts.ways.push({ ...way("disk", other, "disks", [worker, "10.1.0.7"]), targetExists: false });
    const seen = [probe("disk", "Ok", disks), probe("disk", "NoSuchName", other)];
    const { findings } = explainDoctor(facts, seen);
    expect(findings.map(({ resourceId }) => resourceId)).toEqual([other]);
  });

  test("names the hub's link of a zone, which no worker's probe looks along", () => {
    const facts = wellFacts();
    found(zoneFact(facts, "blob").links[1]).exists = false;
    for (const seen of [probes("Ok"), undefined]) {
      const { findings } = explainDoctor(facts, seen);
      expect(findings.map(({ resourceId }) => resourceId)).toEqual([linkId("blob", "to-hub")]);
    }
  });

  test("believes Resource Manager where no probe looked", () => {
    const facts = wellFacts();
    wayOf(facts, "disk").endpoint.exists = false;
    const seen = probes("Ok").filter(({ kind }) => kind !== "disk");
    const { findings } = explainDoctor(facts, seen);
    expect(findings).toMatchObject([{ resourceId: endpointId("disks-1-disks"), probes: [] }]);
  });

  test.each<[ProbeCode, RegExp]>([
    ["ConnectTimedOut", /security group/],
    ["NetworkRefused", /network rules/],
    ["PermissionMissing", /role/],
    ["SasRefused", /another disk access/],
    ["ForeignCertificate", /another account/],
    ["NameServerSilent", /name servers/],
  ])("tells what %s usually means when the facts show nothing", (code, text) => {
    const { ok, findings } = explainDoctor(wellFacts(), probes(code, "repository"));
    expect(ok).toBe(false);
    expect(textOfFindings("west", findings)).toMatch(text);
    expect(findings).toHaveLength(1);
  });

  test("tells a few findings in a session's reason and counts the rest", () => {
    const facts = wellFacts();
    facts.ways = facts.ways.flatMap((each) =>
      [1, 2, 3].map((number) => ({
        ...each,
        endpoint: { ...each.endpoint, id: `${each.endpoint.id}-${number}`, exists: false },
      })),
    );
    const { findings } = explainDoctor(facts, undefined);
    expect(textOfFindings("west", findings)).toMatch(/10 more are in the region's doctor report/);
  });
});
