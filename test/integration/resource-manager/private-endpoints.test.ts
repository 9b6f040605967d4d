import { NetworkManagementClient } from "@azure/arm-network";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  groupId,
  groupName,
  networkBody,
  networkVersion,
  SimulatedCloud,
  storageVersion,
  subscriptionId,
} from "./simulated-cloud.ts";

let cloud: SimulatedCloud;
let client: NetworkManagementClient;
const quick = { updateIntervalInMs: 1 };
const base = `${groupId}/providers/Microsoft.Network`;
const subnetId = `${base}/virtualNetworks/net/subnets/workers`;

beforeAll(async () => {
  cloud = await SimulatedCloud.start({ pageSize: 3 });
  client = new NetworkManagementClient(cloud.credentialOf(cloud.owner), subscriptionId, {
    endpoint: cloud.manager.endpoint,
  });
  await cloud.make("Microsoft.Network/virtualNetworks/net", networkBody());
  await cloud.make(
    "Microsoft.Storage/storageAccounts/target1",
    { location: "westeurope", kind: "StorageV2", sku: { name: "Standard_LRS" } },
    storageVersion,
  );
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

function targetId(): string {
  return `${groupId}/providers/Microsoft.Storage/storageAccounts/target1`;
}

function endpoint(target: string, group: string): object {
  const connection = { name: "c", properties: { privateLinkServiceId: target, groupIds: [group] } };
  return {
    location: "westeurope",
    properties: { subnet: { id: subnetId }, privateLinkServiceConnections: [connection] },
  };
}

test.each([
  [
    "endpoint without connection",
    "privateEndpoints/bad",
    { location: "westeurope", properties: { subnet: { id: subnetId } } },
    "InvalidRequestFormat",
  ],
  [
    "endpoint to unknown target",
    "privateEndpoints/bad",
    endpoint(`${groupId}/providers/Microsoft.Storage/storageAccounts/none`, "blob"),
    "InvalidResourceReference",
  ],
  [
    "endpoint with unknown group id",
    "privateEndpoints/bad",
    endpoint(targetId(), "disks"),
    "InvalidPrivateLinkServiceGroupId",
  ],
] as const)("%s is 400", async (_, path, body, code) => {
  const answer = await cloud.put(`Microsoft.Network/${path}`, body as never);
  expect([answer.status, answer.code]).toEqual([400, code]);
});

test("a private endpoint gets an address, an approved connection and DNS records, and takes them along", async () => {
  const zoneId = `${base}/privateDnsZones/privatelink.blob.core.windows.net`;
  await cloud.make(
    "Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net",
    { location: "global" },
    "2024-06-01",
  );
  const link = (zone: string) =>
    `Microsoft.Network/privateDnsZones/${zone}/virtualNetworkLinks/net`;
  const linkBody = {
    location: "global",
    properties: {
      virtualNetwork: { id: `${base}/virtualNetworks/net` },
      registrationEnabled: false,
    },
  };
  await cloud.make(link("privatelink.blob.core.windows.net"), linkBody, "2024-06-01");
  const made = await client.privateEndpoints.createOrUpdate(
    groupName,
    "pe",
    {
      location: "westeurope",
      subnet: { id: subnetId },
      privateLinkServiceConnections: [
        { name: "c", privateLinkServiceId: targetId(), groupIds: ["blob"] },
      ],
    },
    quick,
  );
  expect(made).toMatchObject({
    provisioningState: "Succeeded",
    privateLinkServiceConnections: [{ privateLinkServiceConnectionState: { status: "Approved" } }],
  });
  const zoneGroup = await client.privateDnsZoneGroups.createOrUpdate(
    groupName,
    "pe",
    "default",
    { privateDnsZoneConfigs: [{ name: "blob", privateDnsZoneId: zoneId }] },
    quick,
  );
  expect(zoneGroup.privateDnsZoneConfigs?.[0]?.recordSets?.[0]).toMatchObject({
    recordSetName: "target1",
    ipAddresses: ["10.1.0.4"],
  });
  const record = await cloud.send({ path: `${zoneId}/A/target1?api-version=2024-06-01` });
  expect(record.body).toMatchObject({ properties: { aRecords: [{ ipv4Address: "10.1.0.4" }] } });
  const account = await cloud.send({ path: `${targetId()}?api-version=${storageVersion}` });
  expect(account.body).toMatchObject({
    properties: {
      privateEndpointConnections: [{ properties: { privateEndpoint: { id: made.id } } }],
    },
  });
  const subnetBusy = await cloud.send({
    method: "DELETE",
    path: `${subnetId}?api-version=${networkVersion}`,
  });
  expect(subnetBusy.code).toBe("InUseSubnetCannotBeDeleted");
  await client.privateEndpoints.delete(groupName, "pe", quick);
  expect((await cloud.send({ path: `${zoneId}/A/target1?api-version=2024-06-01` })).status).toBe(
    404,
  );
  const after = await cloud.send({ path: `${targetId()}?api-version=${storageVersion}` });
  expect(after.body).toMatchObject({ properties: { privateEndpointConnections: [] } });
  expect(
    cloud.manager.resources
      .list("Microsoft.Network/networkInterfaces")
      .some(({ name }) => name.startsWith("pe.nic")),
  ).toBe(false);
  const zone = await cloud.send({ method: "DELETE", path: `${zoneId}?api-version=2024-06-01` });
  expect([zone.status, zone.code]).toEqual([409, "CannotDeleteResource"]);
});

test("approval needs the right on the target; a manual connection waits for a decision", async () => {
  const networker = cloud.principalWith({ role: "Network Contributor", scope: groupId });
  const token = await cloud.tokenOf(networker);
  const path = cloud.path("Microsoft.Network/privateEndpoints/asked");
  const refused = await cloud.send({
    method: "PUT",
    path,
    body: endpoint(targetId(), "queue") as never,
    token,
  });
  expect([refused.status, refused.code]).toEqual([403, "LinkedAuthorizationFailed"]);
  const manual = {
    location: "westeurope",
    properties: {
      subnet: { id: subnetId },
      manualPrivateLinkServiceConnections: [
        {
          name: "c",
          properties: {
            privateLinkServiceId: targetId(),
            groupIds: ["queue"],
            requestMessage: "please",
          },
        },
      ],
    },
  };
  expect((await cloud.send({ method: "PUT", path, body: manual, token })).status).toBe(201);
  await cloud.manager.operations.idle();
  const status = async () =>
    (await client.privateEndpoints.get(groupName, "asked")).manualPrivateLinkServiceConnections?.[0]
      ?.privateLinkServiceConnectionState?.status;
  expect(await status()).toBe("Pending");
  const [connection] = cloud.manager.resources.list(
    "Microsoft.Storage/storageAccounts/privateEndpointConnections",
  );
  await cloud.send({
    method: "PUT",
    path: `${connection?.id}?api-version=${storageVersion}`,
    body: { properties: { privateLinkServiceConnectionState: { status: "Approved" } } },
  });
  expect(await status()).toBe("Approved");
});

test("a network sees one zone of a name only", async () => {
  const other = `/subscriptions/${subscriptionId}/resourceGroups/second`;
  cloud.manager.seedGroup({ subscriptionId, name: "second", location: "westeurope" });
  const zone = `${other}/providers/Microsoft.Network/privateDnsZones/privatelink.blob.core.windows.net`;
  await cloud.send({
    method: "PUT",
    path: `${zone}?api-version=2024-06-01`,
    body: { location: "global" },
  });
  await cloud.manager.operations.idle();
  const answer = await cloud.send({
    method: "PUT",
    path: `${zone}/virtualNetworkLinks/net?api-version=2024-06-01`,
    body: {
      location: "global",
      properties: { virtualNetwork: { id: `${base}/virtualNetworks/net` } },
    },
  });
  expect([answer.status, answer.code]).toEqual([400, "BadRequest"]);
});

test("a private endpoint stays in its subnet", async () => {
  await cloud.make("Microsoft.Network/virtualNetworks/net/subnets/others", {
    properties: { addressPrefix: "10.1.9.0/28" },
  });
  const put = (subnet: string) =>
    cloud.put("Microsoft.Network/privateEndpoints/fixed", {
      location: "westeurope",
      properties: {
        subnet: { id: subnet },
        privateLinkServiceConnections: [
          { name: "c", properties: { privateLinkServiceId: targetId(), groupIds: ["blob"] } },
        ],
      },
    });
  expect((await put(subnetId)).status).toBe(201);
  await cloud.manager.operations.idle();
  expect(await put(subnetId.replace(/workers$/, "others"))).toMatchObject({
    status: 400,
    code: "CannotChangeSubnetOnExistingPrivateEndpoint",
  });
  expect((await put(subnetId)).status).toBe(200);
});
