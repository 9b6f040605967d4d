import { afterAll, beforeAll, expect, test } from "vitest";
import { createRegion } from "#azure/network/region.ts";
import type { JsonValue } from "#local/resource-manager/json.ts";
import { resolveName } from "#local/resource-manager/network/reachability.ts";
import { executeRegionAction } from "#functions/activities/regions.ts";
import type { AppContext } from "#functions/app-context.ts";
import { loadTypeChecker } from "../../conformance/type-data.ts";
import { BodyRecorder } from "../../conformance/body-recorder.ts";
import {
  groupId,
  networkVersion,
  storageVersion,
  type SimulatedCloud,
} from "../resource-manager/simulated-cloud.ts";
import {
  createContext as createContextOn,
  hubId,
  planOf,
  prepare as prepareOn,
  startRegionCloud,
  workersGroup,
} from "./region-cloud.ts";

const checker = loadTypeChecker();
const bodies = checker === undefined ? undefined : new BodyRecorder(checker);
let cloud: SimulatedCloud;

beforeAll(async () => {
  cloud = await startRegionCloud(bodies);
});
afterAll(async () => {
  await cloud?.[Symbol.asyncDispose]();
});

const createContext = () => createContextOn(cloud);
const prepare = (context: AppContext, location: string) => prepareOn(cloud, context, location);

/** Ids of all that there is, without what comes with something else. */
function listAll(): string[] {
  const own =
    /(\/networkSecurityGroups\/|\/virtualNetworks\/[^/]+$|\/virtualNetworkPeerings\/|\/storageAccounts\/[^/]+$|\/managementPolicies\/|\/privateEndpoints\/|\/privateDnsZones\/[^/]+$|\/virtualNetworkLinks\/)/i;
  const types = [
    "networkSecurityGroups",
    "virtualNetworks",
    "virtualNetworks/virtualNetworkPeerings",
    "privateEndpoints",
    "privateEndpoints/privateDnsZoneGroups",
    "privateDnsZones",
    "privateDnsZones/virtualNetworkLinks",
  ].map((type) => `Microsoft.Network/${type}`);
  const storage = ["storageAccounts", "storageAccounts/managementPolicies"];
  return [...types, ...storage.map((type) => `Microsoft.Storage/${type}`)]
    .flatMap((type) => cloud.manager.resources.list(type).map(({ id }) => id.toLowerCase()))
    .filter((id) => own.test(id));
}

test("in three regions exactly what the plan showed is made, and nothing a second time", async () => {
  const context = await createContext();
  for (const location of ["westeurope", "northeurope", "eastus"]) {
    const before = listAll();
    const shown = await planOf(context, location);
    expect(listAll()).toEqual(before);
    expect(shown.findings).toEqual([]);
    const wanted = shown.actions.map(({ action }) => action.resourceId.toLowerCase()).sort();
    const made = await prepare(context, location);
    expect(made.map((id) => id.toLowerCase()).sort()).toEqual(wanted);
    const added = listAll().filter((id) => !before.includes(id));
    expect(added.sort()).toEqual(wanted);
    expect(await planOf(context, location)).toMatchObject({ actions: [], ready: true });
    const record = await context.records.regions.get(location);
    expect(record.blobServiceUrl).not.toBe("");
    const changes = [];
    for await (const { value } of context.records.regionChanges(location).list())
      changes.push(value.resourceId.toLowerCase());
    expect(changes.sort()).toEqual(wanted);
  }
});

test("names lead to the endpoints from the hub and from every worker network", async () => {
  const { resources } = cloud.manager;
  const view = { resources, privateLinkOf: cloud.manager.context.privateLinkOf };
  const networks = resources.list("Microsoft.Network/virtualNetworks").map(({ id }) => id);
  expect(networks).toHaveLength(4);
  for (const id of networks) {
    for (const name of ["repositoryaccount.blob", "controlaccount.queue"]) {
      const answer = resolveName(view, id, `${name}.core.windows.net`);
      expect([name, answer.address]).toEqual([name, expect.stringMatching(/^10\.212\.1\./)]);
    }
  }
});

