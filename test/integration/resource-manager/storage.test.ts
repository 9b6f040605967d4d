import { StorageManagementClient } from "@azure/arm-storage";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  groupId,
  groupName,
  SimulatedCloud,
  storageVersion,
  subscriptionId,
} from "./simulated-cloud.ts";

let cloud: SimulatedCloud;
let client: StorageManagementClient;
const quick = { updateIntervalInMs: 1 };
const account = {
  location: "westeurope",
  kind: "StorageV2",
  sku: { name: "Standard_LRS" },
} as const;

beforeAll(async () => {
  // A second passes at each look at the clock, so that no bucket runs empty.
  let clockMs = Date.now();
  cloud = await SimulatedCloud.start({ now: () => new Date((clockMs += 1000)) });
  client = new StorageManagementClient(cloud.credentialOf(cloud.owner), subscriptionId, {
    endpoint: cloud.manager.endpoint,
  });
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

test("the SDK creates, reads, changes, lists and deletes an account", async () => {
  const made = await client.storageAccounts.create(
    groupName,
    "sdkaccount1",
    {
      ...account,
      allowSharedKeyAccess: true,
      minimumTlsVersion: "TLS1_2",
      publicNetworkAccess: "Disabled",
    },
    quick,
  );
  expect(made).toMatchObject({
    provisioningState: "Succeeded",
    publicNetworkAccess: "Disabled",
    minimumTlsVersion: "TLS1_2",
    primaryEndpoints: cloud.storage.endpoints("sdkaccount1"),
  });
  const { keys } = await client.storageAccounts.listKeys(groupName, "sdkaccount1");
  expect(keys?.[0]?.value).toBe(cloud.storage.accounts.get("sdkaccount1"));
  const changed = await client.storageAccounts.update(groupName, "sdkaccount1", {
    allowSharedKeyAccess: false,
    tags: { a: "b" },
  });
  expect(changed).toMatchObject({
    allowSharedKeyAccess: false,
    tags: { a: "b" },
    minimumTlsVersion: "TLS1_2",
  });
  await expect(client.storageAccounts.listKeys(groupName, "sdkaccount1")).rejects.toMatchObject({
    statusCode: 403,
    code: "KeyBasedAuthenticationNotPermitted",
  });
  const names = [];
  for await (const item of client.storageAccounts.list()) names.push(item.name);
  expect(names).toEqual(["sdkaccount1"]);
  await client.storageAccounts.delete(groupName, "sdkaccount1");
  expect(cloud.storage.accounts.has("sdkaccount1")).toBe(false);
});

test("containers, services and lifecycle rules of an account", async () => {
  await client.storageAccounts.create(groupName, "withservices", account, quick);
  expect(await client.blobServices.getServiceProperties(groupName, "withservices")).toMatchObject({
    name: "default",
  });
  const container = await client.blobContainers.create(groupName, "withservices", "backups", {});
  expect(container).toMatchObject({ name: "backups", publicAccess: "None" });
  await client.queue.create(groupName, "withservices", "jobs", {});
  expect(cloud.storage.entities).toEqual([
    "withservices/container/backups",
    "withservices/queue/jobs",
  ]);
  const listed = [];
  for await (const item of client.blobContainers.list(groupName, "withservices"))
    listed.push(item.name);
  expect(listed).toEqual(["backups"]);
  await client.blobContainers.delete(groupName, "withservices", "backups");
  expect(cloud.storage.entities).toEqual(["withservices/queue/jobs"]);
  const rules = [
    {
      name: "r",
      enabled: true,
      type: "Lifecycle" as const,
      definition: { actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 1 } } } },
    },
  ];
  const policy = await client.managementPolicies.createOrUpdate(
    groupName,
    "withservices",
    "default",
    { policy: { rules } },
  );
  expect(policy.policy?.rules).toHaveLength(1);
});

test.each([
  ["upper case", "BadName", {}, 400, "AccountNameInvalid"],
  ["two letters", "ab", {}, 400, "AccountNameInvalid"],
  ["unknown sku", "goodname1", { sku: { name: "Gold" } }, 400, "InvalidRequestPropertyValue"],
  ["unknown kind", "goodname1", { kind: "Bucket" }, 400, "InvalidRequestPropertyValue"],
  [
    "unknown access",
    "goodname1",
    { properties: { publicNetworkAccess: "Maybe" } },
    400,
    "InvalidRequestPropertyValue",
  ],
])("an account with %s is refused", async (_, name, change, status, code) => {
  const answer = await cloud.put(
    `Microsoft.Storage/storageAccounts/${name}`,
    { ...account, ...change },
    storageVersion,
  );
  expect([answer.status, answer.code]).toEqual([status, code]);
});

