/** Retention of a repository: what goes, who must not lose what it uses, and every ending. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RestorePoint } from "#core/model/restore-point.ts";
import type { Session } from "#core/model/session.ts";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import { POINTS_PER_RUN_MAX } from "#functions/activities/maintenance.ts";
import { endSession } from "#functions/activities/sessions.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { insertPoint, RETAINED_VM as VM, RETENTION_POLICY as POLICY } from "./retained-points.ts";
import { addRepository, collect, createWorld, START, type World } from "./test-world.ts";

const DAY = 24 * 3600 * 1000;
const SESSION = "retention-r-1-20261122T050000Z";

let world: World;

beforeEach(() => prepare());

async function prepare(settings: Record<string, string> = {}): Promise<void> {
  world = createWorld(settings);
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
  await world.context.records.policies.insert("p-1", POLICY);
}

const addPoint = (daysAgo: number, fields: Partial<RestorePoint> = {}): Promise<string> =>
  insertPoint(world, daysAgo, fields);

const maintain = (confirmed = false, sessionId = SESSION): Promise<unknown> =>
  world.driver.run(ORCHESTRATORS.maintainRepository, sessionId, {
    sessionId,
    repositoryId: "r-1",
    trigger: "schedule",
    confirmed,
    settings: world.context.config.run,
  });

const statesOf = async (): Promise<Record<string, string>> =>
  Object.fromEntries(
    (await collect(world.context.records.points.list())).map(({ id, value }) => [id, value.state]),
  );
const sessionOf = (id = SESSION): Promise<Session> => world.context.records.sessions.get(id);
const asked = (): string[] =>
  world.jobs.flatMap((job) =>
    job.kind === "maintain" ? job.expiredPoints.map(({ pointId }) => pointId) : [],
  );

describe("maintenance of a repository", () => {
  it("deletes what expired, in the worker's region, and forgets it in the index", async () => {
    const old = [await addPoint(9), await addPoint(4)];
    const recent = [await addPoint(2), await addPoint(0)];
    expect(await maintain()).toEqual({
      ok: true,
      value: { sessionId: SESSION, state: "succeeded" },
    });
    expect(asked()).toEqual(old);
    expect(world.jobs[0]).toMatchObject({
      kind: "maintain",
      activeDiskIds: [VM.osDisk, ...VM.dataDisks].map(({ diskId }) => diskId),
      margins: { sessionSeconds: 86_400, markedSeconds: 86_400 },
    });
    expect(Object.keys(await statesOf())).toEqual(recent);
    expect(await sessionOf()).toMatchObject({
      type: "retention",
      state: "succeeded",
      retention: { kept: 2, expired: 2, heldBack: 0, left: 0 },
      maintenance: { deletedObjects: 3, markedObjects: 2 },
    });
    expect(await collect(world.context.records.claims.list())).toEqual([]);
    expect([...world.driver.pools.keys()]).toEqual(["westeurope"]);
  });

  it("takes the margin of the app's settings", async () => {
    await prepare({ HOLDFAST_MAINTENANCE_MARGIN_SECONDS: "15" });
    await addPoint(0);
    await maintain();
    const margins = { sessionSeconds: 15, markedSeconds: 15 };
    expect(world.jobs[0]).toMatchObject({ kind: "maintain", margins });
  });

  it("keeps what has no rules, is stated, immutable or the newest, however old", async () => {
    const kept = [
      await addPoint(90, { policyId: "p-deleted" }),
      await addPoint(80, { keepUntil: "2027-01-01T00:00:00.000Z" }),
      await addPoint(70, { immutableUntil: "2027-01-01T00:00:00.000Z" }),
      await addPoint(60),
    ];
    await maintain();
    expect(asked()).toEqual([]);
    expect(Object.keys(await statesOf())).toEqual(kept);
  });

  it("makes available again what the worker kept", async () => {
    const old = await addPoint(9);
    await addPoint(0);
    world.work = (job) => ({
      kind: "job-succeeded",
      jobId: job.jobId,
      attempt: job.attempt,
      result: {
        kind: "maintain",
        expiredPoints: [],
        keptPoints: [{ vmId: VM.vmId, pointId: old, reason: "immutable" }],
        expiredArchiveIds: [],
        expiredRetrievalIds: [],
        deletedObjects: 0,
        deletedBytes: 0,
        markedObjects: 0,
        markedBytes: 0,
        immutableObjects: 1,
        skippedDisks: [{ diskId: "d", reason: "a manifest cannot be read" }],
      },
    });
    await maintain();
    expect((await statesOf())[old]).toBe("available");
    expect(await sessionOf()).toMatchObject({
      state: "warning",
      reason: "1 disks were left alone",
      maintenance: { keptPoints: [{ pointId: old, reason: "immutable" }] },
    });
  });

  it("does a bounded number at once, the oldest first, and says what is left", async () => {
    for (let days = 4; days < POINTS_PER_RUN_MAX + 9; days++) await addPoint(days);
    await maintain(true);
    expect(asked()).toHaveLength(POINTS_PER_RUN_MAX);
    // Of the 105 the newest stays.
    expect((await sessionOf()).retention).toMatchObject({ kept: 1, left: 4 });
    const days = Object.keys(await statesOf());
    expect(days).toHaveLength(5);
    expect(Math.min(...asked().map((id) => (days[0]! > id ? 1 : 0)))).toBe(1);
  });

  it("holds back a VM that would lose most of its points, until that is confirmed", async () => {
    const old = await Promise.all([11, 10, 9, 8, 7, 6].map((days) => addPoint(days)));
    await addPoint(0);
    await maintain();
    expect(asked()).toEqual([]);
    expect(await sessionOf()).toMatchObject({
      state: "warning",
      retention: { kept: 1, expired: 0, heldBack: 6 },
    });
    await maintain(true, "retention-r-1-confirmed");
    expect(asked()).toEqual(old);
    expect(Object.keys(await statesOf())).toHaveLength(1);
  });

  it("runs once at a time in a repository", async () => {
    await addPoint(0);
    const { records } = world.context;
    const at = world.context.clock().toISOString();
    await records.sessions.insert("retention-r-1-other", {
      sessionId: "retention-r-1-other",
      type: "retention",
      state: "running",
      trigger: "manual",
      startedAt: at,
      repositoryId: "r-1",
    });
    await records.claims.insert("r-1~retention", {
      sessionId: "retention-r-1-other",
      claimedAt: at,
    });
    expect(await maintain()).toMatchObject({ value: { state: "skipped" } });
    await endSession(world.context, "retention-r-1-other", { state: "failed", reason: "x" });
    expect(await collect(records.claims.list())).toEqual([]);
    expect(await maintain(false, "retention-r-1-next")).toMatchObject({
      value: { state: "succeeded" },
    });
  });

  it("that failed leaves its marks to the next one", async () => {
    const old = await addPoint(9);
    await addPoint(0);
    world.work = (job) => ({
      kind: "job-failed",
      jobId: job.jobId,
      attempt: job.attempt,
      error: { code: "RepositoryUnreadable", message: "no", retry: "never" },
    });
    expect(await maintain()).toMatchObject({ value: { state: "failed" } });
    expect((await statesOf())[old]).toBe("expiring");
    // Whatever the policy says now: a part of it may be deleted.
    await world.context.records.policies.delete("p-1");
    world.work = createWorld().work;
    await maintain(false, "retention-r-1-next");
    expect(await statesOf()).not.toHaveProperty(old);
  });

  it("has nothing to do where nothing was ever written", async () => {
    expect(await maintain()).toMatchObject({ value: { state: "succeeded" } });
    expect(world.jobs).toEqual([]);
  });
});

describe("maintenance beside other work", () => {
  const backUp = (sessionId: string): Promise<unknown> =>
    world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
      sessionId,
      vmId: VM.vmId,
      vmResourceId: VM.resourceId,
      vmName: VM.name,
      repositoryId: "r-1",
      trigger: "schedule",
      policyId: "p-1",
      forceFull: false,
      settings: world.context.config.run,
    });
  const FIRST = `backup-${VM.vmId}-20261110T013000Z-p-1`;
  const SECOND = `backup-${VM.vmId}-20261122T013000Z-p-1`;
  const parentId = FIRST.replace("backup-", "");

  /** A parent that is old, and not the newest any more: an import found a later point. */
  async function prepare(): Promise<void> {
    world.driver.now = START - 12 * DAY;
    await backUp(FIRST);
    world.driver.now = START;
    world.jobs.length = 0;
  }
  const baseOf = (): string | undefined => {
    const job = world.jobs.find(({ kind }) => kind === "backup");
    return job?.kind === "backup" ? job.disks[0]?.base?.parentPointId : undefined;
  };

  it("never expires the parent of a backup, wherever in it maintenance plans", async () => {
    await prepare();
    await backUp(`${SECOND}-count`);
    const from = world.driver.calls.findIndex(({ name }) => name === "plan-backup");
    const steps = world.driver.calls.length;
    expect(from).toBeGreaterThan(0);
    let incrementals = 0;
    for (let at = 0; at < steps; at++) {
      world = createWorld();
      world.azure.vms.set(VM.resourceId, VM);
      await addRepository(world);
      await world.context.records.policies.insert("p-1", POLICY);
      await prepare();
      const already = world.driver.calls.length;
      let isPlanned = false;
      world.sabotage = async () => {
        if (isPlanned || world.driver.calls.length - already <= at) return undefined;
        isPlanned = true;
        await addPoint(1, { policyId: "p-deleted" });
        await claimMaintenance();
        await ACTIVITIES["plan-maintenance"].run(world.context, {
          sessionId: SESSION,
          confirmed: true,
        });
        return undefined;
      };
      expect(await backUp(SECOND)).toMatchObject({ value: { state: "succeeded" } });
      const maintenance = await world.context.records.jobs.read(SESSION);
      const { spec } = maintenance?.value ?? {};
      const isExpired =
        spec?.kind === "maintain" && spec.expiredPoints.some(({ pointId }) => pointId === parentId);
      if (baseOf() === parentId) {
        incrementals++;
        const wasDone = (await world.context.records.sessions.get(SECOND)).state !== "running";
        const planned = world.driver.calls.slice(already, already + at + 1);
        const isAfter = planned.some(({ name }) => name === "index-restore-point");
        if (wasDone && isAfter) continue;
        expect([at, isExpired]).toEqual([at, false]);
      }
    }
    expect(incrementals).toBeGreaterThan(5);
  });

  it("a backup whose parent is marked while it plans becomes a full one", async () => {
    await prepare();
    const { jobs } = world.context.records;
    const update: typeof jobs.update = jobs.update.bind(jobs);
    let isMarked = false;
    Object.assign(jobs, {
      update: async (id: string, change: Parameters<typeof update>[1]) => {
        if (id === SECOND && !isMarked && world.driver.calls.at(-1)?.name === "plan-backup") {
          isMarked = true;
          await world.context.records.points.update(parentId, (point) => ({
            ...point,
            state: "expiring",
          }));
        }
        return update(id, change);
      },
    });
    await backUp(SECOND);
    expect(isMarked).toBe(true);
    expect(baseOf()).toBeUndefined();
  });

  it("leaves a point alone that is being restored, and refuses to restore what goes", async () => {
    const old = await addPoint(9);
    await addPoint(0);
    const { records } = world.context;
    const restoreSession = (sessionId: string, state: Session["state"]): Session => ({
      sessionId,
      type: "restore",
      state,
      trigger: "manual",
      startedAt: world.context.clock().toISOString(),
      repositoryId: "r-1",
      restorePointId: old,
      restoreRequest: { restorePointId: old, vmName: "copy" },
    });
    await records.sessions.insert("restore-1", restoreSession("restore-1", "running"));
    await maintain();
    expect(asked()).toEqual([]);
    expect((await statesOf())[old]).toBe("available");
    await endSession(world.context, "restore-1", { state: "failed", reason: "x" });
    await claimMaintenance("retention-r-1-next");
    await ACTIVITIES["plan-maintenance"].run(world.context, {
      sessionId: "retention-r-1-next",
      confirmed: false,
    });
    await records.sessions.insert("restore-2", restoreSession("restore-2", "running"));
    const planned = await ACTIVITIES["plan-restore"].run(world.context, { sessionId: "restore-2" });
    expect(planned).toMatchObject({ ok: false, error: { code: "RestoreConflict" } });
  });
});

async function claimMaintenance(sessionId = SESSION): Promise<void> {
  await ACTIVITIES["claim-repository"].run(world.context, {
    sessionId,
    repositoryId: "r-1",
    type: "retention",
    trigger: "schedule",
  });
}