test("what somebody took away comes back, each piece alone", async () => {
  const context = await createContext();
  const location = "eastus";
  await prepare(context, location);
  const isOfRegion = /eastus/;
  const pieces = listAll().filter(
    (id) => isOfRegion.test(id) && /(peerings|links|privateendpoints)\/[^/]+$/.test(id),
  );
  // Two peerings, two links, two endpoints.
  expect(pieces).toHaveLength(6);
  const version = (id: string) => (id.includes("privatednszones") ? "2024-06-01" : networkVersion);
  const [record] = cloud.manager.resources
    .list("Microsoft.Network/privateDnsZones/A")
    .flatMap(({ id }) => (id.endsWith("/A/repositoryaccount") ? [id.toLowerCase()] : []));
  for (const id of [...pieces, record!]) {
    const path = `${id}?api-version=${version(id)}`;
    expect((await cloud.send({ method: "DELETE", path })).status).toBeLessThan(300);
    await cloud.manager.operations.idle();
    expect(cloud.manager.resources.get(id)).toBeUndefined();
    const { actions, findings } = await planOf(context, location);
    expect(findings).toEqual([]);
    expect(actions.length).toBeGreaterThan(0);
    await prepare(context, location);
    expect(cloud.manager.resources.get(id)).toBeDefined();
  }
});

test("a security group that somebody opened gets exactly its rules again", async () => {
  const context = await createContext();
  const location = "eastus";
  await prepare(context, location);
  const [group] = cloud.manager.resources
    .list("Microsoft.Network/networkSecurityGroups")
    .filter(({ id }) => id.endsWith("/holdfast-eastus"));
  const path = `${group?.id}?api-version=${networkVersion}`;
  const opened = { location, tags: group?.body["tags"] ?? {}, properties: { securityRules: [] } };
  await cloud.send({ method: "PUT", path, body: opened });
  await cloud.manager.operations.idle();
  const { actions } = await planOf(context, location);
  expect(actions.map(({ action }) => action.kind)).toEqual(["create-security-group"]);
  await prepare(context, location);
  expect(await planOf(context, location)).toMatchObject({ actions: [], ready: true });
});

test("two sessions that prepare a region at once do not fight", async () => {
  const [one, other] = [await createContext(), await createContext()];
  const both: AppContext = { ...other, records: one.records };
  const location = "uksouth";
  await Promise.all([prepare(one, location), prepare(both, location)]);
  expect(await planOf(one, location)).toMatchObject({ actions: [], ready: true });
  const prefixes = [];
  for await (const { value } of one.records.prefixes.list()) prefixes.push(value);
  expect(prefixes.filter((each) => each.location === location)).toHaveLength(1);
});

