/** Archives by policy and on demand, their retrieval, the window, restores from it, and their end. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Archive, Retrieval } from "#core/model/archive.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import { endSession } from "#functions/activities/sessions.ts";
import { runScheduleTick } from "#functions/triggers/schedule-tick.timer.ts";
import { callEndpoint, REPOSITORY_BODY } from "./api-caller.ts";
import type { Answer, CallOptions, Started } from "./api-caller.ts";
import { insertPoint, RETAINED_VM as VM, RETENTION_POLICY } from "./retained-points.ts";
import { addRepository, collect, createWorld, START, type World } from "./test-world.ts";

const HOUR = 3600 * 1000;
const DAY = 24 * HOUR;
const GIB = 2 ** 30;

let world: World;
let started: Started[];
let pointId: string;

const call = (name: string, options?: CallOptions): Promise<Answer> =>
  callEndpoint(world, started, name, options);
/** Runs what the API has started last. */
const runStarted = (): Promise<unknown> => {
  const { name, instanceId, input } = started.at(-1)!;
  return world.driver.run(name as never, instanceId, input);
};

beforeEach(() => prepare());

async function prepare(settings: Record<string, string> = {}): Promise<void> {
  world = createWorld(settings);
  started = [];
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
  pointId = await insertPoint(world, 0);
}

async function archive(retentionDays = 365): Promise<string> {
  const answer = await call("archive-restore-point", {
    params: { pointId },
    body: { retentionDays },
  });
  expect(answer.status).toBe(202);
  await runStarted();
  return answer.body.archiveId;
}

/** Objects on their way at each look, until none is. */
function arriveAfter(looks: number): void {
  let look = 0;
  world.work = (job) => ({
    kind: "job-succeeded",
    jobId: job.jobId,
    attempt: job.attempt,
    result: {
      kind: "retrieve",
      retrievalId: job.kind === "retrieve" ? job.retrievalId : "",
      objectCount: 4,
      pendingObjects: look++ < looks ? 4 - look : 0,
      storedBytes: 3 * GIB,
    },
  });
}

async function retrieve(archiveId: string, body: object = {}): Promise<string> {
  const answer = await call("start-retrieval", { params: { archiveId }, body });
  expect(answer.status).toBe(202);
  return answer.body.retrievalId;
}
const retrievalOf = (id: string): Promise<Retrieval> => world.context.records.retrievals.get(id);
const archiveOf = (id: string): Promise<Archive> => world.context.records.archives.get(id);

async function maintain(sessionId: string): Promise<void> {
  world.work = createWorld().work;
  await world.driver.run(ORCHESTRATORS.maintainRepository, sessionId, {
    sessionId,
    repositoryId: "r-1",
    trigger: "manual",
    confirmed: false,
    settings: world.context.config.run,
  });
}

