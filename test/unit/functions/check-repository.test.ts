/** Health checks: findings are kept, shown at the points that they affect, and cleared when healed. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Job } from "#core/protocol/job.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import { fail } from "#core/model/outcome.ts";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { runScheduleTick } from "#functions/triggers/schedule-tick.timer.ts";
import { callEndpoint, type Started } from "./api-caller.ts";
import { insertPoint, RETAINED_VM as VM, RETENTION_POLICY } from "./retained-points.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

type Level = "presence" | "metadata" | "sample" | "complete";
type CheckResult = Extract<JobResult, { kind: "check" }>;

let world: World;
let runs = 0;
let onMessage: World["azure"]["onMessage"];

beforeEach(async () => {
  world = createWorld();
  onMessage = world.azure.onMessage;
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
});

async function check(level: Level, fields: object = {}): Promise<string> {
  const sessionId = `health-check-r-1-${runs++}`;
  await world.driver.run(ORCHESTRATORS.checkRepository, sessionId, {
    sessionId,
    repositoryId: "r-1",
    trigger: "manual",
    level,
    settings: world.context.config.run,
    ...fields,
  });
  return sessionId;
}

function findingOf(pointIds: string[]): CheckResult["findings"][number] {
  return {
    kind: "missing",
    object: "disks/d/packs/1",
    affectedPoints: pointIds.map((pointId) => ({ vmId: VM.vmId, pointId })),
    message: "disks/d/packs/1 is missing",
  };
}

/** What an agent finds that tells affected points in its findings only, if at all. */
function answerWith(
  findings: CheckResult["findings"],
  findingCount = findings.length,
  affectedPointCount?: number,
): void {
  world.work = (job: Job) => ({
    kind: "job-succeeded",
    jobId: job.jobId,
    attempt: job.attempt,
    result: {
      kind: "check",
      level: job.kind === "check" ? job.level : "presence",
      checkedObjects: 10,
      checkedPoints: 2,
      verifiedBlocks: 0,
      readBytes: 0,
      findingCount,
      findings,
      ...(affectedPointCount !== undefined && { affectedPointCount }),
    },
  });
}

type Page = readonly [page: number, pointIds: readonly string[]];

/** What the worker finds: these pages, then its result, then the pages that come late. */
function tell(
  findings: CheckResult["findings"],
  affectedPointCount: number,
  pages: readonly Page[] = [],
  late: readonly Page[] = [],
): void {
  answerWith(findings, findings.length, affectedPointCount);
  world.knowsNetwork = true;
  const { work } = world;
  world.work = () => undefined;
  world.azure.onMessage = async (queue, text) => {
    await onMessage(queue, text);
    const job = world.jobs.at(-1)!;
    for (const page of pages) await sendPage(page);
    await world.send(job.workerId, work(job)!);
  };
  let polls = 0;
  world.sabotage = async (name) => {
    if (name !== "read-check" || ++polls !== 2) return undefined;
    for (const page of late) await sendPage(page);
    return undefined;
  };
}

async function sendPage([page, pointIds]: Page, attempt?: number): Promise<void> {
  const job = world.jobs.at(-1)!;
  await world.send(job.workerId, {
    kind: "points-affected",
    jobId: job.jobId,
    attempt: attempt ?? job.attempt,
    page,
    points: pointIds.map((pointId) => ({ vmId: VM.vmId, pointId })),
  });
}

async function insertPoints(count: number): Promise<string[]> {
  const pointIds: string[] = [];
  for (let day = count; day > 0; day--) pointIds.push(await insertPoint(world, day));
  return pointIds;
}

const damagedPoints = async (): Promise<string[]> => {
  const points = await collect(world.context.records.points.list());
  return points.filter(({ value }) => value.damaged !== undefined).map(({ id }) => id);
};

const isDamaged = async (pointId: string): Promise<boolean> =>
  (await world.context.records.points.get(pointId)).damaged !== undefined;