test("a given subnet is checked by its real rules and routes, and then used as it is", async () => {
  const location = "francecentral";
  const blocked = {
    name: "no-way",
    properties: {
      priority: 100,
      direction: "Outbound",
      access: "Deny",
      protocol: "Tcp",
      sourceAddressPrefix: "*",
      sourcePortRange: "*",
      destinationAddressPrefix: "VirtualNetwork",
      destinationPortRange: "443",
    },
  };
  const nowhere = {
    name: "nowhere",
    properties: { addressPrefix: "10.212.1.0/24", nextHopType: "None" },
  };
  const put = (securityRules: JsonValue[], routes: JsonValue[]) =>
    Promise.all([
      cloud.make("Microsoft.Network/networkSecurityGroups/theirs", {
        location,
        properties: { securityRules },
      }),
      cloud.make("Microsoft.Network/routeTables/theirs", { location, properties: { routes } }),
    ]);
  await put([blocked], [nowhere]);
  const reference = (type: string) => ({
    id: `${groupId}/providers/Microsoft.Network/${type}/theirs`,
  });
  await cloud.make("Microsoft.Network/virtualNetworks/theirs", {
    location,
    properties: {
      addressSpace: { addressPrefixes: ["10.77.0.0/16"] },
      subnets: [
        {
          name: "backup",
          properties: {
            addressPrefix: "10.77.3.0/26",
            defaultOutboundAccess: false,
            networkSecurityGroup: reference("networkSecurityGroups"),
            routeTable: reference("routeTables"),
          },
        },
      ],
    },
  });
  const context = await createContext();
  const subnetId = `${groupId}/providers/Microsoft.Network/virtualNetworks/theirs/subnets/backup`;
  await context.records.regionSettings.put(location, { subnetId });
  const refused = await planOf(context, location);
  expect(refused.findings.map(({ code }) => code)).toEqual([
    "SecurityGroupBlocks",
    "SecurityGroupBlocks",
    "RouteBlackholes",
  ]);
  await put([], []);
  const made = await prepare(context, location);
  const network = subnetId.replace("/subnets/backup", "");
  expect(made.filter((id) => id.startsWith(network))).toHaveLength(1);
  expect(made.filter((id) => /networkSecurityGroups|virtualNetworks\/[^/]+$/.test(id))).toEqual([]);
  expect(await context.records.regions.get(location)).toMatchObject({ subnetId });
});

test("an endpoint that may not be approved waits for the account's owner, and the plan says so", async () => {
  const principal = cloud.principalWith(
    { role: "Contributor", scope: workersGroup },
    { role: "Network Contributor", scope: groupId },
    { role: "Reader", scope: groupId },
  );
  const foreign = "foreignaccount";
  const account = { location: "westeurope", kind: "StorageV2", sku: { name: "Standard_LRS" } };
  await cloud.make(`Microsoft.Storage/storageAccounts/${foreign}`, account, storageVersion);
  const context = await createContext();
  const blobServiceUrl = `https://${foreign}.blob.core.windows.net/`;
  await context.records.repositories.update("r-1", (each) => ({ ...each, blobServiceUrl }));
  const limited: AppContext = {
    ...context,
    region: createRegion({
      credential: cloud.credentialOf(principal),
      resourceManagerUrl: cloud.manager.endpoint,
    }),
  };
  await expect(prepare(limited, "eastus")).rejects.toThrow(
    /waits for approval by the account's owner/,
  );
  const target = `${groupId}/providers/Microsoft.Storage/storageAccounts/${foreign}`;
  const [connection] = cloud.manager.resources.list(
    "Microsoft.Storage/storageAccounts/privateEndpointConnections",
    target,
  );
  const state = { privateLinkServiceConnectionState: { status: "Approved" } };
  await cloud.send({
    method: "PUT",
    path: `${connection?.id}?api-version=${storageVersion}`,
    body: { properties: state },
  });
  await prepare(limited, "eastus");
});

test("an operator's network without the right to peer is told as such", async () => {
  const context = await createContext();
  const reader = cloud.principalWith(
    { role: "Contributor", scope: workersGroup },
    { role: "Reader", scope: groupId },
  );
  const region = createRegion({
    credential: cloud.credentialOf(reader),
    resourceManagerUrl: cloud.manager.endpoint,
  });
  const outcome = await executeRegionAction.run(
    { ...context, region },
    {
      location: "eastus",
      reason: "test",
      action: {
        kind: "create-peering",
        resourceId: `${hubId}/virtualNetworkPeerings/p`,
        remoteNetworkId: `${workersGroup}/providers/Microsoft.Network/virtualNetworks/holdfast-eastus`,
      },
    },
  );
  expect(outcome).toMatchObject({ ok: false, error: { code: "AuthorizationFailed" } });
  expect(JSON.stringify(outcome)).toContain("The networks may not be peered");
});

// Azure's type data lies beside a checkout, if anywhere: without it there is nothing to compare with.
if (bodies !== undefined) {
  test("bodies fit Azure's types", () => {
    expect(bodies.findings).toEqual([]);
    expect(bodies.counts.requestCount).toBeGreaterThan(0);
  });
}
