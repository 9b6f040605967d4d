import { describe, expect, it } from "vitest";
import type { WorkerConfiguration } from "#core/model/worker-configuration.ts";
import { defaultWorkerConfiguration } from "#core/workers/default-configuration.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

const LOCATION = "westeurope";

async function prepare(
  fields: Partial<WorkerConfiguration> = {},
  settings: Record<string, string> = {},
): Promise<World> {
  const world = createWorld(settings);
  const vm = createTestVm();
  world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
  const { records, config } = world.context;
  const automatic = defaultWorkerConfiguration(config.worker, LOCATION);
  await records.workerConfigurations.put(LOCATION, { ...automatic, ...fields });
  return world;
}

let runs = 0;

async function backUp(
  world: World,
  vm = createTestVm(),
): Promise<{ state: string; log: string[]; attempt: number }> {
  const sessionId = `backup-${vm.vmId}-20261122T0130${String(runs++).padStart(2, "0")}Z-manual`;
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
  const { records } = world.context;
  const { state } = await records.sessions.get(sessionId);
  const lines = await collect(records.sessionLog(sessionId).list());
  const { attempt } = await records.jobs.get(sessionId);
  return { state, log: lines.map(({ value }) => value.message), attempt };
}

let sweeps = 0;

async function sweep(world: World): Promise<void> {
  const settings = world.context.config.run;
  await world.driver.run(ORCHESTRATORS.sweep, `life-sweep-${sweeps++}`, { settings });
}

const shown = async (world: World) =>
  (await collect(world.context.records.workers.list())).map(({ value }) => value);
const poolOf = (world: World) => world.driver.pools.get(LOCATION)?.workers ?? [];

/** The VM goes away under the worker, without a word. */
function evict(world: World, workerId: string): void {
  for (const { id } of world.azure.ofType("worker"))
    if (id.endsWith(workerId)) world.azure.resources.delete(id);
}

describe("launch of a worker", () => {
  it.each(["at once", "later"] as const)(
    "takes the next size when Azure has no room for one and says so %s",
    async (when) => {
      const world = await prepare();
      world.azure.refusals.set("Standard_F2s_v2 regular", { code: "AllocationFailed", when });
      const { state, log } = await backUp(world);
      expect(state).toBe("succeeded");
      const sizes = world.azure.workerRequests.map(({ vmSize }) => vmSize);
      expect(new Set(sizes)).toEqual(new Set(["Standard_F2s_v2", "Standard_D2s_v3"]));
      expect(log.join("\n")).toContain("no room for Standard_F2s_v2 (regular) in westeurope: ");
      expect(world.azure.ofType("worker")).toHaveLength(1);
      expect(world.azure.ofType("nic")).toHaveLength(1);
      expect(poolOf(world)).toMatchObject([{ state: "idle", profile: "small" }]);
    },
  );

  it("takes regular where there is no room for spot, and ends when there is none for anything", async () => {
    const purchase = { kind: "spot", evictionsMax: 3 } as const;
    const only = ["Standard_F2s_v2"];
    const sizes = { small: only, medium: only, large: only, archive: only };
    const world = await prepare({ purchase, sizes });
    const refusal = { code: "SkuNotAvailable", when: "at once" } as const;
    world.azure.refusals.set("Standard_F2s_v2 spot", refusal);
    expect((await backUp(world)).state).toBe("succeeded");
    expect(poolOf(world)).toMatchObject([{ priority: "regular" }]);

    const full = await prepare({ purchase, sizes });
    for (const priority of ["spot", "regular"])
      full.azure.refusals.set(`Standard_F2s_v2 ${priority}`, refusal);
    const { state, log } = await backUp(full);
    expect(state).toBe("failed");
    expect(log.join("\n")).toContain("Azure has no room in westeurope for any size");
    expect(full.azure.ofType("worker")).toEqual([]);
    expect(full.azure.ofType("nic")).toEqual([]);
    expect(poolOf(full)).toEqual([]);
  });

  it("waits for the agent's installation no longer than the job may take", async () => {
    const world = await prepare({}, { HOLDFAST_JOB_DEADLINE_SECONDS: "180" });
    world.sabotage = (name) =>
      name === "read-install"
        ? { ok: true, value: { ready: false, waitingFor: "installation of the agent" } }
        : undefined;
    const { state, log } = await backUp(world);
    expect(state).toBe("failed");
    // NIC and VM took the rest of the three minutes.
    expect(log.at(-1)).toBe("Waited 160 s in vain for installation of the agent.");
  });

  it("fills in tags, and shows each state in the table", async () => {
    const world = await prepare({ tags: { owner: "backup", why: "{session} as {profile}" } });
    const states: string[] = [];
    world.sabotage = async () => {
      for (const { state } of await shown(world)) if (states.at(-1) !== state) states.push(state);
      return undefined;
    };
    await backUp(world);
    await sweep(world);
    world.driver.now += 600_000;
    const [worker] = await shown(world);
    await world.send(worker!.workerId, { kind: "heartbeat", memoryBytes: 1 });
    await sweep(world);
    expect(states).toEqual(["creating", "enrolling", "busy", "idle", "stopping"]);
    const [request] = world.azure.workerRequests;
    expect(request?.tags).toEqual({
      owner: "backup",
      why: expect.stringMatching(/^backup-.+ as small$/),
      "holdfast-control-plane": world.context.config.controlPlaneId,
    });
    expect(await shown(world)).toEqual([]);
  });
});

