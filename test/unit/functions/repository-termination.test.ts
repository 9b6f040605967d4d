/** Runs in repositories that are terminated at any call leave no claim, and the next one is whole. */
import { describe, expect, it } from "vitest";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import { ORCHESTRATORS, type OrchestratorName } from "#functions/orchestrators/names.ts";
import { runSweepTick } from "#functions/triggers/sweep.timer.ts";
import { Terminated } from "./orchestrator-driver.ts";
import { insertPoint, RETAINED_VM as VM, RETENTION_POLICY } from "./retained-points.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

interface RunCase {
  readonly orchestrator: OrchestratorName;
  readonly input: object;
  /** What must be there before, besides a repository with an old and a new point. */
  readonly prepare?: (world: World, sessionId: string, id: string) => Promise<void>;
}

const CASES: readonly RunCase[] = [
  { orchestrator: ORCHESTRATORS.maintainRepository, input: { confirmed: true } },
  { orchestrator: ORCHESTRATORS.checkRepository, input: { level: "sample" } },
  { orchestrator: ORCHESTRATORS.importRepository, input: {} },
  { orchestrator: ORCHESTRATORS.archiveRun, input: { policyId: "p-1" } },
  {
    orchestrator: ORCHESTRATORS.retrieveArchive,
    input: {},
    prepare: insertRetrieval,
  },
];

async function insertRetrieval(
  world: World,
  sessionId: string,
  retrievalId: string,
): Promise<void> {
  const { records, clock } = world.context;
  const at = clock().toISOString();
  const [point] = await collect(records.points.list());
  await records.archives.insert("archive-1", {
    archiveId: "archive-1",
    vmId: VM.vmId,
    vmName: VM.name,
    repositoryId: "r-1",
    archivedAt: at,
    state: "available",
    storedBytes: 1,
    objectCount: 1,
    disks: [],
    point: point!.value,
  });
  const names = { sessionId, retrievalId, archiveId: "archive-1", vmId: VM.vmId };
  await records.sessions.insert(sessionId, {
    ...names,
    type: "retrieval",
    state: "running",
    trigger: "manual",
    startedAt: at,
    repositoryId: "r-1",
  });
  await records.retrievals.insert(retrievalId, {
    ...names,
    repositoryId: "r-1",
    state: "retrieving",
    priority: "standard",
    tier: "hot",
    diskIds: [VM.osDisk.diskId],
    availableDays: 1,
    requestedAt: at,
    expectedAt: at,
    storedBytes: 1,
  });
}

async function start({ orchestrator, input, prepare }: RunCase): Promise<{
  world: World;
  run: (id: string) => Promise<unknown>;
}> {
  const world = createWorld();
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
  await world.context.records.policies.insert("p-1", {
    ...RETENTION_POLICY,
    archive: { schedule: RETENTION_POLICY.schedule, retentionDays: 365 },
  });
  await insertPoint(world, 9);
  await insertPoint(world, 0);
  const run = async (id: string): Promise<unknown> => {
    const sessionId = `${orchestrator}-${id}`;
    await prepare?.(world, sessionId, id);
    const common = { sessionId, repositoryId: "r-1", retrievalId: id, trigger: "manual" };
    const settings = world.context.config.run;
    return world.driver.run(orchestrator, sessionId, { ...common, settings, ...input });
  };
  return { world, run };
}

let sweeps = 0;
async function sweepUntilQuiet(world: World): Promise<void> {
  const client = { ...world.client, stateOf: async () => "over" as const };
  for (let tick = 0; tick < 5; tick++) {
    await runSweepTick(world.context, client);
    const settings = world.context.config.run;
    await world.driver.run(ORCHESTRATORS.sweep, `sweep-${sweeps++}`, { settings });
    world.driver.now += 300_000;
  }
}

async function leftOf({ azure, context, driver }: World): Promise<object> {
  const sessions = await collect(context.records.sessions.list());
  return {
    claims: (await collect(context.records.claims.list())).length,
    workers: (await collect(context.records.workers.list())).length,
    pool: driver.pools.get("westeurope")?.workers ?? [],
    waiting: driver.pools.get("westeurope")?.waiting ?? [],
    vms: azure.ofType("worker").length,
    running: sessions.flatMap(({ id, value }) => (value.state === "running" ? id : [])),
  };
}
const NOTHING = { claims: 0, workers: 0, pool: [], waiting: [], vms: 0, running: [] };

describe.each(CASES)("$orchestrator, terminated", (each) => {
  it.each(["before", "after"])("%s any of its calls", async (moment) => {
    const healthy = await start(each);
    expect(await healthy.run("first")).toMatchObject({ value: { state: "succeeded" } });
    const names = healthy.world.driver.calls.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(15);
    for (const [call, name] of names.entries()) {
      const { world, run } = await start(each);
      world.sabotage = async (called) => {
        if (world.driver.calls.length !== call + 1) return undefined;
        const { input } = world.driver.calls.at(-1)!;
        if (moment === "after")
          await ACTIVITIES[called as keyof typeof ACTIVITIES].run(world.context, input);
        throw new Terminated(called);
      };
      await expect(run("first")).rejects.toThrow(Terminated);
      world.sabotage = () => undefined;
      await sweepUntilQuiet(world);
      expect([call, name, await leftOf(world)]).toEqual([call, name, NOTHING]);
      expect(await run("second")).toMatchObject({ value: { state: "succeeded" } });
    }
  });
});
