import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  groupId,
  interfaceBody,
  networkBody,
  SimulatedCloud,
  subscriptionId,
} from "./simulated-cloud.ts";

let cloud: SimulatedCloud;
beforeAll(async () => {
  cloud = await SimulatedCloud.start();
  await cloud.make("Microsoft.Network/virtualNetworks/net", networkBody());
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

const subscription = `/subscriptions/${subscriptionId}`;
const networkId = `${groupId}/providers/Microsoft.Network/virtualNetworks/net`;
const subnetId = `${networkId}/subnets/workers`;
const assignments = "providers/Microsoft.Authorization/roleAssignments";
const roleOf = (guid: string) =>
  `${subscription}/providers/Microsoft.Authorization/roleDefinitions/${guid}`;
const reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

async function customRole(actions: string[]): Promise<string> {
  const guid = randomUUID();
  const answer = await cloud.send({
    method: "PUT",
    path: `${roleOf(guid)}?api-version=2022-04-01`,
    body: {
      properties: { roleName: guid, permissions: [{ actions }], assignableScopes: [subscription] },
    },
  });
  expect(answer.status).toBe(201);
  return guid;
}

test("without a role a read is 403 in Azure's words", async () => {
  const nobody = cloud.principalWith();
  const answer = await cloud.send({
    path: `${networkId}?api-version=2026-01-01`,
    token: await cloud.tokenOf(nobody),
  });
  expect([answer.status, answer.code]).toEqual([403, "AuthorizationFailed"]);
  expect(answer.message).toBe(
    `The client '${nobody.objectId}' with object id '${nobody.objectId}' does not have authorization to perform action 'Microsoft.Network/virtualNetworks/read' over scope '${networkId}' or the scope is invalid. If access was recently granted, please refresh your credentials.`,
  );
});

test("a role counts at its scope and below, not beside", async () => {
  const principal = cloud.principalWith({ role: "Reader", scope: networkId });
  const token = await cloud.tokenOf(principal);
  const status = async (path: string) =>
    (await cloud.send({ path: `${path}?api-version=2026-01-01`, token })).status;
  expect(await status(networkId)).toBe(200);
  expect(await status(subnetId)).toBe(200);
  expect(await status(`${networkId}2`)).toBe(403);
});

test("a reader writes nothing, and a contributor gives no roles", async () => {
  const readOnly = cloud.principalWith({ role: "Reader", scope: subscription });
  const contributor = cloud.principalWith({ role: "Contributor", scope: subscription });
  const write = await cloud.send({
    method: "PUT",
    path: `${networkId}?api-version=2026-01-01`,
    body: networkBody(),
    token: await cloud.tokenOf(readOnly),
  });
  expect(write.code).toBe("AuthorizationFailed");
  const give = await cloud.send({
    method: "PUT",
    path: `${groupId}/${assignments}/${randomUUID()}?api-version=2022-04-01`,
    body: { properties: { roleDefinitionId: roleOf(reader), principalId: readOnly.objectId } },
    token: await cloud.tokenOf(contributor),
  });
  expect(give.code).toBe("AuthorizationFailed");
});

test("joining a subnet needs join/action on it: 403 LinkedAuthorizationFailed", async () => {
  const role = await customRole(["Microsoft.Network/networkInterfaces/*"]);
  const principal = cloud.principalWith({ role, scope: groupId });
  const create = async () =>
    cloud.send({
      method: "PUT",
      path: cloud.path("Microsoft.Network/networkInterfaces/joined"),
      body: interfaceBody(subnetId),
      token: await cloud.tokenOf(principal),
    });
  const refused = await create();
  expect([refused.status, refused.code]).toEqual([403, "LinkedAuthorizationFailed"]);
  expect(refused.message).toContain("Microsoft.Network/virtualNetworks/subnets/join/action");
  const join = await customRole(["Microsoft.Network/virtualNetworks/subnets/join/action"]);
  cloud.manager.assignRole({ principalId: principal.objectId, role: join, scope: networkId });
  expect((await create()).status).toBe(201);
});

test("assigning an identity needs assign/action on it, and the identity must exist", async () => {
  const identity = `${groupId}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/worker`;
  await cloud.make(
    "Microsoft.ManagedIdentity/userAssignedIdentities/worker",
    { location: "westeurope" },
    "2024-11-30",
  );
  const role = await customRole(["Microsoft.Storage/storageAccounts/*"]);
  const principal = cloud.principalWith({ role, scope: groupId });
  const create = async (id: string, token: string) =>
    cloud.send({
      method: "PUT",
      path: cloud.path("Microsoft.Storage/storageAccounts/identityacct", "2026-09-01"),
      body: {
        location: "westeurope",
        kind: "StorageV2",
        sku: { name: "Standard_LRS" },
        identity: { type: "SystemAssigned, UserAssigned", userAssignedIdentities: { [id]: {} } },
      },
      token,
    });
  expect((await create(identity, await cloud.tokenOf(principal))).code).toBe(
    "LinkedAuthorizationFailed",
  );
  const owner = await cloud.tokenOf(cloud.owner);
  expect((await create(`${identity}2`, owner)).code).toBe("FailedIdentityOperation");
  expect((await create(identity, owner)).status).toBe(202);
  await cloud.manager.operations.idle();
  const account = await cloud.send({
    path: cloud.path("Microsoft.Storage/storageAccounts/identityacct", "2026-09-01"),
  });
  const assigned = cloud.principals.byResourceId(identity);
  const accountId = `${groupId}/providers/Microsoft.Storage/storageAccounts/identityacct`;
  const system = cloud.principals.byResourceId(accountId);
  expect(account.body["identity"]).toEqual({
    type: "SystemAssigned, UserAssigned",
    principalId: system?.objectId,
    tenantId: cloud.tokens.tenantId,
    userAssignedIdentities: {
      [identity]: { principalId: assigned?.objectId, clientId: assigned?.clientId },
    },
  });
  await cloud.send({
    method: "DELETE",
    path: cloud.path("Microsoft.Storage/storageAccounts/identityacct", "2026-09-01"),
  });
  expect(cloud.principals.byResourceId(accountId)).toBeUndefined();
  expect(cloud.principals.byResourceId(identity)).toBeDefined();
});

test("a list shows what the caller may read, and is refused when that is nothing", async () => {
  await cloud.make("Microsoft.Network/virtualNetworks/hidden", networkBody());
  const some = cloud.principalWith({ role: "Reader", scope: networkId });
  const path = `${subscription}/providers/Microsoft.Network/virtualNetworks?api-version=2026-01-01`;
  const answer = await cloud.send({ path, token: await cloud.tokenOf(some) });
  expect(answer.body["value"]).toMatchObject([{ id: networkId }]);
  const none = await cloud.send({ path, token: await cloud.tokenOf(cloud.principalWith()) });
  expect(none.code).toBe("AuthorizationFailed");
});

test.each([
  [
    "a role that does not exist",
    roleOf(randomUUID()),
    undefined,
    404,
    "RoleDefinitionDoesNotExist",
  ],
  ["a principal that does not exist", roleOf(reader), randomUUID(), 400, "PrincipalNotFound"],
  ["a principal id that is no GUID", roleOf(reader), "me", 400, "InvalidRequestContent"],
])("assigning %s is refused", async (_, roleDefinitionId, principalId, status, code) => {
  const answer = await cloud.send({
    method: "PUT",
    path: `${groupId}/${assignments}/${randomUUID()}?api-version=2022-04-01`,
    body: { properties: { roleDefinitionId, principalId: principalId ?? cloud.owner.objectId } },
  });
  expect([answer.status, answer.code]).toEqual([status, code]);
});

test("the same assignment twice is 409 RoleAssignmentExists; deletion takes the right away", async () => {
  const principal = cloud.principalWith();
  const token = await cloud.tokenOf(principal);
  const body = {
    properties: { roleDefinitionId: roleOf(reader), principalId: principal.objectId },
  };
  const first = `${groupId}/${assignments}/${randomUUID()}?api-version=2022-04-01`;
  const second = `${groupId}/${assignments}/${randomUUID()}?api-version=2022-04-01`;
  expect((await cloud.send({ method: "PUT", path: first, body })).status).toBe(201);
  expect((await cloud.send({ method: "PUT", path: second, body })).code).toBe(
    "RoleAssignmentExists",
  );
  const read = () => cloud.send({ path: `${networkId}?api-version=2026-01-01`, token });
  expect((await read()).status).toBe(200);
  expect((await cloud.send({ method: "DELETE", path: first })).status).toBe(200);
  expect((await read()).status).toBe(403);
});