describe("an archive", () => {
  it("is made on demand and listed, and outlives its point", async () => {
    const archiveId = await archive(400);
    expect(world.jobs).toMatchObject([{ kind: "archive", pointId, vmId: VM.vmId, archiveId }]);
    await world.context.records.points.delete(pointId);
    const listed = await call("list-archives", { query: { vmId: VM.vmId } });
    expect(listed.body.value).toMatchObject([
      { archiveId, pointId, state: "available", objectCount: 4, storedBytes: 3 * GIB },
    ]);
    const shown = await call("get-archive", { params: { archiveId } });
    expect(Date.parse(shown.body.keepUntil) - START).toBe(400 * DAY);
    expect(shown.body.point.vm.name).toBe(VM.name);
    expect((await call("list-archives", { query: { repositoryId: "r-9" } })).body.value).toEqual(
      [],
    );
  });

  it("is made by its policy of each VM's newest point, once", async () => {
    await insertPoint(world, 1);
    const schedule = { cron: "0 1 22 * *", timeZone: "UTC" };
    await world.context.records.policies.insert("p-1", {
      ...RETENTION_POLICY,
      schedule: { cron: "0 1 1 1 *", timeZone: "UTC" },
      archive: { schedule, retentionDays: 400 },
    });
    const client = {
      ...world.client,
      startOnce: async (name: string, instanceId: string, input: object) => {
        started.push({ name, instanceId, input });
        return true;
      },
    };
    await runScheduleTick(world.context, client);
    await runScheduleTick(world.context, client);
    const runs = started.filter(({ name }) => name === "archive-run");
    expect(runs.map(({ instanceId }) => instanceId)).toEqual(["archive-run-p-1-20261122T010000Z"]);
    await world.driver.run("archive-run", runs[0]!.instanceId, runs[0]!.input);
    const made = await collect(world.context.records.archives.list());
    expect(made).toMatchObject([{ value: { policyId: "p-1", point: { pointId } } }]);
    const session = await call("get-session", { params: { sessionId: runs[0]!.instanceId } });
    expect(session.body).toMatchObject({ type: "archive", state: "succeeded" });
    expect(session.body.children).toMatchObject([{ restorePointId: pointId, state: "succeeded" }]);
    await world.driver.run("archive-run", "archive-run-p-1-again", {
      ...runs[0]!.input,
      sessionId: "archive-run-p-1-again",
    });
    expect(await collect(world.context.records.archives.list())).toHaveLength(1);
  });

  it("keeps its repository from being deleted or moved", async () => {
    await archive();
    await world.context.records.points.delete(pointId);
    const params = { repositoryId: "r-1" };
    expect((await call("delete-repository", { params })).status).toBe(409);
    const moved = await call("replace-repository", { params, body: REPOSITORY_BODY });
    expect(moved.body.error.code).toBe("RepositoryInUse");
  });

  it("is not made of a point that is damaged or goes", async () => {
    await world.context.records.points.update(pointId, (each) => ({ ...each, state: "expiring" }));
    expect((await call("archive-restore-point", { params: { pointId } })).status).toBe(409);
    expect((await call("archive-restore-point", { params: { pointId: "x" } })).status).toBe(404);
    expect(started).toEqual([]);
  });

  it("keeps retention from its point while it is made", async () => {
    const old = await insertPoint(world, 9);
    await world.context.records.policies.insert("p-1", RETENTION_POLICY);
    await call("archive-restore-point", { params: { pointId: old } });
    await maintain("retention-r-1-a");
    expect((await world.context.records.points.get(old)).state).toBe("available");
    await runStarted();
    await maintain("retention-r-1-b");
    expect(await world.context.records.points.read(old)).toBeUndefined();
    expect(await collect(world.context.records.archives.list())).toHaveLength(1);
  });

  it("goes when its time is over or it is deleted, but not while it is immutable", async () => {
    const { records } = world.context;
    const first = await archive(1);
    world.driver.now += 1000;
    const second = await archive(400);
    world.driver.now += 1000;
    await records.repositories.update("r-1", (each) => ({
      ...each,
      immutability: { kind: "on", days: 1 },
    }));
    const third = await archive(400);
    expect((await archiveOf(third)).immutableUntil).toBe((await archiveOf(third)).keepUntil);
    expect((await call("delete-archive", { params: { archiveId: second } })).status).toBe(202);
    expect(await call("delete-archive", { params: { archiveId: third } })).toMatchObject({
      status: 409,
      body: { error: { code: "ArchiveImmutable" } },
    });
    world.driver.now += 2 * DAY;
    await maintain("retention-r-1-a");
    const left = await collect(records.archives.list());
    expect(left.map(({ id }) => id)).toEqual([third]);
    expect(first).not.toBe(second);
  });
});

