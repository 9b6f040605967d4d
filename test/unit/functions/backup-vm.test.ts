import { describe, expect, it } from "vitest";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { SUBSCRIPTION, createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

async function prepare(settings: Record<string, string> = {}): Promise<World> {
  const world = createWorld(settings);
  const vm = createTestVm();
  world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
  return world;
}

async function backUp(world: World, slot: string, forceFull = false): Promise<unknown> {
  const vm = createTestVm();
  const sessionId = `backup-${vm.vmId}-${slot}-manual`;
  return world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
    sessionId,
    vmId: vm.vmId,
    vmResourceId: vm.resourceId,
    vmName: vm.name,
    repositoryId: "r-1",
    trigger: "manual",
    forceFull,
    settings: world.context.config.run,
  });
}

async function sessionOf(world: World, slot: string) {
  return world.context.records.sessions.get(`backup-${createTestVm().vmId}-${slot}-manual`);
}

async function count(list: AsyncIterable<unknown>): Promise<number> {
  return (await collect(list)).length;
}

/** Nothing of a session that is over may be left, apart from what is told. */
async function expectNothingLeft(world: World, left: { snapshots: number; workers: number }) {
  expect(world.azure.liveSas.size).toBe(0);
  expect(await count(world.context.records.grants.list())).toBe(0);
  expect(await count(world.context.records.claims.list())).toBe(0);
  expect(world.azure.ofType("snapshot")).toHaveLength(left.snapshots);
  expect(world.azure.ofType("worker")).toHaveLength(left.workers);
  expect(world.azure.ofType("nic")).toHaveLength(left.workers);
  expect(world.azure.queues.size).toBe(left.workers);
  expect(await count(world.context.records.workers.list())).toBe(left.workers);
  const pool = world.driver.pools.get("westeurope");
  expect(pool?.workers.filter((worker) => worker.holder !== undefined) ?? []).toEqual([]);
}

