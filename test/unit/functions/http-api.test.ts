import { beforeEach, describe, expect, it } from "vitest";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import {
  callEndpoint,
  POLICY_BODY as policy,
  REPOSITORY_BODY as repository,
  type Answer,
  type CallOptions,
  type Started,
} from "./api-caller.ts";
import { createTestVm, SUBSCRIPTION } from "./test-vm.ts";
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
    // Taken when the region was ready, minutes after the start.
    expect(vm.lastRestorePoint.takenAt).toMatch(/^2026-11-22T01:3/);
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
    // The region comes first: snapshots are born with a disk access of it.
    expect(log[0]).toMatch(/^region westeurope: create-security-group /);
    expect(log).toContain("taking snapshots of the disks of web together (2)");
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

    const taken = await call("start-restore", { body: { restorePointId: pointId, vmName: "web" } });
    expect([taken.status, taken.body.error.code]).toEqual([409, "RestoreConflict"]);
    expect(taken.body.error.message).toContain("exists already");
    expect(started).toEqual([]);
    const restores = await call("list-sessions", { query: { type: "restore" } });
    expect(restores.body.value).toEqual([]);

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
