import { NetworkManagementClient } from "@azure/arm-network";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  attachNetworkInterface,
  detachNetworkInterface,
} from "#local/resource-manager/network/attachment.ts";
import {
  groupId,
  groupName,
  interfaceBody,
  networkBody,
  SimulatedCloud,
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
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

test("the SDK creates, reads, lists and deletes a network with subnets and a security group", async () => {
  const group = await client.networkSecurityGroups.createOrUpdate(
    groupName,
    "closed",
    {
      location: "westeurope",
      securityRules: [
        {
          name: "deny",
          priority: 100,
          direction: "Outbound",
          access: "Deny",
          protocol: "*",
          sourceAddressPrefix: "*",
          sourcePortRange: "*",
          destinationAddressPrefix: "Internet",
          destinationPortRange: "*",
        },
      ],
    },
    quick,
  );
  const network = await client.virtualNetworks.createOrUpdate(
    groupName,
    "sdk-net",
    {
      location: "westeurope",
      tags: { by: "test" },
      addressSpace: { addressPrefixes: ["10.9.0.0/16"] },
      subnets: [
        {
          name: "a",
          addressPrefix: "10.9.0.0/24",
          ...(group.id === undefined ? {} : { networkSecurityGroup: { id: group.id } }),
          defaultOutboundAccess: false,
        },
      ],
    },
    quick,
  );
  expect(network).toMatchObject({
    name: "sdk-net",
    provisioningState: "Succeeded",
    tags: { by: "test" },
    subnets: [{ name: "a", defaultOutboundAccess: false }],
  });
  const subnet = await client.subnets.createOrUpdate(
    groupName,
    "sdk-net",
    "b",
    { addressPrefix: "10.9.1.0/24" },
    quick,
  );
  expect(subnet).toMatchObject({ addressPrefix: "10.9.1.0/24", provisioningState: "Succeeded" });
  const names: (string | undefined)[] = [];
  for await (const item of client.subnets.list(groupName, "sdk-net")) names.push(item.name);
  expect(names).toEqual(["a", "b"]);
  await expect(
    client.networkSecurityGroups.delete(groupName, "closed", quick),
  ).rejects.toMatchObject({ statusCode: 400, code: "InUseNetworkSecurityGroupCannotBeDeleted" });
  await client.virtualNetworks.delete(groupName, "sdk-net", quick);
  await client.networkSecurityGroups.delete(groupName, "closed", quick);
  await expect(client.virtualNetworks.get(groupName, "sdk-net")).rejects.toMatchObject({
    statusCode: 404,
    code: "ResourceNotFound",
  });
  const addresses = [];
  for await (const address of client.publicIPAddresses.listAll()) addresses.push(address);
  expect(addresses).toEqual([]);
});

test("interfaces get the lowest free address, from the fifth of the subnet on", async () => {
  const make = async (name: string) =>
    client.networkInterfaces.createOrUpdate(
      groupName,
      name,
      {
        location: "westeurope",
        ipConfigurations: [{ name: "ipconfig1", subnet: { id: subnetId } }],
      },
      quick,
    );
  const [one, two] = [await make("dyn-1"), await make("dyn-2")];
  expect([one, two].map((nic) => nic.ipConfigurations?.[0]?.privateIPAddress)).toEqual([
    "10.1.0.4",
    "10.1.0.5",
  ]);
  await client.networkInterfaces.delete(groupName, "dyn-1", quick);
  expect((await make("dyn-3")).ipConfigurations?.[0]?.privateIPAddress).toBe("10.1.0.4");
  await client.networkInterfaces.delete(groupName, "dyn-2", quick);
  await client.networkInterfaces.delete(groupName, "dyn-3", quick);
});

test("a /29 holds three interfaces, the fourth is 400 SubnetIsFull", async () => {
  await cloud.make("Microsoft.Network/virtualNetworks/net/subnets/tiny", {
    properties: { addressPrefix: "10.1.9.0/29" },
  });
  const tiny = `${base}/virtualNetworks/net/subnets/tiny`;
  for (const name of ["t1", "t2", "t3"])
    await cloud.make(`Microsoft.Network/networkInterfaces/${name}`, interfaceBody(tiny));
  const full = await cloud.put("Microsoft.Network/networkInterfaces/t4", interfaceBody(tiny));
  expect([full.status, full.code]).toEqual([400, "SubnetIsFull"]);
});

test("an attached interface shows its VM and is in use until it is detached", async () => {
  await cloud.make("Microsoft.Network/networkInterfaces/held", interfaceBody(subnetId));
  const interfaceId = `${base}/networkInterfaces/held`;
  const vmId = `${groupId}/providers/Microsoft.Compute/virtualMachines/vm`;
  const { resources } = cloud.manager;
  attachNetworkInterface(resources, { interfaceId, vmId, primary: true });
  expect(await client.networkInterfaces.get(groupName, "held")).toMatchObject({
    virtualMachine: { id: vmId },
    primary: true,
  });
  expect(() =>
    attachNetworkInterface(resources, { interfaceId, vmId: `${vmId}2`, primary: true }),
  ).toThrow(/is used by existing resource/);
  await expect(client.networkInterfaces.delete(groupName, "held", quick)).rejects.toMatchObject({
    statusCode: 400,
    code: "NicInUse",
  });
  await expect(client.virtualNetworks.delete(groupName, "net", quick)).rejects.toMatchObject({
    statusCode: 400,
    code: "InUseSubnetCannotBeDeleted",
  });
  detachNetworkInterface(resources, interfaceId, vmId);
  await client.networkInterfaces.delete(groupName, "held", quick);
});

describe("refusals", () => {
  const space = { addressSpace: { addressPrefixes: ["10.1.0.0/16"] } };
  const net = (properties: object) => ({ location: "westeurope", properties }) as never;
  const subnets = (...prefixes: string[]) => ({
    ...space,
    subnets: prefixes.map((addressPrefix, index) => ({
      name: `s${index}`,
      properties: { addressPrefix },
    })),
  });
  const rule = (name: string, priority: number) => ({
    name,
    properties: { priority, direction: "Inbound", access: "Allow", protocol: "Tcp" },
  });
  const statically = (address: string) => ({
    privateIPAllocationMethod: "Static",
    privateIPAddress: address,
  });
  test.each([
    ["network without address space", "virtualNetworks/bad", net({}), "InvalidRequestFormat"],
    [
      "prefix with host bits",
      "virtualNetworks/bad",
      net({ addressSpace: { addressPrefixes: ["10.1.0.1/16"] } }),
      "InvalidCIDRNotation",
    ],
    [
      "subnet outside",
      "virtualNetworks/bad",
      net(subnets("10.2.0.0/24")),
      "NetcfgSubnetRangeOutsideVnet",
    ],
    [
      "overlapping subnets",
      "virtualNetworks/bad",
      net(subnets("10.1.0.0/24", "10.1.0.128/25")),
      "NetcfgSubnetRangesOverlap",
    ],
    [
      "subnet over a sibling",
      "virtualNetworks/net/subnets/over",
      { properties: { addressPrefix: "10.1.0.0/25" } },
      "NetcfgSubnetRangesOverlap",
    ],
    [
      "subnet without prefix",
      "virtualNetworks/net/subnets/none",
      { properties: {} },
      "InvalidRequestFormat",
    ],
    [
      "subnet with unknown security group",
      "virtualNetworks/net/subnets/nsg",
      {
        properties: {
          addressPrefix: "10.1.7.0/24",
          networkSecurityGroup: { id: `${base}/networkSecurityGroups/none` },
        },
      },
      "InvalidResourceReference",
    ],
    [
      "rule priority",
      "networkSecurityGroups/bad",
      net({ securityRules: [rule("a", 99)] }),
      "SecurityRuleInvalidPriority",
    ],
    [
      "rules of one priority",
      "networkSecurityGroups/bad",
      net({ securityRules: [rule("a", 200), rule("b", 200)] }),
      "SecurityRuleConflict",
    ],
    [
      "interface without configuration",
      "networkInterfaces/bad",
      net({ ipConfigurations: [] }),
      "NetworkInterfaceMustHaveAtLeastOneIPConfiguration",
    ],
    [
      "interface in unknown subnet",
      "networkInterfaces/bad",
      interfaceBody(`${subnetId}x`),
      "InvalidResourceReference",
    ],
    [
      "interface in another region",
      "networkInterfaces/bad",
      { ...interfaceBody(subnetId), location: "northeurope" },
      "InvalidResourceReference",
    ],
    [
      "static address outside",
      "networkInterfaces/bad",
      interfaceBody(subnetId, statically("10.2.0.9")),
      "PrivateIPAddressNotInSubnet",
    ],
    [
      "static address reserved",
      "networkInterfaces/bad",
      interfaceBody(subnetId, statically("10.1.0.3")),
      "PrivateIPAddressInReservedRange",
    ],
  ] as const)("%s is 400", async (_, path, body, code) => {
    const answer = await cloud.put(`Microsoft.Network/${path}`, body);
    expect([answer.status, answer.code]).toEqual([400, code]);
  });
});
