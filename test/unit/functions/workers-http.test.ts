import { beforeEach, describe, expect, it } from "vitest";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { callEndpoint, type Answer, type CallOptions } from "./api-caller.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, createWorld, type World } from "./test-world.ts";

let world: World;
const call = (name: string, options?: CallOptions): Promise<Answer> =>
  callEndpoint(world, [], name, options);
const params = { region: "westeurope" };

beforeEach(async () => {
  world = createWorld();
  const vm = createTestVm();
  world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
});

/** The body that the operator sends back changed. */
async function readInput(): Promise<Record<string, unknown>> {
  const { body } = await call("get-worker-configuration", { params });
  const { location: _location, origin: _origin, updatedAt: _at, ...input } = body;
  return input;
}

describe("worker configurations", () => {
  it("are automatic until an operator writes one, and again when it is deleted", async () => {
    const automatic = (await call("get-worker-configuration", { params })).body;
    expect(automatic).toMatchObject({ location: "westeurope", origin: "automatic", maximum: 5 });
    const body = { ...(await readInput()), maximum: 2, purchase: { kind: "spot" } };
    const written = await call("replace-worker-configuration", { params, body });
    expect(written.body).toMatchObject({
      origin: "operator",
      maximum: 2,
      purchase: { kind: "spot", evictionsMax: 3 },
    });
    const read = await call("get-worker-configuration", { params });
    expect(read.body).toEqual(written.body);
    expect((await call("list-worker-configurations")).body.value).toEqual([written.body]);
    const headers = { "if-match": read.headers["etag"]! };
    expect((await call("replace-worker-configuration", { params, body, headers })).status).toBe(
      200,
    );
    expect((await call("replace-worker-configuration", { params, body, headers })).status).toBe(
      412,
    );
    expect((await call("delete-worker-configuration", { params, headers })).status).toBe(412);
    expect((await call("delete-worker-configuration", { params })).status).toBe(204);
    expect((await call("delete-worker-configuration", { params })).status).toBe(404);
    expect((await call("get-worker-configuration", { params })).body).toEqual(automatic);
  });

  it.each<[Record<string, unknown>, string]>([
    [{ minimum: 9, maximum: 2 }, "minimum"],
    [{ idle: { action: "deallocate", afterSeconds: 1 }, osDisk: "ephemeral" }, "idle.action"],
    [{ colour: "red" }, "colour"],
  ])("are refused with %o", async (fields, path) => {
    const body = { ...(await readInput()), ...fields };
    const answer = await call("replace-worker-configuration", { params, body });
    expect(answer.status).toBe(400);
    expect(answer.body.error.details.map((each: { path: string }) => each.path)).toContain(path);
  });

  it("are of Azure regions only", async () => {
    const odd = { region: "West Europe" };
    expect((await call("get-worker-configuration", { params: odd })).status).toBe(400);
  });
});

describe("workers", () => {
  it("are shown with their state, and nothing that is secret or sealed", async () => {
    const vm = createTestVm();
    const sessionId = `backup-${vm.vmId}-20261122T013000Z-manual`;
    await world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
      sessionId,
      vmId: vm.vmId,
      vmResourceId: vm.resourceId,
      vmName: vm.name,
      repositoryId: "r-1",
      trigger: "manual",
      forceFull: false,
      settings: world.context.config.run,
    });
    const { value } = (await call("list-workers-of-all-regions")).body;
    expect(value).toEqual([
      {
        workerId: expect.stringMatching(/^holdfast-/),
        location: "westeurope",
        state: "idle",
        stateAt: expect.any(String),
        reason: null,
        profile: "small",
        vmSize: "Standard_F2s_v2",
        priority: "regular",
        osDisk: "ephemeral",
        vmResourceId: expect.stringContaining("/virtualMachines/holdfast-"),
        jobId: null,
        agentVersion: "1.0.0",
        createdAt: expect.any(String),
        lastSeenAt: expect.any(String),
      },
    ]);
    expect((await call("list-worker-configurations")).body.value).toMatchObject([
      { location: "westeurope", origin: "automatic" },
    ]);
  });
});
