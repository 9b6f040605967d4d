/**
 * The sweep comes at every moment of work that goes on, with the shortest patience, and must take
 * nothing of it: a running session's grants, snapshots and objects, an enrolling or busy worker, a
 * base.
 */
import { describe, expect, it } from "vitest";
import { SESSION_TAG } from "#core/backup/snapshot-tags.ts";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { runSweepTick } from "#functions/triggers/sweep.timer.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

const VM = createTestVm();
const sessionOf = (day: number): string => `backup-${VM.vmId}-202611${day}T013000Z-manual`;
const RESTORE = "restore-20261124T020000Z-00000001";

async function prepare(): Promise<World> {
  // Idle workers go at once: a worker that the sweep could take, it takes.
  const world = createWorld({ HOLDFAST_WORKER_IDLE_SECONDS: "0" });
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
  return world;
}

const backUp = (world: World, sessionId: string): Promise<unknown> =>
  world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
    sessionId,
    vmId: VM.vmId,
    vmResourceId: VM.resourceId,
    vmName: VM.name,
    repositoryId: "r-1",
    trigger: "manual",
    forceFull: false,
    settings: world.context.config.run,
  });

async function restore(world: World, pointOf: string): Promise<unknown> {
  const restorePointId = pointOf.replace("backup-", "");
  await world.context.records.sessions.insert(RESTORE, {
    sessionId: RESTORE,
    type: "restore",
    state: "running",
    trigger: "manual",
    startedAt: world.context.clock().toISOString(),
    restorePointId,
    restoreRequest: { restorePointId, vmName: "copy" },
  });
  return world.driver.run(ORCHESTRATORS.restoreVm, RESTORE, {
    sessionId: RESTORE,
    settings: world.context.config.run,
  });
}

let sweeps = 0;
async function sweep(world: World): Promise<void> {
  const client = { ...world.client, stateOf: async () => "running" as const };
  await runSweepTick(world.context, client);
  const settings = world.context.config.run;
  await world.driver.run(ORCHESTRATORS.sweep, `sweep-${sweeps++}`, {
    settings,
  });
}

/** Runs a whole sweep before activities that `isMoment` chooses; answers how many it were. */
function sweepDuring(world: World, isMoment: (call: number) => boolean): { count: number } {
  const swept = { count: 0 };
  let isSweeping = false;
  let call = 0;
  world.sabotage = async () => {
    if (isSweeping || !isMoment(call++)) return undefined;
    isSweeping = true;
    await sweep(world);
    isSweeping = false;
    swept.count++;
    return undefined;
  };
  return swept;
}

const kindsOf = async (world: World, sessionId: string): Promise<string[] | undefined> =>
  (await world.context.records.sessions.get(sessionId)).plan?.map(({ kind }) => kind);

