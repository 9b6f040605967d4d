/** Health checks: findings are kept, shown at the points that they affect, and cleared when healed. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Job } from "#core/protocol/job.ts";
import type { JobResult } from "#core/protocol/worker-event.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { runScheduleTick } from "#functions/triggers/schedule-tick.timer.ts";
import { callEndpoint, type Started } from "./api-caller.ts";
import { insertPoint, RETAINED_VM as VM, RETENTION_POLICY } from "./retained-points.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

type Level = "presence" | "metadata" | "sample" | "complete";
type CheckResult = Extract<JobResult, { kind: "check" }>;

let world: World;
let runs = 0;

beforeEach(async () => {
  world = createWorld();
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

/** What the worker finds; by default nothing. */
function answerWith(findings: CheckResult["findings"], findingCount = findings.length): void {
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
    },
  });
}

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
    answerWith([]);
    await check(later);
    expect(await isDamaged(point)).toBe(still);
  });

  it("clears nothing when it found more than it can tell, or looked elsewhere", async () => {
    const [first, second] = [await insertPoint(world, 1), await insertPoint(world, 0)];
    answerWith([findingOf([first])]);
    await check("complete");
    answerWith([findingOf([second])], 51);
    await check("complete");
    expect(await isDamaged(first)).toBe(true);
    answerWith([]);
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
