import { beforeEach, describe, expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import { planRegionOf } from "#functions/activities/regions.ts";
import { accountOf, HUB_ID, subnetOf } from "./fake-region.ts";
import { callEndpoint } from "./api-caller.ts";
import { prepareRegion } from "./region-session.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";
import { createTestVm, SUBSCRIPTION } from "./test-vm.ts";

/** The private network of a region: planned, made in a session, configured by an operator. */
const REGION = "westeurope";
let world: World;

beforeEach(async () => {
  world = createWorld();
  await addRepository(world);
});

const prepare = (sessionId = "region-1") => prepareRegion(world, sessionId, REGION);

const call = (name: string, body?: object, region = REGION) =>
  callEndpoint(world, [], name, { params: { region }, ...(body === undefined ? {} : { body }) });

const logOf = async (sessionId = "region-1") =>
  (await collect(world.context.records.sessionLog(sessionId).list())).map(
    ({ value }) => value.message,
  );

describe("preparing a region", () => {
  it("makes exactly what the plan showed, and tells each piece in the log", async () => {
    const shown = await call("plan-region-network");
    expect(world.azure.region.made).toEqual([]);
    const { actions } = shown.body as { actions: { resourceId: string; reason: string }[] };
    expect(actions.length).toBeGreaterThan(15);
    expect(await prepare()).toMatchObject({ state: "succeeded" });
    const wanted = actions.map(({ resourceId }) => resourceId).sort();
    expect([...world.azure.region.made].sort()).toEqual(wanted);
    const lines = await logOf();
    for (const { resourceId, reason } of actions)
      expect(lines.some((line) => line.includes(resourceId) && line.includes(reason))).toBe(true);
    const again = await call("plan-region-network");
    expect(again.body).toMatchObject({ actions: [], ready: true });
  });

  it("keeps the region's record, what was made and when it was seen last", async () => {
    await prepare();
    const { body } = await call("get-region");
    expect(body).toMatchObject({
      location: REGION,
      settings: {},
      network: { addressPrefix: "10.213.0.0/24" },
    });
    const { changes } = body as { changes: { resourceId: string }[] };
    expect(changes.map(({ resourceId }) => resourceId).sort()).toEqual(
      [...world.azure.region.made].sort(),
    );
    const first = await world.context.records.regions.get(REGION);
    world.driver.now += 60_000;
    await prepare("region-2");
    const second = await world.context.records.regions.get(REGION);
    expect(second.readyAt).toBe(first.readyAt);
    expect(second.verifiedAt > first.verifiedAt).toBe(true);
    const list = await call("list-regions");
    expect(list.body).toMatchObject({ value: [{ location: REGION }] });
  });

  it("goes on when a network is being changed by somebody else", async () => {
    const failures = new Map<string, number>();
    world.azure.region.beforeChange = (id) => {
      const before = failures.get(id) ?? 0;
      failures.set(id, before + 1);
      if (before < 4)
        throw new HoldfastError("AnotherOperationInProgress", "busy", { retry: "backoff" });
    };
    expect(await prepare()).toMatchObject({ state: "succeeded" });
  });

  it("takes another prefix when another region was faster", async () => {
    const { prefixes } = world.context.records;
    world.azure.region.beforeChange = async (id) => {
      if (!id.includes("networkSecurityGroups")) return;
      await prefixes.insert("10.213.0.0-24", {
        location: "eastus",
        addressPrefix: "10.213.0.0/24",
      });
    };
    await prepare();
    expect(await world.context.records.regions.get(REGION)).toMatchObject({
      addressPrefix: "10.213.1.0/24",
    });
  });

  it("ends with what a person has to do, and makes nothing then", async () => {
    await world.context.records.repositories.update("r-1", (each) => ({
      ...each,
      blobServiceUrl: "https://nowhere.blob.example/",
    }));
    const session = await prepare();
    expect(session).toMatchObject({
      state: "failed",
      error: { code: "RepositoryAccountNotFound" },
    });
    expect(session.reason).toContain("https://nowhere.blob.example/");
    expect(world.azure.region.made).toEqual([]);
  });

  it("says which right is missing", async () => {
    world.azure.region.beforeChange = (id) => {
      if (id.includes("virtualNetworkPeerings"))
        throw new HoldfastError("AuthorizationFailed", "Azure refused.");
    };
    const session = await prepare();
    expect(session).toMatchObject({ state: "failed", error: { code: "AuthorizationFailed" } });
    expect(session.reason).toContain("role 'Holdfast hub'");
    expect(session.reason).toContain(HUB_ID);
  });

  it("gives up after its time with what is still missing", async () => {
    world = createWorld({ HOLDFAST_REGION_SECONDS: "60", HOLDFAST_PRIVATE_DNS: "verify" });
    await addRepository(world);
    const { zones } = world.azure.region;
    const group = world.context.config.network.zoneGroupId;
    for (const service of ["blob", "queue"]) {
      const zoneId = `${group}/providers/Microsoft.Network/privateDnsZones/privatelink.${service}.core.windows.net`;
      const networkIds = [
        HUB_ID,
        `${world.context.config.worker.resourceGroupId}/providers/Microsoft.Network/virtualNetworks/holdfast-${REGION}`,
      ];
      const links = networkIds.map((networkId, index) => {
        const linkId = `${zoneId}/virtualNetworkLinks/${index}`;
        return { linkId, networkId, provisioning: "succeeded" as const };
      });
      zones.set(zoneId, { zoneId, provisioning: "succeeded", links });
    }
    const session = await prepare();
    expect(session).toMatchObject({ state: "failed", error: { code: "RegionNotReady" } });
    expect(session.reason).toContain("an A record repo with");
    expect(session.reason).toContain("whoever owns the zone makes it");
  });

  it("looks for the account of one repository only when a backup of it asks", async () => {
    await world.context.records.repositories.insert("r-2", {
      ...(await world.context.records.repositories.get("r-1")),
      repositoryId: "r-2",
      blobServiceUrl: "https://gone.blob.example/",
    });
    const { body } = await call("plan-region-network");
    expect(body).toMatchObject({ findings: [{ code: "RepositoryAccountNotFound" }] });
    const one = await planRegionOf.run(world.context, { location: REGION, repositoryId: "r-1" });
    expect(one).toMatchObject({ ok: true, value: { findings: [] } });
  });
});

describe("the settings of a region", () => {
  const networkId = `/subscriptions/${SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/spoke`;
  const subnetId = `${networkId}/subnets/backup`;

  it("give workers an existing subnet, which gets nothing but its peering", async () => {
    world.azure.region.networks.set(networkId, {
      networkId,
      location: REGION,
      addressPrefixes: ["10.40.0.0/16"],
      provisioning: "succeeded",
      subnets: [subnetOf(subnetId, "10.40.1.0/24")],
      peerings: [],
    });
    const put = await call("replace-region", { subnetId });
    expect(put.status).toBe(200);
    expect(await prepare()).toMatchObject({ state: "succeeded" });
    expect(await world.context.records.regions.get(REGION)).toMatchObject({ subnetId });
    const inNetwork = world.azure.region.made.filter((id) => id.startsWith(networkId));
    expect(inNetwork).toHaveLength(1);
    expect(inNetwork[0]).toContain("/virtualNetworkPeerings/");
  });

  it("move the region's endpoints when it gets another network later", async () => {
    expect(await prepare()).toMatchObject({ state: "succeeded" });
    world.azure.region.networks.set(networkId, {
      networkId,
      location: REGION,
      addressPrefixes: ["10.40.0.0/16"],
      provisioning: "succeeded",
      subnets: [subnetOf(subnetId, "10.40.1.0/24")],
      peerings: [],
    });
    const { endpoints } = world.azure.region;
    const shared = [...endpoints.values()].filter((each) => each.subnetId.startsWith(HUB_ID));
    await call("replace-region", { subnetId });
    const { body } = await call("plan-region-network");
    expect(body).toMatchObject({ findings: [] });
    expect(await prepare("region-2")).toMatchObject({ state: "succeeded" });
    const staging = [...endpoints.values()].filter(({ endpointId }) =>
      endpointId.includes("-staging-"),
    );
    expect(staging.map((each) => each.subnetId)).toEqual([subnetId, subnetId]);
    for (const each of shared) expect(endpoints.get(each.endpointId)).toEqual(each);
    expect(await logOf("region-2")).toContainEqual(
      expect.stringContaining("delete-private-endpoint"),
    );
  });

  it("leave alone an endpoint of the hub that is in another network, and say so", async () => {
    await prepare();
    const [ofRepository] = [...world.azure.region.endpoints.values()].filter(({ endpointId }) =>
      endpointId.endsWith("/holdfast-repo-blob"),
    );
    ofRepository!.subnetId = subnetId;
    expect(await prepare("region-2")).toMatchObject({
      state: "failed",
      error: { code: "EndpointElsewhere" },
    });
    expect(world.azure.region.endpoints.has(ofRepository!.endpointId)).toBe(true);
  });

  it("ask for room for the disk accesses of all machines of the region", async () => {
    // Five of two disks, two exports each: four disk accesses.
    for (const name of ["a", "b", "c", "d", "e"]) {
      const vm = createTestVm(name);
      world.azure.vms.set(vm.resourceId, { ...vm, location: REGION });
    }
    world.azure.region.networks.set(networkId, {
      networkId,
      location: REGION,
      addressPrefixes: ["10.40.0.0/16"],
      provisioning: "succeeded",
      // Ten are free: one less than five workers and six endpoints need.
      subnets: [{ ...subnetOf(subnetId, "10.40.1.0/28"), usedAddresses: 1 }],
      peerings: [],
    });
    await call("replace-region", { subnetId });
    const full = await call("plan-region-network");
    expect(full.body).toMatchObject({ findings: [{ code: "SubnetFull" }] });
    world.azure.vms.clear();
    expect((await call("plan-region-network")).body).toMatchObject({ findings: [] });
  });

  it("refuse what is no subnet, no prefix, or both", async () => {
    for (const body of [
      { subnetId: "workers" },
      { addressPrefix: "10.0.0.0/8" },
      { subnetId, addressPrefix: "10.9.0.0/24" },
      { colour: "blue" },
    ]) {
      const answer = await call("replace-region", body);
      expect(answer.status).toBe(400);
    }
    expect((await call("plan-region-network", {}, "West Europe")).status).toBe(400);
    expect((await call("get-region", undefined, "eastus")).status).toBe(404);
  });

  it("choose the prefix, which stays once the network is made", async () => {
    await call("replace-region", { addressPrefix: "10.90.0.0/26" });
    await prepare();
    expect(await world.context.records.regions.get(REGION)).toMatchObject({
      addressPrefix: "10.90.0.0/26",
    });
    const moved = await call("replace-region", {
      addressPrefix: "10.91.0.0/26",
    });
    expect(moved).toMatchObject({ status: 409, body: { error: { code: "RegionInUse" } } });
  });

  it("start a session over HTTP", async () => {
    const answer = await call("prepare-region-network");
    expect(answer.status).toBe(202);
    const { sessionId } = answer.body as { sessionId: string };
    expect(await world.context.records.sessions.get(sessionId)).toMatchObject({
      type: "region",
      location: REGION,
    });
  });
});

it("a staging account that somebody opened is closed again", async () => {
  await prepare();
  const [account] = [...world.azure.region.accounts.values()].filter(({ name }) =>
    name.startsWith("holdfast"),
  );
  expect(account).toMatchObject({ publicAccess: false });
  expect(accountOf(account!.accountId, REGION).name).toBe(account!.name);
  account!.publicAccess = true;
  await prepare("region-2");
  expect(account).toMatchObject({ publicAccess: false });
  expect(await logOf("region-2")).toContainEqual(
    expect.stringContaining("answers on public addresses"),
  );
});
