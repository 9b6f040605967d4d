import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  reachableEndpoints,
  resolveName,
  type ResolvedName,
} from "#local/resource-manager/network/reachability.ts";
import { groupId, networkVersion, SimulatedCloud, storageVersion } from "./simulated-cloud.ts";

let cloud: SimulatedCloud;
const network = (name: string) => `${groupId}/providers/Microsoft.Network/virtualNetworks/${name}`;
const zone = "privatelink.blob.core.windows.net";
const zoneId = `${groupId}/providers/Microsoft.Network/privateDnsZones/${zone}`;
const zoneVersion = "2024-06-01";

async function makeNetwork(name: string, prefix: string): Promise<void> {
  await cloud.make(`Microsoft.Network/virtualNetworks/${name}`, {
    location: "westeurope",
    properties: {
      addressSpace: { addressPrefixes: [prefix] },
      subnets: [{ name: "workers", properties: { addressPrefix: prefix } }],
    },
  });
}

async function peer(from: string, to: string, properties: object = {}) {
  return cloud.put(`Microsoft.Network/virtualNetworks/${from}/virtualNetworkPeerings/to-${to}`, {
    properties: { remoteVirtualNetwork: { id: network(to) }, ...properties },
  });
}

async function stateOf(from: string, to: string): Promise<unknown> {
  const path = `${network(from)}/virtualNetworkPeerings/to-${to}?api-version=${networkVersion}`;
  const { body } = await cloud.send({ path });
  return (body["properties"] as Record<string, unknown>)["peeringState"];
}

const reachable = (name: string) =>
  reachableEndpoints(cloud.manager.resources, network(name)).map(({ address }) => address);

const resolve = (from: string, name: string): ResolvedName =>
  resolveName(cloud.manager.context, network(from), name);

