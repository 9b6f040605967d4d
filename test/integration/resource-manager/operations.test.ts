import { afterEach, beforeEach, expect, test } from "vitest";
import {
  groupId,
  networkBody,
  SimulatedCloud,
  subscriptionId,
  storageVersion,
} from "./simulated-cloud.ts";

let cloud: SimulatedCloud;
beforeEach(async () => {
  cloud = await SimulatedCloud.start({ pageSize: 2 });
});
afterEach(async () => {
  await cloud[Symbol.asyncDispose]();
});

const vnet = "Microsoft.Network/virtualNetworks";
const account = { location: "westeurope", kind: "StorageV2", sku: { name: "Standard_LRS" } };
const stateOf = (body: object) =>
  (body as { properties?: { provisioningState?: string } }).properties?.provisioningState;

test("an operation is seen running, then done, at Azure-AsyncOperation", async () => {
  cloud.manager.operations.hold();
  const created = await cloud.put(`${vnet}/net`, networkBody());
  expect([created.status, stateOf(created.body), created.headers["retry-after"]]).toEqual([
    201,
    "Creating",
    "0",
  ]);
  const path = String(created.headers["azure-asyncoperation"]);
  expect((await cloud.send({ path })).body).toMatchObject({
    status: "InProgress",
    startTime: expect.any(String),
  });
  expect(stateOf((await cloud.send({ path: cloud.path(`${vnet}/net`) })).body)).toBe("Creating");
  cloud.manager.operations.release();
  await cloud.manager.operations.idle();
  // The second poll still says InProgress although the work is done.
  expect((await cloud.send({ path })).body["status"]).toBe("InProgress");
  expect((await cloud.send({ path })).body).toMatchObject({
    status: "Succeeded",
    endTime: expect.any(String),
  });
  expect(stateOf((await cloud.send({ path: cloud.path(`${vnet}/net`) })).body)).toBe("Succeeded");
});

test("the Location style answers 202 until the result is there", async () => {
  const created = await cloud.put(
    "Microsoft.Storage/storageAccounts/locationstyle",
    account,
    storageVersion,
  );
  expect([created.status, created.body, created.headers["azure-asyncoperation"]]).toEqual([
    202,
    {},
    undefined,
  ]);
  await cloud.manager.operations.idle();
  const path = String(created.headers["location"]);
  expect((await cloud.send({ path })).status).toBe(202);
  expect((await cloud.send({ path })).status).toBe(202);
  const done = await cloud.send({ path });
  expect([done.status, done.body["name"]]).toEqual([200, "locationstyle"]);
});

test("a second write while one runs is 409 AnotherOperationInProgress, also on a sibling subnet", async () => {
  await cloud.make(`${vnet}/net`, networkBody());
  cloud.manager.operations.hold();
  expect(
    (await cloud.put(`${vnet}/net/subnets/one`, { properties: { addressPrefix: "10.1.1.0/24" } }))
      .status,
  ).toBe(201);
  for (const [name, prefix] of [
    ["one", "10.1.1.0/24"],
    ["two", "10.1.2.0/24"],
  ]) {
    const answer = await cloud.put(`${vnet}/net/subnets/${name}`, {
      properties: { addressPrefix: prefix ?? "" },
    });
    expect([answer.status, answer.code]).toEqual([409, "AnotherOperationInProgress"]);
  }
  cloud.manager.operations.release();
});

test("work that fails makes operation and resource Failed", async () => {
  cloud.storage.createAccount = async () => {
    throw new Error("no space");
  };
  const created = await cloud.put(
    "Microsoft.Storage/storageAccounts/failing",
    account,
    storageVersion,
  );
  await cloud.manager.operations.idle();
  const path = String(created.headers["location"]);
  await cloud.send({ path });
  await cloud.send({ path });
  const done = await cloud.send({ path });
  expect([done.status, done.message]).toEqual([500, "no space"]);
  const read = await cloud.send({
    path: cloud.path("Microsoft.Storage/storageAccounts/failing", storageVersion),
  });
  expect(stateOf(read.body)).toBe("Failed");
});

