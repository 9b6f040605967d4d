import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringAt } from "#local/resource-manager/json.ts";
import {
  groupId,
  groupName,
  networkBody,
  SimulatedCloud,
  subscriptionId,
} from "./simulated-cloud.ts";

let cloud: SimulatedCloud;
beforeAll(async () => {
  cloud = await SimulatedCloud.start();
});
afterAll(async () => {
  await cloud[Symbol.asyncDispose]();
});

const vnet = "Microsoft.Network/virtualNetworks";
const stranger = "99999999-0000-0000-0000-000000000000";
const list = `${groupId}/providers/${vnet}?api-version=2026-01-01`;

describe("tokens", () => {
  const owner = () => ({
    oid: cloud.owner.objectId,
    appId: cloud.owner.clientId,
    audience: "https://management.azure.com",
  });

  test("both audiences of Resource Manager are accepted", async () => {
    for (const audience of ["https://management.azure.com", "https://management.core.windows.net/"])
      expect(
        (await cloud.send({ path: list, token: await cloud.tokenOf(cloud.owner, audience) }))
          .status,
      ).toBe(200);
  });

  test("a missing token is 401 with a challenge", async () => {
    const answer = await cloud.send({ path: list, token: null });
    expect([answer.status, answer.code]).toEqual([401, "AuthenticationFailed"]);
    expect(answer.headers["www-authenticate"]).toContain("authorization_uri=");
  });

  test.each([
    ["expired", "ExpiredAuthenticationToken", { lifetimeSeconds: -1 }],
    [
      "of another audience",
      "InvalidAuthenticationTokenAudience",
      { audience: "https://storage.azure.com" },
    ],
    [
      "of another issuer",
      "InvalidAuthenticationTokenTenant",
      { issuer: "https://sts.windows.net/other/" },
    ],
    ["not valid yet", "InvalidAuthenticationToken", { notBeforeSeconds: 3000 }],
  ])("a token that is %s is 401 %s", async (_, code, change) => {
    const { token } = await cloud.tokens.issueToken({ ...owner(), ...change });
    const answer = await cloud.send({ path: list, token });
    expect([answer.status, answer.code]).toEqual([401, code]);
  });

  test("a token with a changed signature or no form is 401 InvalidAuthenticationToken", async () => {
    const { token } = await cloud.tokens.issueToken(owner());
    const [head = "", body = "", signature = ""] = token.split(".");
    const other = `${head}.${body}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
    for (const bad of [other, "x.y.z", "garbage"]) {
      const answer = await cloud.send({ path: list, token: bad });
      expect([answer.status, answer.code]).toEqual([401, "InvalidAuthenticationToken"]);
    }
  });
});

describe("refusals by path and body", () => {
  const body = networkBody();
  test.each([
    [
      "no api-version",
      "GET",
      `${groupId}/providers/${vnet}`,
      undefined,
      400,
      "MissingApiVersionParameter",
    ],
    [
      "unknown version of a type",
      "GET",
      `${groupId}/providers/${vnet}?api-version=1999-01-01`,
      undefined,
      400,
      "NoRegisteredProviderFound",
    ],
    [
      "unknown version of groups",
      "GET",
      `${groupId}?api-version=1999-01-01`,
      undefined,
      400,
      "InvalidApiVersionParameter",
    ],
    [
      "unknown type",
      "GET",
      `${groupId}/providers/Microsoft.Network/teapots/t?api-version=2026-01-01`,
      undefined,
      404,
      "InvalidResourceType",
    ],
    [
      "unknown provider",
      "GET",
      `${groupId}/providers/Contoso.Tea/pots/t?api-version=2026-01-01`,
      undefined,
      404,
      "InvalidResourceNamespace",
    ],
    [
      "unknown subscription",
      "GET",
      `/subscriptions/${stranger}/resourceGroups?api-version=2021-04-01`,
      undefined,
      404,
      "SubscriptionNotFound",
    ],
    [
      "unknown group",
      "GET",
      `/subscriptions/${subscriptionId}/resourceGroups/nope?api-version=2021-04-01`,
      undefined,
      404,
      "ResourceGroupNotFound",
    ],
    [
      "write into unknown group",
      "PUT",
      `/subscriptions/${subscriptionId}/resourceGroups/nope/providers/${vnet}/vn?api-version=2026-01-01`,
      body,
      404,
      "ResourceGroupNotFound",
    ],
    [
      "unknown resource",
      "GET",
      `${groupId}/providers/${vnet}/nope?api-version=2026-01-01`,
      undefined,
      404,
      "ResourceNotFound",
    ],
    [
      "child of unknown parent",
      "PUT",
      `${groupId}/providers/${vnet}/nope/subnets/s?api-version=2026-01-01`,
      {},
      404,
      "ParentResourceNotFound",
    ],
    [
      "bad name",
      "PUT",
      `${groupId}/providers/${vnet}/-bad-?api-version=2026-01-01`,
      body,
      400,
      "InvalidResourceName",
    ],
    [
      "no location",
      "PUT",
      `${groupId}/providers/${vnet}/vn?api-version=2026-01-01`,
      { properties: {} },
      400,
      "LocationRequired",
    ],
    [
      "unknown location",
      "PUT",
      `${groupId}/providers/${vnet}/vn?api-version=2026-01-01`,
      { ...body, location: "atlantis" },
      400,
      "LocationNotAvailableForResourceType",
    ],
    [
      "body that is no object",
      "PUT",
      `${groupId}/providers/${vnet}/vn?api-version=2026-01-01`,
      [1],
      400,
      "InvalidRequestContent",
    ],
    [
      "tags that are no strings",
      "PUT",
      `${groupId}/providers/${vnet}/vn?api-version=2026-01-01`,
      { ...body, tags: { a: 1 } },
      400,
      "InvalidRequestContent",
    ],
    [
      "another name in the body",
      "PUT",
      `${groupId}/providers/${vnet}/vn?api-version=2026-01-01`,
      { ...body, name: "w" },
      400,
      "InvalidRequestContent",
    ],
    [
      "method that the type has not",
      "PUT",
      `${groupId}/providers/Microsoft.Network/publicIPAddresses/p?api-version=2026-01-01`,
      { location: "westeurope" },
      405,
      "MethodNotAllowed",
    ],
    [
      "unknown action",
      "POST",
      `${groupId}/providers/${vnet}/vn/explode?api-version=2026-01-01`,
      {},
      404,
      "InvalidResourceType",
    ],
    [
      "unknown operation",
      "GET",
      `/subscriptions/${subscriptionId}/providers/Microsoft.Network/locations/westeurope/operations/${stranger}?api-version=2026-01-01`,
      undefined,
      404,
      "NotFound",
    ],
    [
      "bad filter",
      "GET",
      `/subscriptions/${subscriptionId}/resources?api-version=2021-04-01&$filter=nonsense`,
      undefined,
      400,
      "InvalidFilterInQueryString",
    ],
    [
      "bad group name",
      "PUT",
      `/subscriptions/${subscriptionId}/resourceGroups/a%3Fb?api-version=2021-04-01`,
      { location: "westeurope" },
      400,
      "InvalidResourceGroup",
    ],
    [
      "group moved",
      "PUT",
      `${groupId}?api-version=2021-04-01`,
      { location: "northeurope" },
      409,
      "InvalidResourceGroupLocation",
    ],
  ] as const)("%s: %s", async (_name, method, path, sent, status, code) => {
    const answer = await cloud.send({
      method,
      path,
      ...(sent === undefined ? {} : { body: sent }),
    });
    expect([answer.status, answer.code]).toEqual([status, code]);
    expect(answer.message).not.toBe("");
  });

  test("JSON that does not parse is 400 InvalidRequestContent", async () => {
    const { request } = await import("node:https");
    const token = await cloud.tokenOf(cloud.owner);
    const status = await new Promise((resolve, reject) => {
      const sent = request(
        new URL(cloud.path(`${vnet}/vn`), cloud.manager.endpoint),
        {
          method: "PUT",
          ca: cloud.certificates.ca,
          agent: false,
          headers: { authorization: `Bearer ${token}` },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      sent.on("error", reject);
      sent.end("{ not json");
    });
    expect(status).toBe(400);
  });
});

describe("resources", () => {
  test("ids ignore case and keep the case of their creator", async () => {
    await cloud.make(`${vnet}/MyNet`, networkBody());
    const upper = `${groupId.toUpperCase()}/PROVIDERS/MICROSOFT.NETWORK/VIRTUALNETWORKS/MYNET?api-version=2026-01-01`;
    const answer = await cloud.send({ path: upper });
    expect(answer.body["id"]).toBe(`${groupId}/providers/${vnet}/MyNet`);
    expect(answer.headers["x-ms-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("the first PUT answers 201, the next 200, and the location stays", async () => {
    expect((await cloud.put(`${vnet}/located`, networkBody())).status).toBe(201);
    await cloud.manager.operations.idle();
    expect(
      (await cloud.put(`${vnet}/located`, { ...networkBody(), location: "West Europe" })).status,
    ).toBe(200);
    await cloud.manager.operations.idle();
    const moved = await cloud.put(`${vnet}/located`, { ...networkBody(), location: "northeurope" });
    expect([moved.status, moved.code]).toEqual([409, "InvalidResourceLocation"]);
  });

  test("If-Match and If-None-Match guard a write", async () => {
    await cloud.make(`${vnet}/guarded`, networkBody());
    const path = cloud.path(`${vnet}/guarded`);
    const etag = stringAt((await cloud.send({ path })).body, "etag") ?? "";
    const write = (headers: Record<string, string>) =>
      cloud.send({ method: "PUT", path, body: networkBody(), headers });
    expect((await write({ "if-none-match": "*" })).code).toBe("PreconditionFailed");
    expect((await write({ "if-match": 'W/"old"' })).status).toBe(412);
    expect((await write({ "if-match": etag })).status).toBe(200);
    await cloud.manager.operations.idle();
    expect((await write({ "if-match": etag })).status).toBe(412);
  });

  test("a PATCH of tags replaces only tags", async () => {
    await cloud.make(`${vnet}/tagged`, networkBody());
    const path = cloud.path(`${vnet}/tagged`);
    const answer = await cloud.send({ method: "PATCH", path, body: { tags: { owner: "me" } } });
    expect([answer.status, answer.body["tags"]]).toEqual([200, { owner: "me" }]);
    const refused = await cloud.send({ method: "PATCH", path, body: { properties: {} } });
    expect(refused.code).toBe("InvalidRequestContent");
  });

  test("deleting what is not there is 204", async () => {
    expect((await cloud.send({ method: "DELETE", path: cloud.path(`${vnet}/none`) })).status).toBe(
      204,
    );
  });
});

describe("throttling", () => {
  test("refusals on order answer 429 with Retry-After, then requests pass again", async () => {
    cloud.manager.throttle.throttleNext(2, 7);
    for (let round = 0; round < 2; round++) {
      const answer = await cloud.send({ path: list });
      expect([answer.status, answer.code, answer.headers["retry-after"]]).toEqual([
        429,
        "TooManyRequests",
        "7",
      ]);
    }
    const answer = await cloud.send({ path: list });
    expect(answer.status).toBe(200);
    expect(Number(answer.headers["x-ms-ratelimit-remaining-subscription-reads"])).toBeGreaterThan(
      0,
    );
  });
});

describe("observers", () => {
  test("they see method, action, principal, status and code of each request", async () => {
    const seen: unknown[] = [];
    const stop = cloud.manager.onRequest(({ method, action, principalId, status, errorCode }) =>
      seen.push({ method, action, principalId, status, errorCode }),
    );
    await cloud.send({ path: cloud.path(`${vnet}/nope`) });
    stop();
    await cloud.send({ path: list });
    expect(seen).toEqual([
      {
        method: "GET",
        action: `${vnet}/read`,
        principalId: cloud.owner.objectId,
        status: 404,
        errorCode: "ResourceNotFound",
      },
    ]);
  });
});

test("the group keeps its name", async () => {
  const answer = await cloud.send({ path: `${groupId.toLowerCase()}?api-version=2021-04-01` });
  expect(answer.body["name"]).toBe(groupName);
});
