import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createRegion } from "#azure/network/region.ts";
import type { RegionPort } from "#core/ports/region.ts";
import { ScriptedResourceManager, group } from "../scripted-resource-manager.ts";

const virtualNetworkId = `${group}/providers/Microsoft.Network/virtualNetworks/net`;
const networkSecurityGroupId = `${group}/providers/Microsoft.Network/networkSecurityGroups/nsg`;
const accounts = `${group}/providers/Microsoft.Storage/storageAccounts`;
const request = {
  virtualNetworkId,
  subnetName: "workers",
  networkSecurityGroupId,
  location: "westeurope",
  addressPrefix: "10.9.0.0/24",
  tags: { owner: "me" },
};

let manager: ScriptedResourceManager;
let port: RegionPort;

beforeAll(async () => {
  manager = await ScriptedResourceManager.start();
  port = createRegion(manager.options);
});
beforeEach(() => {
  manager.reset();
  const succeeded = { location: "westeurope", properties: { provisioningState: "Succeeded" } };
  manager.answer(`PUT ${networkSecurityGroupId}`, { status: 201, body: succeeded });
  manager.answer(`PUT ${virtualNetworkId}`, { status: 201, body: succeeded });
  manager.answer(`PUT ${virtualNetworkId}/subnets/workers`, { status: 201, body: succeeded });
});
afterAll(async () => {
  await manager?.[Symbol.asyncDispose]();
});

const subnetProperties = {
  addressPrefix: "10.9.0.0/24",
  networkSecurityGroup: { id: networkSecurityGroupId },
  defaultOutboundAccess: false,
  serviceEndpoints: [{ service: "Microsoft.Storage.Global" }],
};

test("makes security group, network and a subnet without a way to the internet", async () => {
  manager.answer(`GET ${networkSecurityGroupId}`, { status: 404 }, { status: 200, body: {} });
  await port.startNetwork(request);
  const [nsg, net] = manager.sent("PUT");
  expect(nsg?.path).toBe(networkSecurityGroupId);
  expect(net?.body).toMatchObject({ location: "westeurope", tags: { owner: "me" } });
  expect(net?.body?.properties).toMatchObject({
    addressSpace: { addressPrefixes: ["10.9.0.0/24"] },
    subnets: [{ name: "workers", properties: subnetProperties }],
  });
});

test("adds only a missing subnet to a network that exists, and nothing to a complete one", async () => {
  manager.answer(`GET ${networkSecurityGroupId}`, { status: 200, body: { location: "l" } });
  const net = (names: string[]) => {
    const subnets = names.map((name) => ({ name, properties: {} }));
    const body = { location: "l", properties: { subnets } };
    manager.answer(`GET ${virtualNetworkId}`, { status: 200, body });
  };
  net(["other"]);
  await port.startNetwork(request);
  expect(manager.sent("PUT").map(({ path }) => path)).toEqual([
    `${virtualNetworkId}/subnets/workers`,
  ]);
  expect(manager.sent("PUT")[0]?.body?.properties).toMatchObject(subnetProperties);
  net(["other", "workers"]);
  await port.startNetwork(request);
  expect(manager.sent("PUT")).toHaveLength(1);
});

test("reads the network; a missing one is undefined", async () => {
  expect(await port.readNetwork(virtualNetworkId, "workers")).toBeUndefined();
  const id = `${virtualNetworkId}/subnets/workers`;
  const properties = { addressPrefix: "10.9.0.0/24", provisioningState: "Updating" };
  manager.answer(`GET ${id}`, { status: 200, body: { id, name: "workers", properties } });
  expect(await port.readNetwork(virtualNetworkId, "workers")).toEqual({
    virtualNetworkId,
    subnetId: id,
    addressPrefix: "10.9.0.0/24",
    provisioning: "pending",
  });
});

test("finds the staging account by place and tag", async () => {
  const account = (name: string, location: string, tags: Record<string, string>) => ({
    id: `${accounts}/${name}`,
    name,
    location,
    tags,
    sku: { name: "Standard_LRS" },
    kind: "StorageV2",
    properties: {
      provisioningState: "Succeeded",
      primaryEndpoints: { blob: `https://${name}.b/`, queue: `https://${name}.q/` },
    },
  });
  const value = [
    account("far", "northeurope", { owner: "me" }),
    account("foreign", "westeurope", { owner: "you" }),
    account("mine", "westeurope", { owner: "me" }),
  ];
  manager.answer(`GET ${accounts}`, { status: 200, body: { value } });
  expect(await port.findStagingAccount(group, "West Europe", "owner", "me")).toEqual({
    accountId: `${accounts}/mine`,
    name: "mine",
    location: "westeurope",
    provisioning: "succeeded",
    blobServiceUrl: "https://mine.b/",
    queueServiceUrl: "https://mine.q/",
  });
  expect(await port.findStagingAccount(group, "eastus", "owner", "me")).toBeUndefined();
});

test("a staging account takes no shared keys and no anonymous reader", async () => {
  manager.answer(`PUT ${accounts}/mine`, { status: 202 });
  const accountId = `${accounts}/mine`;
  await port.startStagingAccount({ accountId, location: "westeurope", tags: { owner: "me" } });
  const [put] = manager.sent("PUT");
  expect(put?.body).toMatchObject({ kind: "StorageV2", sku: { name: "Standard_LRS" } });
  expect(put?.body?.properties).toMatchObject({
    allowSharedKeyAccess: false,
    allowBlobPublicAccess: false,
    minimumTlsVersion: "TLS1_2",
    supportsHttpsTrafficOnly: true,
  });
});