describe("backup of a VM", () => {
  it("makes a full restore point, then an incremental one on its snapshots", async () => {
    const world = await prepare();
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({
      ok: true,
      value: { state: "succeeded" },
    });
    await expectNothingLeft(world, { snapshots: 2, workers: 1 });
    const session = await sessionOf(world, "20261122T013000Z");
    expect(session.plan?.map((disk) => disk.reason)).toEqual(["first backup", "first backup"]);

    expect(await backUp(world, "20261123T013000Z")).toMatchObject({
      value: { state: "succeeded" },
    });
    await expectNothingLeft(world, { snapshots: 2, workers: 1 });
    const [, second] = world.jobs;
    expect(
      second?.kind === "backup" && second.disks.map((disk) => disk.base?.parentPointId),
    ).toEqual(Array(2).fill(session.restorePointId));
    expect(second?.repository.encryption).toEqual({
      kind: "password",
      password: "correct horse battery staple",
    });
    const points = await collect(world.context.records.points.list());
    expect(
      points.map(({ value }) => value.disks.map((disk) => disk.snapshot !== undefined)),
    ).toEqual([
      [false, false],
      [true, true],
    ]);
  });

  it("reads everything when a full backup is asked for", async () => {
    const world = await prepare();
    await backUp(world, "20261122T013000Z");
    await backUp(world, "20261123T013000Z", true);
    const [, second] = world.jobs;
    expect(second?.kind === "backup" && second.disks.map((disk) => disk.base)).toEqual([
      undefined,
      undefined,
    ]);
  });

  it("keeps secrets out of histories, events and records", async () => {
    const world = await prepare();
    await backUp(world, "20261122T013000Z");
    const secrets = ["sig=", "battery", "bundlesecret"];
    for (const text of [...world.driver.recorded, ...world.lines]) {
      for (const secret of secrets) expect(text).not.toContain(secret);
    }
  });

  it("is skipped while another session backs up the VM, not after that one is over", async () => {
    const world = await prepare();
    const { sessions, claims } = world.context.records;
    const other = { sessionId: "other", claimedAt: world.context.clock().toISOString() };
    await claims.insert(createTestVm().vmId, other);
    await sessions.insert("other", {
      sessionId: "other",
      type: "backup",
      state: "running",
      trigger: "manual",
      startedAt: other.claimedAt,
    });
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({ value: { state: "skipped" } });
    expect((await sessionOf(world, "20261122T013000Z")).reason).toContain("session other");
    await sessions.update("other", (session) => ({ ...session, state: "failed" }));
    expect(await backUp(world, "20261123T013000Z")).toMatchObject({
      value: { state: "succeeded" },
    });
  });

  it("gives the job to another worker when one falls silent", async () => {
    const world = await prepare();
    const succeed = world.work;
    world.work = (job) => (job.attempt === 1 ? undefined : succeed(job));
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({
      value: { state: "succeeded" },
    });
    expect(new Set(world.jobs.map((job) => job.workerId)).size).toBe(2);
    await expectNothingLeft(world, { snapshots: 2, workers: 1 });
  });

  it("dispatches again after a failure that may pass, at most three times", async () => {
    const world = await prepare();
    world.work = ({ jobId, attempt }) => ({
      kind: "job-failed",
      jobId,
      attempt,
      error: { code: "ServerBusy", message: "busy", retry: "backoff" },
    });
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({ value: { state: "failed" } });
    expect(world.jobs.map((job) => job.attempt)).toEqual([1, 2, 3]);
    await expectNothingLeft(world, { snapshots: 0, workers: 1 });
    const session = await sessionOf(world, "20261122T013000Z");
    expect(session.error).toEqual({ code: "ServerBusy", message: "busy" });
  });

  it("gives up a job that is not done by its deadline and removes its worker", async () => {
    const world = await prepare({ HOLDFAST_JOB_DEADLINE_SECONDS: "60" });
    world.work = () => undefined;
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({ value: { state: "failed" } });
    expect((await sessionOf(world, "20261122T013000Z")).error?.code).toBe("DeadlineExceeded");
    await expectNothingLeft(world, { snapshots: 0, workers: 0 });
  });

  it("ignores what an earlier dispatch still reports", async () => {
    const world = await prepare();
    const succeed = world.work;
    world.work = (job) =>
      job.attempt === 1
        ? { kind: "job-failed", jobId: job.jobId, attempt: 7, error: failure }
        : succeed(job);
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({
      value: { state: "succeeded" },
    });
  });
  const failure = { code: "Late", message: "late", retry: "never" } as const;

  it("leaves nothing behind whichever call fails", async () => {
    const healthy = await prepare();
    await backUp(healthy, "20261122T013000Z");
    const names = healthy.driver.calls.map((call) => call.name);
    const undone = new Set(["delete-session-snapshots", "revoke-grants", "close-session"]);
    for (const [failing, name] of names.entries()) {
      if (undone.has(name)) continue;
      const world = await prepare();
      const error = { code: "Injected", message: `call ${failing}`, retry: "never" };
      world.sabotage = (_name, call) => (call === failing ? { ok: false, error } : undefined);
      const outcome = await backUp(world, "20261122T013000Z");
      const { state } = await sessionOf(world, "20261122T013000Z").catch(() => ({ state: "none" }));
      const failed = state === "failed" || state === "none";
      const workers = world.azure.ofType("worker").length;
      expect(workers).toBeLessThanOrEqual(1);
      await expectNothingLeft(world, { snapshots: failed ? 0 : 2, workers });
      expect(outcome).toMatchObject({ ok: true });
      expect(["failed", "succeeded", "warning", "none"]).toContain(state);
    }
  });

  it("goes on after failures that pass", async () => {
    const world = await prepare();
    const error = { code: "TooManyRequests", message: "wait", retry: "backoff" };
    world.sabotage = (_name, call) => (call % 2 === 0 ? { ok: false, error } : undefined);
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({
      value: { state: "succeeded" },
    });
  });

  it("waits as long as Azure asks before it tries again", async () => {
    const world = await prepare();
    const startedAt = world.driver.now;
    const error = { code: "TooManyRequests", message: "wait", retry: "backoff" } as const;
    let isThrottled = true;
    world.sabotage = (name) => {
      if (name !== "start-snapshots" || !isThrottled) return undefined;
      isThrottled = false;
      return { ok: false, error: { ...error, retryAfterSeconds: 600 } };
    };
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({
      value: { state: "succeeded" },
    });
    expect(world.driver.now - startedAt).toBeGreaterThanOrEqual(600_000);
  });

  it("fails when the VM is another one now", async () => {
    const world = await prepare();
    const vm = createTestVm();
    world.azure.vms.set(vm.resourceId, { ...vm, vmId: "another" });
    expect(await backUp(world, "20261122T013000Z")).toMatchObject({ value: { state: "failed" } });
    expect(vm.resourceId).toContain(SUBSCRIPTION);
    expect((await sessionOf(world, "20261122T013000Z")).error?.code).toBe("VmReplaced");
  });
});
