import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createRegion } from "#azure/network/region.ts";
import type { SecurityRule } from "#core/ports/region.ts";
import { workerSecurityRules } from "#core/network/worker-security-rules.ts";
import { STAGING_RULE, type RegionPort } from "#core/ports/region.ts";
import { ScriptedResourceManager, group, subscriptionId } from "../scripted-resource-manager.ts";

/** What is sent, and what is made of answers; how the pieces work together is tested on the simulator. */
const network = `${group}/providers/Microsoft.Network`;
const networkId = `${network}/virtualNetworks/net`;
const securityGroupId = `${network}/networkSecurityGroups/nsg`;
const accountId = `${group}/providers/Microsoft.Storage/storageAccounts/mine`;
const endpointId = `${network}/privateEndpoints/pe`;
const zoneId = `${network}/privateDnsZones/privatelink.blob.core.windows.net`;
const tags = { owner: "me" };
const succeeded = { location: "westeurope", properties: { provisioningState: "Succeeded" } };

let manager: ScriptedResourceManager;
let port: RegionPort;

beforeAll(async () => {
  manager = await ScriptedResourceManager.start();
  port = createRegion(manager.options);
});
beforeEach(() => manager.reset());
afterAll(async () => {
  await manager?.[Symbol.asyncDispose]();
});

function accept(id: string): string {
  manager.answer(`PUT ${id}`, { status: 201, body: succeeded });
  return id;
}
const bodyOf = () => manager.sent("PUT")[0]?.body;

test("the network has one subnet without a way to the internet", async () => {
  const request = {
    networkId,
    subnetName: "workers",
    securityGroupId,
    addressPrefix: "10.9.0.0/24",
  };
  accept(networkId);
  await port.startNetwork({ ...request, location: "westeurope", tags });
  const properties = {
    addressPrefix: "10.9.0.0/24",
    networkSecurityGroup: { id: securityGroupId },
    defaultOutboundAccess: false,
    privateEndpointNetworkPolicies: "Disabled",
  };
  expect(bodyOf()).toMatchObject({ location: "westeurope", tags });
  expect(bodyOf()?.properties).toMatchObject({
    addressSpace: { addressPrefixes: ["10.9.0.0/24"] },
    subnets: [{ name: "workers", properties }],
  });
  manager.reset();
  accept(`${networkId}/subnets/workers`);
  await port.startSubnet(request);
  expect(bodyOf()?.properties).toMatchObject(properties);
});

test("a security group gets its rules, and reads back the same", async () => {
  const rules: SecurityRule[] = [
    ...workerSecurityRules(80),
    {
      name: "many",
      priority: 2000,
      direction: "Inbound",
      access: "Allow",
      protocol: "Udp",
      sources: ["10.0.0.0/24", "10.1.0.0/24"],
      destinations: ["10.2.0.0/24", "10.3.0.0/24"],
      ports: ["22", "80-90"],
    },
  ];
  accept(securityGroupId);
  await port.startSecurityGroup({ securityGroupId, location: "westeurope", rules, tags });
  const sent = bodyOf()?.properties;
  expect(sent).toMatchObject({
    securityRules: [
      { name: "holdfast-endpoints", properties: { access: "Allow", destinationPortRange: "443" } },
      { name: "holdfast-update-mirror", properties: { destinationPortRange: "80" } },
      { properties: { direction: "Outbound", access: "Deny", destinationAddressPrefix: "*" } },
      { properties: { direction: "Inbound", access: "Deny", sourceAddressPrefix: "*" } },
      { properties: { destinationPortRanges: ["22", "80-90"] } },
    ],
  });
  manager.answer(`GET ${securityGroupId}`, {
    status: 200,
    body: { properties: { ...Object(sent), provisioningState: "Succeeded" } },
  });
  expect((await port.readSecurityGroup(securityGroupId))?.rules).toEqual(rules);
});