test("a name is unique in the cloud: 409", async () => {
  const taken = "uniquename1";
  await cloud.make(`Microsoft.Storage/storageAccounts/${taken}`, account, storageVersion);
  cloud.manager.seedGroup({ subscriptionId, name: "elsewhere", location: "westeurope" });
  const other = groupId.replace(groupName, "elsewhere");
  const answer = await cloud.send({
    method: "PUT",
    path: `${other}/providers/Microsoft.Storage/storageAccounts/${taken}?api-version=${storageVersion}`,
    body: account,
  });
  expect([answer.status, answer.code]).toEqual([409, "StorageAccountInAnotherResourceGroup"]);
});

test("a name that another subscription has is 409 StorageAccountAlreadyTaken", async () => {
  const stranger = "22222222-2222-3333-4444-555555555555";
  await using wide = await SimulatedCloud.start({
    subscriptions: [
      { subscriptionId, displayName: "One" },
      { subscriptionId: stranger, displayName: "Two" },
    ],
  });
  wide.manager.assignRole({ principalId: wide.owner.objectId, role: "Owner", scope: "/" });
  wide.manager.seedGroup({ subscriptionId: stranger, name: "far", location: "westeurope" });
  await wide.make("Microsoft.Storage/storageAccounts/wanted", account, storageVersion);
  const answer = await wide.send({
    method: "PUT",
    path: `/subscriptions/${stranger}/resourceGroups/far/providers/Microsoft.Storage/storageAccounts/wanted?api-version=${storageVersion}`,
    body: account,
  });
  expect([answer.status, answer.code]).toEqual([409, "StorageAccountAlreadyTaken"]);
});

test("the writes of a subscription draw from one bucket: the eleventh at once is 429", async () => {
  const stopped = new Date();
  await using still = await SimulatedCloud.start({ now: () => stopped });
  const path = still.path("Microsoft.Storage/storageAccounts/none", storageVersion);
  const answers = [];
  for (let index = 0; index < 11; index++)
    answers.push(await still.send({ method: "PATCH", path, body: { tags: {} } }));
  expect(answers.map(({ status }) => status)).toEqual([...Array(10).fill(404), 429]);
  expect(answers.at(-1)?.code).toBe("TooManyRequests");
  expect(answers.at(-1)?.headers["retry-after"]).toBe("1");
});

test("version-level immutability: of an account at its making, of a container with versioning", async () => {
  const withIt = { immutableStorageWithVersioning: { enabled: true } };
  await client.storageAccounts.create(groupName, "wormaccount", { ...account, ...withIt }, quick);
  expect(cloud.storage.protections).toContainEqual({
    name: "wormaccount",
    versioning: true,
    immutableStorage: true,
  });
  await client.storageAccounts.create(groupName, "latecomer", account, quick);
  const notLater = client.storageAccounts.create(
    groupName,
    "latecomer",
    { ...account, ...withIt },
    quick,
  );
  await expect(notLater).rejects.toMatchObject({ code: "PropertyChangeNotAllowed" });

  const makeContainer = (name: string, body: object) =>
    client.blobContainers.create(groupName, "latecomer", name, body);
  const notAllowed = { statusCode: 409, code: "PropertyChangeNotAllowed" };
  await expect(makeContainer("backups", withIt)).rejects.toMatchObject(notAllowed);
  const setVersioning = (isVersioningEnabled: boolean) =>
    client.blobServices.setServiceProperties(groupName, "latecomer", { isVersioningEnabled });
  await setVersioning(true);
  await makeContainer("backups", withIt);
  await makeContainer("backups", withIt);
  expect(cloud.storage.protections).toContainEqual({
    name: "latecomer",
    immutableContainer: "backups",
  });
  await makeContainer("plain", {});
  await expect(makeContainer("plain", withIt)).rejects.toMatchObject(notAllowed);
  await expect(setVersioning(false)).rejects.toMatchObject(notAllowed);

  const remove = () => client.storageAccounts.delete(groupName, "latecomer");
  await expect(remove()).rejects.toMatchObject({ code: "AccountHasImmutableContainers" });
  await client.blobContainers.delete(groupName, "latecomer", "backups");
  await remove();
});
