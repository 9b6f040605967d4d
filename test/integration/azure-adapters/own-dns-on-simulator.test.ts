/**
 * HOLDFAST_PRIVATE_DNS=verify: the zones are somebody else's. Nothing in them is changed; what their
 * owner has to do is asked for, one thing after the other, and looked at.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { readRegion } from "#functions/activities/region-facts.ts";
import { repositoriesOf } from "#functions/activities/regions.ts";
import type { AppContext } from "#functions/app-context.ts";
import { groupId, type SimulatedCloud } from "../resource-manager/simulated-cloud.ts";
import { createContext, hubId, planOf, prepare, startRegionCloud } from "./region-cloud.ts";

const location = "northeurope";
const zoneVersion = "2024-06-01";
const names = ["privatelink.blob.core.windows.net", "privatelink.queue.core.windows.net"];
const zonePath = (name: string) => `Microsoft.Network/privateDnsZones/${name}`;
let cloud: SimulatedCloud;
let context: AppContext;

beforeAll(async () => {
  cloud = await startRegionCloud();
  context = await createContext(cloud, { HOLDFAST_PRIVATE_DNS: "verify" });
});
afterAll(async () => {
  await cloud?.[Symbol.asyncDispose]();
});

const codesOf = async () => (await planOf(context, location)).findings.map(({ code }) => code);

async function link(zone: string, networkId: string): Promise<void> {
  const name = networkId.slice(networkId.lastIndexOf("/") + 1);
  const body = { location: "global", properties: { virtualNetwork: { id: networkId } } };
  await cloud.make(`${zonePath(zone)}/virtualNetworkLinks/by-owner-${name}`, body, zoneVersion);
}

function findWorkers(): string | undefined {
  return cloud.manager.resources
    .list("Microsoft.Network/virtualNetworks")
    .find(({ id }) => id.endsWith(`/holdfast-${location}`))?.id;
}

function endpoints() {
  return cloud.manager.resources.list("Microsoft.Network/privateEndpoints");
}

/** What the owner's policy does for each endpoint, here by hand: its A record, or another address. */
async function writeRecord(zone: string, name: string, ipv4Address: string): Promise<void> {
  const body = { properties: { TTL: 10, aRecords: [{ ipv4Address }] } };
  await cloud.make(`${zonePath(zone)}/A/${name}`, body, zoneVersion);
}

test("a region is ready only when zones, links and records of the owner are there", async () => {
  expect(await codesOf()).toEqual(["ZoneNotFound", "ZoneNotFound"]);
  for (const name of names) await cloud.make(zonePath(name), { location: "global" }, zoneVersion);
  // Nothing is made before the hub sees the names.
  await expect(prepare(cloud, context, location)).rejects.toThrow(/is not linked to the network/);
  expect(findWorkers()).toBeUndefined();
  for (const zone of names) await link(zone, hubId);
  // The workers' network has to be there before anybody can link it.
  await expect(prepare(cloud, context, location)).rejects.toThrow(/holdfast-northeurope/);
  expect(await codesOf()).toEqual(["ZoneNotLinked", "ZoneNotLinked"]);
  for (const zone of names) await link(zone, findWorkers() ?? "");
  expect(await codesOf()).toEqual([]);
  // All is made; the records are waited for, and none is written.
  await expect(prepare(cloud, context, location)).rejects.toThrow(/is not ready after/);
  expect(endpoints().length).toBeGreaterThan(3);
  expect(cloud.manager.resources.list("Microsoft.Network/privateDnsZones/A")).toEqual([]);
  const groups = "Microsoft.Network/privateEndpoints/privateDnsZoneGroups";
  expect(cloud.manager.resources.list(groups)).toEqual([]);
  const { waitingFor, actions } = await planOf(context, location);
  expect(actions).toEqual([]);
  expect(waitingFor.length).toBeGreaterThan(0);

  const { facts } = await readRegion(context, location, await repositoriesOf(context, {}));
  for (const { targetId, service, dns } of facts.endpoints) {
    const name = targetId.slice(targetId.lastIndexOf("/") + 1);
    const zone = `privatelink.${service}.core.windows.net`;
    if (dns.address !== undefined) await writeRecord(zone, name, dns.address);
  }
  await prepare(cloud, context, location);
  expect(await planOf(context, location)).toMatchObject({ actions: [], ready: true });
});

test("a record that leads elsewhere, and one that is gone, are asked for again", async () => {
  const record = `${zonePath("privatelink.blob.core.windows.net")}/A/repositoryaccount`;
  const kept = cloud.manager.resources.get(`${groupId}/providers/${record}`);
  await writeRecord("privatelink.blob.core.windows.net", "repositoryaccount", "10.9.9.9");
  const wrong = await planOf(context, location);
  expect(wrong.ready).toBe(false);
  expect([...wrong.waitingFor, ...wrong.findings.map(({ message }) => message)].join()).toContain(
    "repositoryaccount",
  );
  const path = `${groupId}/providers/${record}?api-version=${zoneVersion}`;
  await cloud.send({ method: "DELETE", path });
  expect((await planOf(context, location)).ready).toBe(false);
  await cloud.make(record, kept?.body ?? {}, zoneVersion);
  expect((await planOf(context, location)).ready).toBe(true);
});