describe("a retrieval", () => {
  it("answers with time and cost, and is asked for by timers, not by a waiting worker", async () => {
    const archiveId = await archive();
    const answer = await call("start-retrieval", { params: { archiveId }, body: {} });
    expect(answer).toMatchObject({
      status: 202,
      body: { plan: { expectedHours: 15, cost: { currency: "USD" } } },
    });
    const { retrievalId, sessionId } = answer.body;
    expect((await retrievalOf(retrievalId)).state).toBe("retrieving");
    arriveAfter(2);
    const before = world.driver.now;
    let doneAt = 0;
    world.sabotage = (name) => {
      if (name === "close-session") doneAt = world.driver.now;
      return undefined;
    };
    await runStarted();
    expect(doneAt - before).toBeGreaterThanOrEqual(2 * HOUR);
    expect(doneAt - before).toBeLessThan(3 * HOUR);
    const jobs = world.jobs.filter(({ kind }) => kind === "retrieve");
    expect(jobs.map(({ jobId }) => jobId)).toEqual([0, 1, 2].map((n) => `${sessionId}~${n}`));
    const retrieval = await retrievalOf(retrievalId);
    expect(retrieval).toMatchObject({
      state: "available",
      pendingObjects: 0,
      storedBytes: 3 * GIB,
    });
    expect(Date.parse(retrieval.windowEndsAt!) - Date.parse(retrieval.availableAt!)).toBe(7 * DAY);
    const session = await call("get-session", { params: { sessionId } });
    expect(session.body.state).toBe("succeeded");
    const messages = session.body.log.map(({ message }: { message: string }) => message);
    expect(messages).toContain("3 of 4 objects are on their way");
    expect(messages.at(-2)).toBe(
      `the copies go at ${retrieval.windowEndsAt} unless the window is extended`,
    );
    expect(messages.at(-1)).toBe("the window is over: maintenance deletes the copies");
  });

  it("of high priority is looked at every ten minutes", async () => {
    const archiveId = await archive();
    await retrieve(archiveId, { priority: "high", availableDays: 1 });
    arriveAfter(3);
    const looks: number[] = [];
    world.sabotage = (name) => {
      if (name === "index-retrieval") looks.push(world.driver.now);
      return undefined;
    };
    await runStarted();
    expect(looks).toHaveLength(4);
    for (const [index, at] of looks.slice(1).entries())
      expect(at - looks[index]!).toBeLessThan(HOUR / 4);
  });

  it("is looked at as often as the app's settings say", async () => {
    await prepare({ HOLDFAST_RETRIEVAL_LOOK_SECONDS: "30" });
    const archiveId = await archive();
    const retrievalId = await retrieve(archiveId, { availableDays: 1 });
    arriveAfter(3);
    const before = world.driver.now;
    await runStarted();
    const availableAt = Date.parse((await retrievalOf(retrievalId)).availableAt ?? "");
    expect(availableAt - before).toBeLessThan(HOUR / 4);
  });

  it("is told of again before its end when its window was extended", async () => {
    const archiveId = await archive();
    const retrievalId = await retrieve(archiveId, { availableDays: 2 });
    arriveAfter(0);
    let isExtended = false;
    world.sabotage = async (name) => {
      const notices = world.lines.length >= 0 && name === "append-log" && !isExtended;
      const log = world.driver.calls.at(-1)?.input as { message?: string } | undefined;
      if (notices && log?.message?.includes("unless the window") === true) {
        isExtended = true;
        const answer = await call("extend-retrieval", {
          params: { retrievalId },
          body: { days: 5 },
        });
        expect(answer.status).toBe(200);
      }
      return undefined;
    };
    await runStarted();
    const { availableAt, windowEndsAt } = await retrievalOf(retrievalId);
    expect(Date.parse(windowEndsAt!) - Date.parse(availableAt!)).toBe(7 * DAY);
    const session = await call("get-session", {
      params: { sessionId: `retrieval-${retrievalId}` },
    });
    const notices = session.body.log.filter(({ level }: { level: string }) => level === "warning");
    expect(notices).toHaveLength(2);
    expect(notices[1].message).toContain(windowEndsAt);
  });

  it("is deleted by maintenance when its window is over, and its archive not before", async () => {
    const archiveId = await archive(1);
    const retrievalId = await retrieve(archiveId, { availableDays: 3 });
    arriveAfter(0);
    world.sabotage = (name) =>
      name === "read-retrieval" ? { ok: false, error: { code: "x", retry: "never" } } : undefined;
    await runStarted();
    world.driver.now += 2 * DAY;
    await maintain("retention-r-1-a");
    expect((await retrievalOf(retrievalId)).state).toBe("available");
    expect((await archiveOf(archiveId)).state).toBe("available");
    expect((await call("end-retrieval", { params: { retrievalId } })).status).toBe(202);
    await maintain("retention-r-1-b");
    expect(await retrievalOf(retrievalId)).toMatchObject({
      state: "expired",
      deletedAt: expect.any(String),
    });
    const jobs = world.jobs.flatMap((job) =>
      job.kind === "maintain" ? job.expiredRetrievals : [],
    );
    expect(jobs).toEqual([retrievalId]);
    expect(
      (await call("extend-retrieval", { params: { retrievalId }, body: { days: 1 } })).status,
    ).toBe(409);
    expect(await collect(world.context.records.archives.list())).toEqual([]);
  });

  it("that was terminated is shown as failed, and what it began is deleted", async () => {
    const archiveId = await archive();
    const retrievalId = await retrieve(archiveId);
    const running = await call("end-retrieval", { params: { retrievalId } });
    expect(running.status).toBe(409);
    await endSession(world.context, `retrieval-${retrievalId}`, { state: "failed", reason: "x" });
    expect((await retrievalOf(retrievalId)).state).toBe("failed");
    await maintain("retention-r-1-a");
    expect((await retrievalOf(retrievalId)).deletedAt).toBeDefined();
    expect(await runStarted()).toMatchObject({ value: { state: "failed" } });
    expect(world.jobs.some(({ kind }) => kind === "retrieve")).toBe(false);
  });

  it("refuses what the archive does not have", async () => {
    const archiveId = await archive();
    const wrong: [object, string][] = [
      [{ diskIds: ["another"] }, "diskIds"],
      [{ priority: "urgent" }, "priority"],
      [{ tier: "archive" }, "tier"],
      [{ availableDays: 0 }, "availableDays"],
    ];
    for (const [body, field] of wrong) {
      const answer = await call("start-retrieval", { params: { archiveId }, body });
      expect([answer.status, answer.body.error.details[0].path]).toEqual([400, field]);
    }
    expect((await call("start-retrieval", { params: { archiveId: "x" } })).status).toBe(404);
    expect((await call("get-retrieval", { params: { retrievalId: "x" } })).status).toBe(404);
    await call("delete-archive", { params: { archiveId } });
    expect((await call("start-retrieval", { params: { archiveId } })).status).toBe(409);
  });
});