describe("a health check", () => {
  it("that finds nothing succeeds, and asks the worker for its level", async () => {
    await insertPoint(world, 0);
    const sessionId = await check("sample", { vmIds: [VM.vmId] });
    expect(world.jobs).toMatchObject([
      { kind: "check", level: "sample", samplePercent: 10, vmIds: [VM.vmId] },
    ]);
    expect(await world.context.records.sessions.get(sessionId)).toMatchObject({
      type: "health-check",
      state: "succeeded",
      checkLevel: "sample",
      check: { findingCount: 0, verifiedBlocks: 100 },
    });
    expect(await collect(world.context.records.claims.list())).toEqual([]);
  });

  it("ends with a warning and marks the points that are damaged", async () => {
    const [bad, good] = [await insertPoint(world, 1), await insertPoint(world, 0)];
    answerWith([findingOf([bad])]);
    const sessionId = await check("presence");
    const session = await world.context.records.sessions.get(sessionId);
    expect(session).toMatchObject({
      state: "warning",
      reason: "1 findings; 1 restore points cannot be restored completely",
      check: { findings: [{ object: "disks/d/packs/1" }] },
    });
    const messages: string[] = [];
    for await (const { value } of world.context.records.sessionLog(sessionId).list())
      messages.push(value.message);
    expect(messages.find((message) => message.includes("disks/d/packs/1"))).toMatch(/^missing: /);
    expect(await isDamaged(good)).toBe(false);
    const started: Started[] = [];
    const shown = await callEndpoint(world, started, "list-restore-points");
    const found = shown.body.value.find(({ pointId }: { pointId: string }) => pointId === bad);
    expect(found.damaged).toMatchObject({ sessionId, level: "presence" });
  });

  it.each<[Level, Level, boolean]>([
    ["presence", "presence", false],
    ["presence", "sample", false],
    ["sample", "presence", true],
    ["sample", "sample", true],
    ["sample", "complete", false],
    ["complete", "sample", true],
  ])("damage of level %s is still shown after a clean %s: %s", async (found, later, still) => {
    const point = await insertPoint(world, 0);
    answerWith([findingOf([point])]);
    await check(found);
    answerWith([], 0, 0);
    await check(later);
    expect(await isDamaged(point)).toBe(still);
  });

  it("marks every point that is affected, and clears only what it knows to be sound", async () => {
    const points = await insertPoints(25);
    answerWith([findingOf(points.slice(20))]);
    await check("presence");
    tell(
      [findingOf(points.slice(0, 10))],
      23,
      [[0, points.slice(0, 12)]],
      [
        [2, points.slice(20, 23)],
        [1, points.slice(12, 20)],
        [1, points.slice(12, 20)],
      ],
    );
    const sessionId = await check("presence");
    expect(await world.context.records.sessions.get(sessionId)).toMatchObject({
      state: "warning",
      reason: "1 findings; 23 restore points cannot be restored completely",
    });
    expect(await damagedPoints()).toEqual(points.slice(0, 23));
    expect(await collect(world.context.records.checkPages(sessionId).list())).toEqual([]);
    await sendPage([3, points.slice(24)]);
    expect(await collect(world.context.records.checkPages(sessionId).list())).toEqual([]);
  });

  it("fails, and clears nothing, when a page never comes", async () => {
    const points = await insertPoints(12);
    answerWith([findingOf(points)]);
    await check("complete");
    tell([findingOf(points.slice(0, 10))], 12, [[0, points.slice(0, 10)]]);
    const sessionId = await check("complete");
    expect(await world.context.records.sessions.get(sessionId)).toMatchObject({
      state: "failed",
      error: { code: "TimedOut" },
    });
    expect(await damagedPoints()).toEqual(points);
  });

  it("takes pages of its last dispatch only", async () => {
    const points = await insertPoints(2);
    tell([findingOf(points.slice(0, 1))], 1, [[0, points.slice(0, 1)]]);
    world.sabotage = async (name) => {
      if (name === "read-check") await sendPage([1, points.slice(1)], 2);
      return undefined;
    };
    await check("complete");
    expect(await damagedPoints()).toEqual(points.slice(0, 1));
  });

  it("changes nothing when its result is indexed twice", async () => {
    const points = await insertPoints(12);
    answerWith([findingOf(points.slice(11))]);
    await check("presence");
    tell([findingOf(points.slice(0, 10))], 11, [[0, points.slice(0, 11)]]);
    let answersLost = 0;
    const sessionId = `health-check-r-1-${runs}`;
    world.sabotage = async (name) => {
      if (name !== "index-check" || answersLost++ > 0) return undefined;
      await ACTIVITIES["index-check"].run(world.context, { sessionId });
      return fail("ConnectionLost", "The answer got lost.", "backoff");
    };
    await check("presence");
    expect(answersLost).toBe(2);
    expect((await world.context.records.sessions.get(sessionId)).reason).toMatch(/; 11 restore/);
    expect(await damagedPoints()).toEqual(points.slice(0, 11));
  });

  it("keeps what a deeper check found when a shallow one finds something else", async () => {
    const [point] = await insertPoints(1);
    for (const level of ["complete", "presence"] as const) {
      answerWith([findingOf([point!])], 1, undefined);
      await check(level);
    }
    answerWith([], 0, 0);
    await check("presence");
    expect(await damagedPoints()).toEqual([point]);
    await check("complete");
    expect(await damagedPoints()).toEqual([]);
  });

  it("clears nothing when it does not tell all, or looked elsewhere", async () => {
    const [first, second] = [await insertPoint(world, 1), await insertPoint(world, 0)];
    answerWith([findingOf([first])]);
    await check("complete");
    answerWith([findingOf([second])]);
    await check("complete");
    expect(await isDamaged(first)).toBe(true);
    answerWith([], 0, 0);
    await check("complete", { vmIds: ["another"] });
    expect(await isDamaged(first)).toBe(true);
    await check("complete");
    expect(await isDamaged(first)).toBe(false);
  });

  it("fails where no worker can be: the repository must say its region", async () => {
    const sessionId = await check("presence");
    expect(await world.context.records.sessions.get(sessionId)).toMatchObject({
      state: "failed",
      error: { code: "LocationUnknown" },
    });
    await world.context.records.repositories.update("r-1", (each) => ({
      ...each,
      location: "northeurope",
    }));
    await check("presence");
    expect([...world.driver.pools.keys()]).toEqual(["northeurope"]);
  });

  it("is not owed for a slot before it was added to its policy", async () => {
    await world.context.records.policies.insert("p-1", {
      ...RETENTION_POLICY,
      updatedAt: world.context.clock().toISOString(),
      healthCheck: { schedule: { cron: "0 1 22 * *", timeZone: "UTC" }, level: "metadata" },
    });
    await runScheduleTick(world.context, world.client);
    expect(await world.client.stateOf("health-check-r-1-20261122T010000Z-p-1")).toBe("missing");
  });

  it("comes due by its policy", async () => {
    await world.context.records.policies.insert("p-1", {
      ...RETENTION_POLICY,
      schedule: { cron: "0 1 1 1 *", timeZone: "UTC" },
      healthCheck: {
        schedule: { cron: "0 1 22 * *", timeZone: "UTC" },
        level: "metadata",
      },
    });
    const started: [string, object][] = [];
    const client = {
      ...world.client,
      startOnce: async (_name: string, id: string, input: object) => {
        started.push([id, input]);
        return true;
      },
    };
    await runScheduleTick(world.context, client);
    await runScheduleTick(world.context, client);
    expect(started.filter(([id]) => id.startsWith("health"))).toMatchObject([
      [
        "health-check-r-1-20261122T010000Z-p-1",
        { repositoryId: "r-1", policyId: "p-1", level: "metadata", trigger: "schedule" },
      ],
    ]);
  });
});
