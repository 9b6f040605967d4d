import { HttpRequest } from "@azure/functions";
import type { HttpResponseInit } from "@azure/functions";
import { beforeEach, describe, expect, it } from "vitest";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { serveEndpoint } from "#functions/http/endpoint.ts";
import { ENDPOINTS } from "#functions/triggers/all-endpoints.ts";
import { createTestVm, SUBSCRIPTION } from "./test-vm.ts";
import { addRepository, createWorld, type World } from "./test-world.ts";

/** What came back, looked into without a type of its own: the assertions say what it must be. */
type Json = ReturnType<typeof JSON.parse>;

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Json;
}

let world: World;
let started: { name: string; instanceId: string; input: Json }[];

async function call(
  name: string,
  options: {
    params?: Record<string, string>;
    query?: Record<string, string>;
    body?: unknown;
    headers?: Record<string, string>;
  } = {},
): Promise<Answer> {
  const endpoint = ENDPOINTS.find((each) => each.name === name)!;
  const request = new HttpRequest({
    method: endpoint.method,
    url: "https://app.example/api",
    headers: options.headers ?? {},
    query: options.query ?? {},
    params: options.params ?? {},
    ...(options.body === undefined
      ? {}
      : {
          body: {
            string: typeof options.body === "string" ? options.body : JSON.stringify(options.body),
          },
        }),
  });
  const response: HttpResponseInit = await serveEndpoint(endpoint, request, {
    context: world.context,
    authenticate: async () => ({ ok: true, subject: "me" }),
    client: {
      ...world.client,
      startOnce: async (orchestrator, instanceId, input) => {
        started.push({ name: orchestrator, instanceId, input });
        return true;
      },
    },
  });
  return {
    status: response.status ?? 0,
    headers: (response.headers ?? {}) as Record<string, string>,
    body: response.jsonBody,
  };
}

const policy = {
  name: "daily",
  schedule: { cron: "0 1 * * *", timeZone: "Europe/Berlin" },
  selection: { include: { tags: [{ name: "backup", value: "daily" }] } },
  repositoryId: "r-1",
};
const repository = {
  name: "second",
  blobServiceUrl: "https://other.blob.example/",
  container: "backups",
  encryption: { kind: "none" },
};

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

describe("policies", () => {
  it("are made, read, replaced and deleted; a stale ETag changes nothing", async () => {
    const made = await call("create-policy", { body: policy });
    expect(made.status).toBe(201);
    const { policyId } = made.body;
    expect(made.headers["location"]).toBe(`/api/v1/policies/${policyId}`);
    const params = { policyId };
    const read = await call("get-policy", { params });
    expect(read.body).toMatchObject({ ...made.body, enabled: true, maxConcurrentVms: 10 });
    const stale = { "if-match": read.headers["etag"]! };
    world.driver.now += 60_000;
    const replaced = await call("replace-policy", {
      params,
      headers: stale,
      body: { ...policy, name: "new" },
    });
    expect(replaced.body).toMatchObject({ name: "new", enabledAt: made.body.enabledAt });
    expect((await call("replace-policy", { params, headers: stale, body: policy })).status).toBe(
      412,
    );
    expect((await call("delete-policy", { params, headers: stale })).status).toBe(412);
    expect(
      (await call("delete-policy", { params, headers: { "if-match": "nonsense" } })).status,
    ).toBe(412);
    expect((await call("list-policies")).body.value).toHaveLength(1);
    expect((await call("delete-policy", { params })).status).toBe(204);
    expect((await call("get-policy", { params })).status).toBe(404);
    expect((await call("delete-policy", { params })).status).toBe(404);
  });

  it("owe no slot from before they were enabled or given another schedule", async () => {
    const made = await call("create-policy", { body: { ...policy, enabled: false } });
    const params = { policyId: made.body.policyId };
    world.driver.now += 60_000;
    const enabled = await call("replace-policy", { params, body: policy });
    expect(enabled.body.enabledAt).toBe(new Date(world.driver.now).toISOString());
    world.driver.now += 60_000;
    const schedule = { cron: "0 2 * * *", timeZone: "UTC" };
    const moved = await call("replace-policy", { params, body: { ...policy, schedule } });
    expect(moved.body.enabledAt).toBe(new Date(world.driver.now).toISOString());
  });
});

describe("repositories", () => {
  it("are made, found by id, and not made twice in one place", async () => {
    const made = await call("create-repository", { body: repository });
    expect(made.status).toBe(201);
    expect((await call("create-repository", { body: { ...repository, name: "x" } })).status).toBe(
      409,
    );
    const params = { repositoryId: made.body.repositoryId };
    expect((await call("get-repository", { params })).body).toEqual(made.body);
    const renamed = await call("replace-repository", {
      params,
      body: { ...repository, name: "x" },
    });
    expect([renamed.status, renamed.body.name]).toEqual([200, "x"]);
    expect((await call("list-repositories")).body.value).toHaveLength(2);
    expect((await call("delete-repository", { params })).status).toBe(204);
  });

  it("stay while a policy writes to them or restore points are in them", async () => {
    const params = { repositoryId: "r-1" };
    const made = await call("create-policy", { body: policy });
    expect((await call("delete-repository", { params })).body.error.code).toBe("RepositoryInUse");
    await call("delete-policy", { params: { policyId: made.body.policyId } });
    await runBackup();
    expect((await call("delete-repository", { params })).status).toBe(409);
    expect((await call("replace-repository", { params, body: repository })).status).toBe(409);
  });
});