describe("a restore from a retrieval", () => {
  async function prepare(body: object = {}): Promise<string> {
    const archiveId = await archive();
    const retrievalId = await retrieve(archiveId, body);
    arriveAfter(0);
    world.sabotage = (name) =>
      name === "read-retrieval" ? { ok: false, error: { code: "x", retry: "never" } } : undefined;
    await runStarted();
    world.work = createWorld().work;
    await world.context.records.points.delete(pointId);
    return retrievalId;
  }
  const restore = (body: object): Promise<Answer> =>
    call("start-restore", { body: { vmName: "copy", ...body } });

  it("makes the VM although its restore point is gone", async () => {
    const retrievalId = await prepare();
    const answer = await restore({ retrievalId });
    expect(answer.status).toBe(202);
    expect(await runStarted()).toMatchObject({ value: { state: "succeeded" } });
    const archiveId = (await retrievalOf(retrievalId)).archiveId;
    expect(world.jobs.at(-1)).toMatchObject({
      kind: "restore",
      pointId,
      source: { kind: "archive", archiveId, retrievalId },
    });
  });

  it("is refused when its window is over, when it lacks a disk, or when both are named", async () => {
    const retrievalId = await prepare({ diskIds: [VM.osDisk.diskId] });
    const partial = await restore({ retrievalId });
    expect(partial).toMatchObject({ status: 409, body: { error: { code: "RestoreConflict" } } });
    expect(partial.body.error.message).toContain("is not part of the restore point");
    world.driver.now += 8 * DAY;
    expect((await restore({ retrievalId })).body.error.message).toContain(
      "the window of retrieval",
    );
    for (const body of [{}, { retrievalId, restorePointId: pointId }, { retrievalId: "x" }])
      expect((await restore(body)).status).toBe(400);
  });

  it("keeps maintenance from the copies; one that comes later is refused", async () => {
    const retrievalId = await prepare();
    const { sessionId } = (await restore({ retrievalId })).body;
    world.driver.now += 8 * DAY;
    await maintain("retention-r-1-a");
    expect((await retrievalOf(retrievalId)).deletedAt).toBeUndefined();
    await endSession(world.context, sessionId, { state: "failed", reason: "x" });
    await maintain("retention-r-1-b");
    expect((await retrievalOf(retrievalId)).deletedAt).toBeDefined();
    await world.context.records.sessions.update(sessionId, (each) => ({
      ...each,
      state: "running",
    }));
    expect(await ACTIVITIES["plan-restore"].run(world.context, { sessionId })).toMatchObject({
      ok: false,
      error: { code: "RestoreConflict" },
    });
  });
});
