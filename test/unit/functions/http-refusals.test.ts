import { HttpRequest } from "@azure/functions";
import { beforeEach, describe, expect, it } from "vitest";
import { serveEndpoint } from "#functions/http/endpoint.ts";
import { ENDPOINTS } from "#functions/triggers/all-endpoints.ts";
import {
  callEndpoint,
  POLICY_BODY as policy,
  REPOSITORY_BODY as repository,
  type Answer,
  type CallOptions,
  type Started,
} from "./api-caller.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, createWorld, type World } from "./test-world.ts";

let world: World;
let started: Started[];

const call = (name: string, options?: CallOptions): Promise<Answer> =>
  callEndpoint(world, started, name, options);

beforeEach(async () => {
  world = createWorld();
  started = [];
  const vm = createTestVm();
  world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
});

describe("API", () => {
  it("refuses a request without a valid token before anything else", async () => {
    for (const endpoint of ENDPOINTS) {
      const request = new HttpRequest({ method: endpoint.method, url: "https://app.example/api" });
      const response = await serveEndpoint(endpoint, request, {
        context: world.context,
        client: world.client,
        authenticate: async () => ({ ok: false, kind: "refused", reason: "the token has expired" }),
      });
      expect(response.status).toBe(401);
      expect((response.headers as Record<string, string>)["www-authenticate"]).toBe(
        'Bearer error="invalid_token", error_description="the token has expired"',
      );
    }
  });

  it("answers 503 when the issuer's keys cannot be read", async () => {
    const request = new HttpRequest({ method: "GET", url: "https://app.example/api" });
    const response = await serveEndpoint(ENDPOINTS[0]!, request, {
      context: world.context,
      client: world.client,
      authenticate: async () => ({ ok: false, kind: "unavailable", reason: "no route" }),
    });
    expect(response.status).toBe(503);
  });

  it("has no two endpoints with the same name or route", () => {
    const names = ENDPOINTS.map((endpoint) => endpoint.name);
    const routes = ENDPOINTS.map((endpoint) => `${endpoint.method} ${endpoint.route}`);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(routes).size).toBe(routes.length);
  });

  it.each<[string, string, unknown, string]>([
    ["create-policy", "wrong type", { ...policy, name: 7 }, "name"],
    ["create-policy", "unknown field", { ...policy, nmae: "x" }, "nmae"],
    [
      "create-policy",
      "unknown nested field",
      { ...policy, schedule: { ...policy.schedule, cro: "" } },
      "schedule.cro",
    ],
    [
      "create-policy",
      "wrong cron",
      { ...policy, schedule: { cron: "61 * * * *", timeZone: "UTC" } },
      "schedule.cron",
    ],
    [
      "create-policy",
      "wrong time zone",
      { ...policy, schedule: { cron: "0 1 * * *", timeZone: "Mars" } },
      "schedule.timeZone",
    ],
    [
      "create-policy",
      "selects nothing",
      { ...policy, selection: { include: {} } },
      "selection.include",
    ],
    ["create-policy", "no such repository", { ...policy, repositoryId: "r-9" }, "repositoryId"],
    ["create-repository", "http", { ...repository, blobServiceUrl: "http://x/" }, "blobServiceUrl"],
    ["create-repository", "container", { ...repository, container: "A" }, "container"],
    [
      "create-repository",
      "unknown secret",
      { ...repository, encryption: { kind: "password", secretName: "nope" } },
      "encryption.secretName",
    ],
    [
      "create-repository",
      "a key without a version",
      {
        ...repository,
        encryption: { kind: "key-vault", keyId: "https://v.vault.azure.net/keys/backup" },
      },
      "encryption.keyId",
    ],
    [
      "create-repository",
      "no encryption chosen",
      { ...repository, encryption: undefined },
      "encryption",
    ],
    ["start-restore", "no such point", { restorePointId: "x", vmName: "y" }, "restorePointId"],
    ["start-restore", "VM name", { restorePointId: "x", vmName: "-y" }, "vmName"],
  ])("%s: 400 for a body with %s", async (name, _what, body, path) => {
    const { status, body: answer } = await call(name, { body });
    expect([status, answer.error.code]).toEqual([400, "InvalidRequest"]);
    expect(answer.error.details.map((detail: { path: string }) => detail.path)).toEqual([path]);
    expect(answer.error.details[0].reason).not.toBe("");
  });

  it("answers 400 for what is not JSON and 400 for an unknown query", async () => {
    expect((await call("create-policy", { body: "{" })).status).toBe(400);
    const { status, body } = await call("list-sessions", { query: { stat: "failed" } });
    expect([status, body.error.details[0].path]).toEqual([400, "stat"]);
  });

  it.each([
    ["text/plain", 415],
    ["application/x-www-form-urlencoded", 415],
    ["application/json-seq", 415],
    ["application/json; charset=utf-8", 201],
    ["Application/JSON", 201],
  ])("takes JSON only: %s answers %i", async (type, status) => {
    const answer = await call("create-policy", { body: policy, headers: { "content-type": type } });
    expect(answer.status).toBe(status);
  });

  it("refuses a body that is too large", async () => {
    const body = JSON.stringify({ ...policy, name: "x".repeat(300_000) });
    const { status, body: answer } = await call("create-policy", { body });
    expect([status, answer.error.code]).toEqual([413, "BodyTooLarge"]);
  });

  it.each(["0", "1001", "-1", "1.5", "many"])("refuses limit=%s", async (limit) => {
    const { status, body } = await call("list-sessions", { query: { limit } });
    expect([status, body.error.details[0].path]).toEqual([400, "limit"]);
  });

  it.each([
    ["get-policy", "policyId", "PolicyNotFound"],
    ["delete-policy", "policyId", "PolicyNotFound"],
    ["get-repository", "repositoryId", "RepositoryNotFound"],
    ["delete-repository", "repositoryId", "RepositoryNotFound"],
    ["get-protected-vm", "vmId", "ProtectedVmNotFound"],
    ["start-backup", "vmId", "ProtectedVmNotFound"],
    ["get-session", "sessionId", "SessionNotFound"],
    ["get-restore-point", "pointId", "RestorePointNotFound"],
  ])("%s answers 404 for an unknown id", async (name, param, code) => {
    for (const id of ["nobody", "a'b or 1 eq 1", "a/b#c?d"]) {
      const { status, body } = await call(name, { params: { [param]: id } });
      expect([status, body.error.code]).toEqual([404, code]);
    }
  });

  it("hides what it did not expect, and logs it", async () => {
    const broken = {
      ...world.azure.compute,
      listVms: () => {
        throw new TypeError("inner detail");
      },
    };
    world = { ...world, context: { ...world.context, compute: broken } };
    const { status, body } = await call("list-protected-vms");
    expect([status, body.error.code]).toEqual([500, "Unexpected"]);
    expect(JSON.stringify(body)).not.toContain("inner detail");
    expect(world.lines.join()).toContain("inner detail");
  });
});