test("reads a network as the plan needs it; a missing one is undefined", async () => {
  expect(await port.readNetwork(networkId)).toBeUndefined();
  const subnet = {
    id: `${networkId}/subnets/workers`,
    name: "workers",
    properties: {
      addressPrefixes: ["10.9.0.0/24"],
      provisioningState: "Updating",
      privateEndpointNetworkPolicies: "NetworkSecurityGroupEnabled",
      delegations: [{ name: "d", properties: { serviceName: "Microsoft.Web/serverFarms" } }],
      ipConfigurations: [{ id: "/a" }, { id: "/b" }],
      routeTable: { id: "/routes" },
    },
  };
  const peering = {
    id: `${networkId}/virtualNetworkPeerings/p`,
    name: "p",
    properties: {
      provisioningState: "Succeeded",
      peeringState: "Connected",
      allowVirtualNetworkAccess: true,
      remoteVirtualNetwork: { id: "/remote" },
      remoteAddressSpace: { addressPrefixes: ["10.1.0.0/16"] },
    },
  };
  const body = {
    location: "West Europe",
    properties: {
      provisioningState: "Succeeded",
      addressSpace: { addressPrefixes: ["10.9.0.0/16"] },
      subnets: [subnet],
      virtualNetworkPeerings: [peering],
    },
  };
  manager.answer(`GET ${networkId}`, { status: 200, body });
  expect(await port.readNetwork(networkId)).toEqual({
    networkId,
    location: "westeurope",
    addressPrefixes: ["10.9.0.0/16"],
    provisioning: "succeeded",
    subnets: [
      {
        subnetId: subnet.id,
        addressPrefix: "10.9.0.0/24",
        provisioning: "pending",
        // Azure's default in API versions that do not say.
        defaultOutboundAccess: true,
        securityGroupId: undefined,
        routeTableId: "/routes",
        delegations: ["Microsoft.Web/serverFarms"],
        usedAddresses: 2,
        endpointPolicies: { securityGroup: true, routeTable: false },
      },
    ],
    peerings: [
      {
        peeringId: peering.id,
        remoteNetworkId: "/remote",
        remotePrefixes: ["10.1.0.0/16"],
        state: "Connected",
        allowsAccess: true,
        provisioning: "succeeded",
      },
    ],
  });
});

test("rules of a security group and routes are read in one form each", async () => {
  const rule = {
    name: "deny",
    properties: {
      priority: 200,
      direction: "Outbound",
      access: "Deny",
      protocol: "Tcp",
      sourceAddressPrefix: "*",
      destinationAddressPrefixes: ["10.0.0.0/8", "Internet"],
      destinationPortRange: "443",
    },
  };
  const properties = { provisioningState: "Succeeded", securityRules: [rule] };
  manager.answer(`GET ${securityGroupId}`, { status: 200, body: { location: "l", properties } });
  expect((await port.readSecurityGroup(securityGroupId))?.rules).toEqual([
    {
      name: "deny",
      priority: 200,
      direction: "Outbound",
      access: "Deny",
      protocol: "Tcp",
      sources: ["*"],
      destinations: ["10.0.0.0/8", "Internet"],
      ports: ["443"],
    },
  ]);
  const table = `${network}/routeTables/rt`;
  const route = { name: "r", properties: { addressPrefix: "10.0.0.0/8", nextHopType: "None" } };
  manager.answer(`GET ${table}`, {
    status: 200,
    body: { location: "l", properties: { routes: [route] } },
  });
  expect(await port.readRoutes(table)).toEqual([
    { name: "r", addressPrefix: "10.0.0.0/8", nextHopType: "None" },
  ]);
});

test("a staging account is reached through endpoints only and takes no shared keys", async () => {
  const secured = {
    publicNetworkAccess: "Disabled",
    allowSharedKeyAccess: false,
    allowBlobPublicAccess: false,
    minimumTlsVersion: "TLS1_2",
    supportsHttpsTrafficOnly: true,
  };
  manager.answer(`PUT ${accountId}`, { status: 202 });
  await port.startStagingAccount(accountId, "westeurope", tags);
  expect(bodyOf()).toMatchObject({ kind: "StorageV2", sku: { name: "Standard_LRS" }, tags });
  expect(bodyOf()?.properties).toMatchObject(secured);
  manager.answer(`PATCH ${accountId}`, { status: 200, body: { location: "l" } });
  await port.secureStagingAccount(accountId);
  expect(manager.sent("PATCH")[0]?.body?.properties).toMatchObject(secured);
});