describe("the sweep beside running work", () => {
  it("may come before every step of backups and a restore", async () => {
    const world = await prepare();
    const swept = sweepDuring(world, () => true);
    for (const day of [22, 23, 24]) {
      expect(await backUp(world, sessionOf(day))).toMatchObject({ value: { state: "succeeded" } });
    }
    expect(await kindsOf(world, sessionOf(22))).toEqual(["full", "full"]);
    // Their bases were never taken, whenever the sweep came.
    expect(await kindsOf(world, sessionOf(23))).toEqual(["incremental", "incremental"]);
    expect(await kindsOf(world, sessionOf(24))).toEqual(["incremental", "incremental"]);
    expect(await restore(world, sessionOf(24))).toMatchObject({ value: { state: "succeeded" } });
    expect(swept.count).toBeGreaterThan(100);
    const made = [...world.azure.resources.values()].filter(
      ({ tags }) => tags[SESSION_TAG] === RESTORE,
    );
    expect(made).toHaveLength(4);
    // One dispatch each: no worker was taken from its job.
    expect(world.jobs.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
    world.sabotage = () => undefined;
    await sweep(world);
    expect(await collect(world.context.records.restorations.list())).toEqual([]);
    expect(world.azure.ofType("snapshot")).toHaveLength(2);
  });

  it("may come before any single step", async () => {
    const healthy = await prepare();
    await backUp(healthy, sessionOf(22));
    const first = healthy.driver.calls.length;
    await backUp(healthy, sessionOf(23));
    const second = healthy.driver.calls.length - first;
    for (let moment = 0; moment < second; moment++) {
      const world = await prepare();
      await backUp(world, sessionOf(22));
      const swept = sweepDuring(world, (call) => call === moment);
      await backUp(world, sessionOf(23));
      const { state } = await world.context.records.sessions.get(sessionOf(23));
      const kinds = await kindsOf(world, sessionOf(23));
      expect([moment, swept.count, state, kinds]).toEqual([
        moment,
        1,
        "succeeded",
        ["incremental", "incremental"],
      ]);
    }
  });

  it("takes no access from a session whose base a lost session had open", async () => {
    const world = await prepare();
    await backUp(world, sessionOf(22));
    const { records } = world.context;
    const [base] = world.azure.ofType("snapshot");
    const lost = {
      jobId: sessionOf(21),
      sessionId: sessionOf(21),
      resourceId: base!.id,
      access: "Read" as const,
      grantedAt: world.context.clock().toISOString(),
    };
    world.work = () => undefined;
    let open = 0;
    world.sabotage = async (name) => {
      if (name !== "read-job-state" || open > 0) return undefined;
      open = world.azure.liveSas.size;
      await records.grants.put("lost", lost);
      await ACTIVITIES["sweep-grants"].run(world.context, {});
      expect(world.azure.liveSas.size).toBe(open);
      expect(await records.grants.read("lost")).toBeUndefined();
      return undefined;
    };
    await backUp(world, sessionOf(23));
    expect(open).toBe(4);
    expect(world.azure.liveSas.size).toBe(0);
  });

  it("goes on when one object cannot be removed", async () => {
    const world = await prepare();
    await backUp(world, sessionOf(22));
    const { records, compute } = world.context;
    await records.points.delete(sessionOf(22).replace("backup-", ""));
    const [stuck, other] = world.azure.ofType("snapshot");
    await compute.grantAccess(stuck!.id, "Read", 60, AbortSignal.timeout(1000));
    await sweep(world);
    expect(world.azure.resources.has(stuck!.id)).toBe(true);
    expect(world.azure.resources.has(other!.id)).toBe(false);
    expect(world.lines.join("\n")).toContain("sweepFailed");
  });

  it("does not end a session that closed itself meanwhile", async () => {
    const world = await prepare();
    const { records } = world.context;
    await records.sessions.insert(RESTORE, {
      sessionId: RESTORE,
      type: "restore",
      state: "running",
      trigger: "manual",
      startedAt: world.context.clock().toISOString(),
    });
    await runSweepTick(world.context, {
      ...world.client,
      stateOf: async () => {
        await records.sessions.update(RESTORE, (each) => ({ ...each, state: "succeeded" }));
        return "over";
      },
    });
    expect((await records.sessions.get(RESTORE)).state).toBe("succeeded");
    expect(world.lines.join("\n")).not.toContain("sessionSwept");
  });

  it("leaves the claim of a session that took over the VM", async () => {
    const world = await prepare();
    const { records } = world.context;
    await backUp(world, sessionOf(22));
    const claimedAt = world.context.clock().toISOString();
    await records.claims.insert(VM.vmId, { sessionId: sessionOf(23), claimedAt });
    const end = { sessionId: sessionOf(22), state: "failed" };
    expect(await ACTIVITIES["close-session"].run(world.context, end)).toMatchObject({ ok: true });
    expect((await records.claims.get(VM.vmId)).sessionId).toBe(sessionOf(23));
    expect((await records.sessions.get(sessionOf(22))).state).toBe("succeeded");
  });
});