test("resources, roles and unfinished operations survive a restart", async () => {
  cloud.manager.operations.hold();
  const created = await cloud.put(
    "Microsoft.Storage/storageAccounts/survivor",
    account,
    storageVersion,
  );
  const { pathname, search } = new URL(String(created.headers["location"]));
  await cloud.manager[Symbol.asyncDispose]();
  await cloud.startManager();
  await cloud.manager.operations.idle();
  const path = `${pathname}${search}`;
  await cloud.send({ path });
  await cloud.send({ path });
  expect((await cloud.send({ path })).status).toBe(200);
  const read = await cloud.send({
    path: cloud.path("Microsoft.Storage/storageAccounts/survivor", storageVersion),
  });
  expect(stateOf(read.body)).toBe("Succeeded");
});

test("lists come in pages, and $filter selects by tag", async () => {
  for (const [index, name] of ["na", "nb", "nc", "nd", "ne"].entries())
    await cloud.make(`${vnet}/${name}`, {
      ...networkBody(),
      tags: { tier: index % 2 === 0 ? "even" : "odd" },
    });
  const names: string[] = [];
  let pageCount = 0;
  let path: string | undefined = `${groupId}/providers/${vnet}?api-version=2026-01-01`;
  while (path !== undefined) {
    const { body } = await cloud.send({ path });
    const { value, nextLink } = body as unknown as { value: { name: string }[]; nextLink?: string };
    expect(value.length).toBeLessThanOrEqual(2);
    names.push(...value.map(({ name }) => name));
    pageCount += 1;
    path = nextLink;
  }
  expect([names, pageCount]).toEqual([["na", "nb", "nc", "nd", "ne"], 3]);
  const filter = encodeURIComponent("tagName eq 'tier' and tagValue eq 'odd'");
  const odd = await cloud.send({
    path: `/subscriptions/${subscriptionId}/resources?api-version=2021-04-01&$filter=${filter}`,
  });
  expect(odd.body["value"]).toMatchObject([{ name: "nb" }, { name: "nd" }]);
});

test("deleting a group deletes what is in it, through the providers, and refuses writes meanwhile", async () => {
  await cloud.make(`${vnet}/net`, networkBody());
  const subnetId = `${groupId}/providers/${vnet}/net/subnets/workers`;
  await cloud.make("Microsoft.Network/networkInterfaces/nic", {
    location: "westeurope",
    properties: { ipConfigurations: [{ name: "a", properties: { subnet: { id: subnetId } } }] },
  });
  await cloud.make("Microsoft.Storage/storageAccounts/doomed", account, storageVersion);
  cloud.manager.operations.hold();
  const answer = await cloud.send({ method: "DELETE", path: `${groupId}?api-version=2021-04-01` });
  expect(answer.status).toBe(202);
  const write = await cloud.put(`${vnet}/late`, networkBody());
  expect([write.status, write.code]).toEqual([409, "ResourceGroupBeingDeleted"]);
  cloud.manager.operations.release();
  await cloud.manager.operations.idle();
  const read = await cloud.send({ path: `${groupId}?api-version=2021-04-01` });
  expect(read.code).toBe("ResourceGroupNotFound");
  expect(cloud.storage.accounts.size).toBe(0);
  expect(cloud.manager.resources.descendants(groupId)).toEqual([]);
});

test("lists may lag: what is hidden is still read by id", async () => {
  await cloud.manager[Symbol.asyncDispose]();
  await cloud.startManager({ hiddenFromLists: ({ name }) => name === "fresh" });
  await cloud.make(`${vnet}/fresh`, networkBody());
  const list = await cloud.send({ path: `${groupId}/providers/${vnet}?api-version=2026-01-01` });
  expect(list.body["value"]).toEqual([]);
  expect((await cloud.send({ path: cloud.path(`${vnet}/fresh`) })).status).toBe(200);
});
