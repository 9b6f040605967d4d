import { describe, expect, it } from "vitest";
import { CONTROL_PLANE_TAG } from "#core/backup/snapshot-tags.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { runSweepTick } from "#functions/triggers/sweep.timer.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, createWorld, type World } from "./test-world.ts";

let sweeps = 0;
const sweep = (world: World): Promise<unknown> =>
  world.driver.run(ORCHESTRATORS.sweep, `sweep-${sweeps++}`, {
    settings: world.context.config.run,
  });

const input = (world: World, sessionId: string): object => {
  const vm = createTestVm();
  return {
    sessionId,
    vmId: vm.vmId,
    vmResourceId: vm.resourceId,
    vmName: vm.name,
    repositoryId: "r-1",
    trigger: "manual",
    forceFull: false,
    settings: world.context.config.run,
  };
};

async function prepare(): Promise<World> {
  const world = createWorld();
  const vm = createTestVm();
  world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
  return world;
}

const SESSION = `backup-${createTestVm().vmId}-20261122T013000Z-manual`;

describe("sweep", () => {
  it("retires a worker that was idle for too long, with everything of it", async () => {
    const world = await prepare();
    await world.driver.run(ORCHESTRATORS.backupVm, SESSION, input(world, SESSION));
    await sweep(world);
    expect(world.azure.ofType("worker")).toHaveLength(1);
    world.driver.now += 600_000;
    expect(await sweep(world)).toEqual({ ok: true, value: { removedCount: 1 } });
    expect(world.azure.ofType("worker")).toEqual([]);
    // Azure refuses to delete what is being deleted.
    const asked = world.driver.calls.filter(({ name }) => name === "start-worker-removal");
    expect(asked).toHaveLength(1);
    expect(world.azure.ofType("nic")).toEqual([]);
    expect(world.azure.queues.size).toBe(0);
    expect(world.driver.pools.get("westeurope")?.workers).toEqual([]);
  });

  it("deletes no base snapshot and nothing that is not ours", async () => {
    const world = await prepare();
    await world.driver.run(ORCHESTRATORS.backupVm, SESSION, input(world, SESSION));
    const { compute } = world.azure;
    const [vm] = world.azure.vms.values();
    const tags = { [CONTROL_PLANE_TAG]: world.context.config.controlPlaneId, "holdfast-set": "x" };
    const sourceDiskId = vm!.osDisk.resourceId;
    const foreign = { sourceDiskId, location: "westeurope", tags, diskAccessId: "/theirs" };
    await compute.startSnapshot({ ...foreign, snapshotId: "/subscriptions/s/foreign" });
    await sweep(world);
    expect(world.azure.ofType("snapshot")).toHaveLength(3);
  });

  it("deletes snapshots and revokes grants of sessions that are over, not of running ones", async () => {
    const world = await prepare();
    const { records } = world.context;
    world.work = () => undefined;
    const error = { code: "Injected", message: "no undo", retry: "never" };
    const undo = new Set(["delete-session-snapshots", "revoke-grants", "start-worker-removal"]);
    world.sabotage = (name) => (undo.has(name) ? { ok: false, error } : undefined);
    await world.driver.run(ORCHESTRATORS.backupVm, SESSION, input(world, SESSION));
    expect(world.azure.liveSas.size).toBe(2);
    expect(world.azure.ofType("snapshot")).toHaveLength(2);
    world.sabotage = () => undefined;

    await records.sessions.update(SESSION, (session) => ({ ...session, state: "running" }));
    await sweep(world);
    expect(world.azure.liveSas.size).toBe(2);
    expect(world.azure.ofType("snapshot")).toHaveLength(2);

    await records.sessions.update(SESSION, (session) => ({ ...session, state: "failed" }));
    await sweep(world);
    expect(world.azure.liveSas.size).toBe(0);
    expect(world.azure.ofType("snapshot")).toEqual([]);
    expect(world.azure.ofType("worker")).toEqual([]);
  });

  it("deletes private endpoints that lead nowhere, after the grace time, and no others", async () => {
    const world = await prepare();
    await world.driver.run(ORCHESTRATORS.backupVm, SESSION, input(world, SESSION));
    const { config } = world.context;
    const { endpoints } = world.azure.region;
    const lost = [...endpoints.values()].find(({ service }) => service === "disks")!;
    const theirs = { ...lost, endpointId: `${lost.endpointId}-theirs`, tags: {} };
    endpoints.set(theirs.endpointId, theirs);
    const before = new Set(endpoints.keys());
    for (const each of [lost, theirs]) each.connection = "Disconnected";
    await sweep(world);
    // Who makes a disk access again may be about to replace its endpoint, too.
    expect(new Set(endpoints.keys())).toEqual(before);
    world.driver.now += config.run.workerLostSeconds * 1000;
    await sweep(world);
    before.delete(lost.endpointId);
    expect(new Set(endpoints.keys())).toEqual(before);
  });

  it("lets be an endpoint that leads somewhere again", async () => {
    const world = await prepare();
    await world.driver.run(ORCHESTRATORS.backupVm, SESSION, input(world, SESSION));
    const { endpoints } = world.azure.region;
    const lost = [...endpoints.values()].find(({ service }) => service === "disks")!;
    lost.connection = "Disconnected";
    await sweep(world);
    lost.connection = "Approved";
    world.driver.now += 3_600_000;
    await sweep(world);
    lost.connection = "Disconnected";
    await sweep(world);
    expect(endpoints.has(lost.endpointId)).toBe(true);
  });

  it("deletes the hub's endpoint of an account when no repository is there for long", async () => {
    const world = await prepare();
    await world.driver.run(ORCHESTRATORS.backupVm, SESSION, input(world, SESSION));
    const { records, config } = world.context;
    const { endpoints } = world.azure.region;
    const ofRepository = [...endpoints.keys()].find((id) => id.endsWith("/holdfast-repo-blob"))!;
    const wait = async (): Promise<void> => {
      await sweep(world);
      world.driver.now += config.diskAccess.graceSeconds * 1000;
      await sweep(world);
    };
    await wait();
    expect(endpoints.has(ofRepository)).toBe(true);
    await records.repositories.delete("r-1");
    await sweep(world);
    world.driver.now += config.run.workerLostSeconds * 1000;
    await sweep(world);
    expect(endpoints.has(ofRepository)).toBe(true);
    await wait();
    expect(endpoints.has(ofRepository)).toBe(false);
    expect([...endpoints.keys()].some((id) => id.includes("staging-blob"))).toBe(true);
  });

  it("ends sessions whose orchestration is lost and gives back their VM, after a while", async () => {
    const world = await prepare();
    const { records } = world.context;
    const { vmId } = createTestVm();
    const startedAt = world.context.clock().toISOString();
    await records.sessions.insert(SESSION, {
      sessionId: SESSION,
      type: "backup",
      state: "running",
      trigger: "manual",
      startedAt,
      vmId,
    });
    await records.claims.insert(vmId, { sessionId: SESSION, claimedAt: startedAt });
    await runSweepTick(world.context, world.client);
    expect((await records.sessions.get(SESSION)).state).toBe("running");
    world.driver.now += 3_600_000;
    await runSweepTick(world.context, world.client);
    expect(await records.sessions.get(SESSION)).toMatchObject({
      state: "failed",
      error: { code: "OrchestrationLost" },
    });
    expect(await records.claims.read(vmId)).toBeUndefined();
  });
});