async function runBackup(): Promise<string> {
  const { vmId } = createTestVm();
  const answer = await call("start-backup", { params: { vmId }, body: { repositoryId: "r-1" } });
  const { name, instanceId, input } = started.pop()!;
  await world.driver.run(name as "backup-vm", instanceId, input);
  return answer.body.sessionId;
}

describe("protected VMs and their backups", () => {
  const params = { vmId: createTestVm().vmId };

  it("tell what covers a VM and its latest restore point", async () => {
    expect((await call("get-protected-vm", { params })).body).toMatchObject({
      name: "web",
      policies: [],
      lastRestorePoint: null,
    });
    await call("create-policy", { body: policy });
    await runBackup();
    const [vm] = (await call("list-protected-vms")).body.value;
    expect(vm.policies).toEqual([{ policyId: expect.any(String), name: "daily" }]);
    expect(vm.lastRestorePoint.takenAt).toBe("2026-11-22T01:30:00.000Z");
    expect((await call("get-protected-vm", { params: { vmId: "x" } })).status).toBe(404);
  });

  it("do not show our own workers", async () => {
    const worker = createTestVm("holdfast-1", "bbbbbbbb-0000-4000-8000-00000000000b");
    const { resourceGroupId } = world.context.config.worker;
    const resourceId = `${resourceGroupId}/providers/Microsoft.Compute/virtualMachines/holdfast-1`;
    world.azure.vms.set(resourceId, { ...worker, resourceId });
    expect((await call("list-protected-vms")).body.value).toHaveLength(1);
    expect(resourceGroupId).toContain(SUBSCRIPTION);
  });

  it("start with the policy's repository, or the one that is named", async () => {
    const without = await call("start-backup", { params });
    expect([without.status, without.body.error.details[0].path]).toEqual([400, "repositoryId"]);
    await call("create-policy", { body: policy });
    const answer = await call("start-backup", { params, body: { forceFull: true } });
    const sessionId = `backup-${params.vmId}-20261122T013000Z-manual`;
    expect([answer.status, answer.headers["location"]]).toEqual([
      202,
      `/api/v1/sessions/${sessionId}`,
    ]);
    expect(started).toMatchObject([
      {
        name: ORCHESTRATORS.backupVm,
        instanceId: sessionId,
        input: { repositoryId: "r-1", forceFull: true, trigger: "manual" },
      },
    ]);
    const session = await call("get-session", { params: { sessionId } });
    expect(session.body).toMatchObject({ state: "running", log: [], progress: [] });
    expect((await call("start-backup", { params })).status).toBe(409);
    world.driver.now += 1000;
    const unknown = await call("start-backup", { params, body: { repositoryId: "r-9" } });
    expect(unknown.body.error.details[0].path).toBe("repositoryId");
  });
});

describe("sessions, restore points and restores", () => {
  it("show plan, log and result of a backup", async () => {
    const sessionId = await runBackup();
    const { body } = await call("get-session", { params: { sessionId } });
    expect(body).toMatchObject({
      state: "succeeded",
      attempt: 1,
      restorePointId: expect.any(String),
    });
    expect(body.plan).toHaveLength(2);
    expect(body.backupDisks).toHaveLength(2);
    const log = body.log.map((line: { message: string }) => line.message);
    expect(log[0]).toBe("taking snapshots of the disks of web together (2)");
    expect(log).toContain("deleted snapshots that are no base now: 0");
    expect((await call("list-sessions", { query: { state: "failed" } })).body.value).toEqual([]);
    const query = { type: "backup", vmId: createTestVm().vmId, limit: "1" };
    expect((await call("list-sessions", { query })).body.value).toHaveLength(1);
    expect((await call("get-session", { params: { sessionId: "x" } })).status).toBe(404);
  });

  it("show the progress of each disk with its rate", async () => {
    world.work = ({ jobId, attempt }) => {
      world.driver.now += 2000;
      const disks = [
        {
          diskId: createTestVm().osDisk.diskId,
          doneBytes: 4000,
          totalBytes: 8000,
          readBytes: 4000,
          storedBytes: 100,
        },
      ];
      return { kind: "progress", jobId, attempt, disks };
    };
    const { body } = await call("get-session", { params: { sessionId: await runBackup() } });
    expect(body.state).toBe("failed");
    expect(body.attempt).toBe(3);
    expect(body.progress).toMatchObject([
      { name: "web-os", doneBytes: 4000, totalBytes: 8000, bytesPerSecond: 2000 },
    ]);
  });

  it("list restore points of a VM and start a restore of one", async () => {
    await runBackup();
    const query = { vmId: createTestVm().vmId };
    const [point] = (await call("list-restore-points", { query })).body.value;
    expect(point).toMatchObject({ vmName: "web", state: "available", vmSize: "Standard_D2s_v5" });
    expect((await call("list-restore-points", { query: { vmId: "none" } })).body.value).toEqual([]);
    const { pointId } = point;
    const detail = await call("get-restore-point", { params: { pointId } });
    expect(detail.body.vm.osDisk.name).toBe("web-os");
    expect((await call("get-restore-point", { params: { pointId: "x" } })).status).toBe(404);

    const body = { restorePointId: pointId, vmName: "again" };
    const answer = await call("start-restore", { body });
    expect(answer.status).toBe(202);
    const { name, instanceId, input } = started.pop()!;
    expect([name, instanceId]).toEqual(["restore-vm", answer.body.sessionId]);
    expect(await world.driver.run("restore-vm", instanceId, input)).toMatchObject({
      value: { state: "succeeded" },
    });
    const session = await call("get-session", { params: { sessionId: instanceId } });
    expect(session.body.restoredVmResourceId).toMatch(/\/again$/);
  });
});