describe("a worker that others wait for", () => {
  const ends = [0, 15, 30, 45].map((seconds) => 7200 + seconds);
  it.each(ends)("goes to the next within three polls, after %i s of work", async (workSeconds) => {
    const world = await prepare({ maximum: 1 });
    const other = createTestVm("db", "bbbbbbbb-0000-4000-8000-00000000000b");
    world.azure.vms.set(other.resourceId, other);
    const workMs = workSeconds * 1000;
    const succeed = world.work;
    world.work = (job) => {
      const done = succeed(job);
      const beat = { kind: "heartbeat", memoryBytes: 1 } as const;
      for (let ms = 60_000; ms < workMs; ms += 60_000)
        world.driver.later(ms, () => world.send(job.workerId, beat));
      if (done !== undefined) world.driver.later(workMs, () => world.send(job.workerId, done));
      return undefined;
    };
    const ended = await Promise.all([backUp(world), backUp(world, other)]);
    expect(ended.map(({ state }) => state)).toEqual(["succeeded", "succeeded"]);
    const jobs = await collect(world.context.records.jobs.list());
    const ofBackups = jobs.map(({ value }) => value).filter(({ spec }) => spec.kind === "backup");
    const [first, second] = ofBackups.sort((one, two) =>
      (one.dispatchedAt ?? "").localeCompare(two.dispatchedAt ?? ""),
    );
    const idleMs = Date.parse(second?.dispatchedAt ?? "") - Date.parse(first?.finishedAt ?? "");
    expect(idleMs).toBeLessThanOrEqual(3 * world.context.config.run.pollSeconds * 1000);
  });
});

describe("eviction of a spot worker", () => {
  it("is noticed before the silence is too long, as often as it happens, until regular", async () => {
    const world = await prepare({ purchase: { kind: "spot", evictionsMax: 3 } });
    const succeed = world.work;
    let left = 4;
    world.work = (job) => {
      if (--left <= 0) return succeed(job);
      evict(world, job.workerId);
      return undefined;
    };
    const { state, log, attempt } = await backUp(world);
    expect([state, attempt]).toEqual(["succeeded", 4]);
    const lost = log.filter((line) => line.includes("does not exist any more"));
    expect(lost).toHaveLength(3);
    expect(log.join()).not.toContain("has been silent");
    const priorities = world.azure.workerRequests.map(({ priority }) => priority);
    expect(priorities).toEqual(["spot", "spot", "spot", "regular"]);
    expect(world.azure.liveSas.size).toBe(0);
    expect(world.azure.ofType("worker")).toHaveLength(1);
  });

  it("costs regular workers a dispatch, three at most", async () => {
    const world = await prepare();
    world.work = (job) => {
      evict(world, job.workerId);
      return undefined;
    };
    const { state, attempt } = await backUp(world);
    expect([state, attempt]).toEqual(["failed", 3]);
    expect(poolOf(world)).toEqual([]);
  });

  it("while it is idle is found out by the sweep", async () => {
    const world = await prepare();
    await backUp(world);
    const [worker] = await shown(world);
    evict(world, worker!.workerId);
    world.driver.now += 91_000;
    await sweep(world);
    expect(poolOf(world)).toEqual([]);
    expect(await shown(world)).toEqual([]);
    expect(world.azure.ofType("nic")).toEqual([]);
  });
});

describe("a deallocated worker", () => {
  const resting = {
    osDisk: "managed",
    idle: { action: "deallocate", afterSeconds: 60 },
  } as const;

  it("is started again for the next job, with another key and another secret", async () => {
    const world = await prepare(resting);
    await backUp(world);
    const [before] = await shown(world);
    world.driver.now += 61_000;
    await sweep(world);
    expect(await shown(world)).toMatchObject([{ state: "deallocated" }]);
    expect(poolOf(world)).toMatchObject([{ state: "deallocated" }]);

    expect((await backUp(world)).state).toBe("succeeded");
    const [after] = await shown(world);
    expect(after).toMatchObject({ workerId: before!.workerId, state: "idle", generation: 2 });
    expect(after?.publicKey?.x).not.toBe(before?.publicKey?.x);
    const installs = world.azure.runCommands.map(({ name }) => name);
    expect(installs).toEqual(["holdfast-install", "holdfast-install-2"]);
    const [first, second] = world.azure.runCommands.map(
      ({ protectedParameters }) => protectedParameters["HOLDFAST_WORKER_SECRET"],
    );
    expect(first).not.toBe(second);
    expect(world.azure.workerRequests).toHaveLength(1);
  });

  it("that cannot be started goes, and another one does the job", async () => {
    const world = await prepare(resting);
    await backUp(world);
    world.driver.now += 61_000;
    await sweep(world);
    const [before] = await shown(world);
    evict(world, before!.workerId);
    expect((await backUp(world)).state).toBe("succeeded");
    const [after, ...others] = await shown(world);
    expect(others).toEqual([]);
    expect(after?.workerId).not.toBe(before?.workerId);
  });
});

describe("a worker whose agent started anew", () => {
  it("loses its job to another worker and is removed", async () => {
    const world = await prepare();
    const succeed = world.work;
    const first = new Set<string>();
    world.work = (job) => {
      if (first.size > 0) return succeed(job);
      first.add(job.workerId);
      const publicKey = { kty: "EC", crv: "P-256", x: "other", y: "y" } as const;
      world.driver.now += 1000;
      return { kind: "enrolled", publicKey, agentVersion: "1.0.0" };
    };
    const { state, attempt } = await backUp(world);
    expect([state, attempt]).toEqual(["succeeded", 2]);
    expect((await shown(world)).map(({ workerId }) => first.has(workerId))).toEqual([false]);
  });
});