test("the lifecycle rule is written and found by its name", async () => {
  const policy = `${accountId}/managementPolicies/default`;
  expect(await port.readLifecycleRules(accountId)).toEqual([]);
  manager.answer(`PUT ${policy}`, { status: 200, body: {} });
  await port.writeLifecycleRule(accountId);
  manager.answer(`GET ${policy}`, { status: 200, body: bodyOf() });
  expect(await port.readLifecycleRules(accountId)).toEqual([STAGING_RULE]);
});

test("accounts say whether they are open; what Azure leaves out is its default", async () => {
  const body = {
    value: [
      { id: accountId, name: "mine", location: "West Europe", properties: {} },
      {
        id: `${accountId}2`,
        name: "mine2",
        location: "eastus",
        tags,
        properties: { publicNetworkAccess: "Disabled", allowSharedKeyAccess: false },
      },
    ],
  };
  const list = `/subscriptions/${subscriptionId}/providers/Microsoft.Storage/storageAccounts`;
  manager.answer(`GET ${list}`, { status: 200, body });
  const found = [];
  for await (const each of port.listStorageAccounts(subscriptionId)) found.push(each);
  expect(found).toMatchObject([
    { location: "westeurope", publicAccess: true, sharedKeyAccess: true, provisioning: "pending" },
    { publicAccess: false, sharedKeyAccess: false, tags },
  ]);
});

test("who may not approve a connection asks its owner", async () => {
  const error = { error: { code: "LinkedAuthorizationFailed", message: "no" } };
  manager.answer(
    `PUT ${endpointId}`,
    { status: 403, body: error },
    { status: 201, body: succeeded },
  );
  const request = { endpointId, location: "l", subnetId: `${networkId}/subnets/s`, tags };
  await port.startPrivateEndpoint({ ...request, targetId: accountId, service: "blob" });
  const [approved, asked] = manager.sent("PUT").map(({ body }) => body?.properties);
  const connection = { properties: { privateLinkServiceId: accountId, groupIds: ["blob"] } };
  expect(approved).toMatchObject({ privateLinkServiceConnections: [connection] });
  expect(asked).toMatchObject({ manualPrivateLinkServiceConnections: [connection] });
});

test("zones, links and records are plain requests with the errors of the SDKs", async () => {
  expect(await port.readZone(zoneId)).toBeUndefined();
  expect(await port.readAddressRecord(zoneId, "mine")).toBeUndefined();
  const link = {
    id: `${zoneId}/virtualNetworkLinks/l`,
    properties: { provisioningState: "Succeeded", virtualNetwork: { id: networkId } },
  };
  const links = `${zoneId}/virtualNetworkLinks`;
  manager.answer(`GET ${links}`, { status: 200, body: { value: [link] } });
  expect(await port.readZone(zoneId)).toEqual({
    zoneId,
    provisioning: "succeeded",
    links: [{ linkId: link.id, networkId, provisioning: "succeeded" }],
  });
  manager.answer(`PUT ${zoneId}`, {
    status: 403,
    body: { error: { code: "AuthorizationFailed", message: "no" } },
  });
  await expect(port.startZone(zoneId, tags)).rejects.toMatchObject({
    code: "AuthorizationFailed",
    retry: "never",
  });
  const slow = { status: 429, headers: { "retry-after": "0" }, body: {} };
  manager.answer(`PUT ${link.id}`, slow, { status: 202, body: link });
  await port.startZoneLink(link.id, networkId, tags);
  expect(manager.sent("PUT", link.id)).toHaveLength(2);
  expect(manager.sent("PUT", link.id)[1]?.body).toMatchObject({ location: "global", tags });
});

test("a next page that is somewhere else gets no token", async () => {
  manager.answer(`GET ${zoneId}/virtualNetworkLinks`, {
    status: 200,
    body: { value: [], nextLink: "https://elsewhere.example/" },
  });
  await expect(port.readZone(zoneId)).rejects.toThrow("not its own");
});