beforeAll(async () => {
  cloud = await SimulatedCloud.start();
  await makeNetwork("left", "10.1.0.0/24");
  await makeNetwork("right", "10.2.0.0/24");
  await makeNetwork("far", "10.3.0.0/24");
  await makeNetwork("same", "10.1.0.0/24");
  await cloud.make(
    "Microsoft.Storage/storageAccounts/target1",
    { location: "westeurope", kind: "StorageV2", sku: { name: "Standard_LRS" } },
    storageVersion,
  );
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

describe("peerings", () => {
  it("connect when both directions are there", async () => {
    expect((await peer("left", "right")).status).toBe(201);
    await expect.poll(() => stateOf("left", "right")).toBe("Initiated");
    await peer("right", "left");
    await expect.poll(() => stateOf("left", "right")).toBe("Connected");
    expect(await stateOf("right", "left")).toBe("Connected");
    const path = `${network("left")}?api-version=${networkVersion}`;
    expect((await cloud.send({ path })).body).toMatchObject({
      properties: { virtualNetworkPeerings: [{ properties: { peeringState: "Connected" } }] },
    });
  });

  it.each([
    ["left", "left", "InvalidPeeringToSelf"],
    ["left", "none", "InvalidResourceReference"],
    ["left", "same", "VnetAddressSpacesOverlap"],
  ])("from %s to %s are refused: %s", async (from, to, code) => {
    expect(await peer(from, to)).toMatchObject({ status: 400, code });
  });

  it("to one network are had once", async () => {
    const path = "Microsoft.Network/virtualNetworks/left/virtualNetworkPeerings/again";
    const body = { properties: { remoteVirtualNetwork: { id: network("right") } } };
    expect(await cloud.put(path, body as never)).toMatchObject({
      status: 400,
      code: "AnotherPeeringAlreadyReferencesRemoteVnet",
    });
  });
});

describe("a peering whose other direction was deleted", () => {
  const other = `${network("right")}/virtualNetworkPeerings/to-left?api-version=${networkVersion}`;

  it("is disconnected, and keeps the other from being made until it was written again", async () => {
    await cloud.send({ method: "DELETE", path: other });
    await expect.poll(() => stateOf("left", "right")).toBe("Disconnected");
    expect(await peer("right", "left")).toMatchObject({
      status: 400,
      code: "RemotePeeringIsDisconnected",
    });
    await peer("left", "right");
    await expect.poll(() => stateOf("left", "right")).toBe("Initiated");
    await peer("right", "left");
    await expect.poll(() => stateOf("left", "right")).toBe("Connected");
  });

  it("stays disconnected when the other network was deleted and made again", async () => {
    await makeNetwork("short", "10.4.0.0/24");
    await peer("left", "short");
    await expect.poll(async () => (await peer("short", "left")).status).toBe(201);
    await expect.poll(() => stateOf("left", "short")).toBe("Connected");
    const path = `${network("short")}?api-version=${networkVersion}`;
    await cloud.send({ method: "DELETE", path });
    await expect.poll(async () => (await cloud.send({ path })).status).toBe(404);
    await makeNetwork("short", "10.4.0.0/24");
    expect(await stateOf("left", "short")).toBe("Disconnected");
    expect(await peer("short", "left")).toMatchObject({ code: "RemotePeeringIsDisconnected" });
  });
});

describe("what a machine sees of private link", () => {
  const name = "target1.blob.core.windows.net";

  it("is the public address before there is an endpoint", () => {
    expect(resolve("left", name)).toEqual({ aliases: [], address: "public" });
    expect(resolve("left", "nobody.blob.core.windows.net").address).toBeUndefined();
  });

  it("is still the public address where no zone is linked", async () => {
    await cloud.make("Microsoft.Network/privateEndpoints/pe", {
      location: "westeurope",
      properties: {
        subnet: { id: `${network("left")}/subnets/workers` },
        privateLinkServiceConnections: [
          {
            name: "c",
            properties: {
              privateLinkServiceId: `${groupId}/providers/Microsoft.Storage/storageAccounts/target1`,
              groupIds: ["blob"],
            },
          },
        ],
      },
    });
    expect(resolve("left", name)).toEqual({ aliases: [`target1.${zone}`], address: "public" });
  });

  it("is no name where a zone is linked that has no record of it", async () => {
    await cloud.make(
      `Microsoft.Network/privateDnsZones/${zone}`,
      { location: "global" },
      zoneVersion,
    );
    for (const linked of ["left", "right"]) {
      const path = `Microsoft.Network/privateDnsZones/${zone}/virtualNetworkLinks/${linked}`;
      const body = { location: "global", properties: { virtualNetwork: { id: network(linked) } } };
      await cloud.make(path, body, zoneVersion);
    }
    expect(resolve("left", name)).toEqual({ aliases: [`target1.${zone}`], address: undefined });
  });

  it("is the private address where the endpoint's zone group keeps it", async () => {
    await cloud.make("Microsoft.Network/privateEndpoints/pe/privateDnsZoneGroups/default", {
      properties: {
        privateDnsZoneConfigs: [{ name: "b", properties: { privateDnsZoneId: zoneId } }],
      },
    });
    expect(resolve("left", name)).toEqual({ aliases: [`target1.${zone}`], address: "10.1.0.4" });
    expect(resolve("right", name).address).toBe("10.1.0.4");
    expect(resolve("far", name).address).toBe("public");
  });

  it("reaches endpoints of its own and of peered networks, while both sides allow it", async () => {
    expect(reachable("left")).toEqual(["10.1.0.4"]);
    expect(reachable("right")).toEqual(["10.1.0.4"]);
    expect(reachable("far")).toEqual([]);
    await peer("right", "left", { allowVirtualNetworkAccess: false });
    expect(reachable("right")).toEqual([]);
    await peer("right", "left");
    expect(reachable("right")).toEqual(["10.1.0.4"]);
  });

  it("does not reach an endpoint whose connection was rejected", async () => {
    const [connection] = cloud.manager.resources.list(
      "Microsoft.Storage/storageAccounts/privateEndpointConnections",
    );
    const path = `${connection!.id}?api-version=${storageVersion}`;
    const decide = (status: string) => ({
      method: "PUT",
      path,
      body: { properties: { privateLinkServiceConnectionState: { status } } },
    });
    await cloud.send(decide("Rejected"));
    expect(reachable("left")).toEqual([]);
    expect(resolve("left", name)).toEqual({ aliases: [], address: "public" });
    await cloud.send(decide("Approved"));
    expect(reachable("left")).toEqual(["10.1.0.4"]);
  });
});
