/** What comes due by itself in repositories, and how long what is made there must stay. */
import { beforeEach, describe, expect, it } from "vitest";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { runScheduleTick } from "#functions/triggers/schedule-tick.timer.ts";
import { RETAINED_VM as VM, RETENTION_POLICY } from "./retained-points.ts";
import { addRepository, createWorld, type World } from "./test-world.ts";

const DAY = 24 * 3600 * 1000;
const SESSION = "retention-r-1-20261122T050000Z";

let world: World;

beforeEach(async () => {
  world = createWorld();
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
  await world.context.records.policies.insert("p-1", RETENTION_POLICY);
});

describe("the timer", () => {
  it("starts maintenance once a day, and again at once while something is left", async () => {
    const started: string[] = [];
    const client = {
      ...world.client,
      startOnce: async (_name: string, id: string) => {
        started.push(id);
        return true;
      },
    };
    world.driver.now = Date.parse("2026-11-22T05:00:30.000Z");
    await runScheduleTick(world.context, client);
    await runScheduleTick(world.context, client);
    const runs = (): string[] => started.filter((id) => id.startsWith("retention"));
    expect(runs()).toEqual([SESSION]);
    await ACTIVITIES["claim-repository"].run(world.context, {
      sessionId: SESSION,
      repositoryId: "r-1",
      type: "retention",
      trigger: "schedule",
    });
    await world.context.records.sessions.update(SESSION, (session) => ({
      ...session,
      state: "succeeded",
      retention: { kept: 0, expired: 200, heldBack: 0, left: 7 },
    }));
    world.driver.now += 60_000;
    await runScheduleTick(world.context, client);
    expect(runs().at(-1)).toBe("retention-r-1-20261122T050130Z");
    // All that the next one was given was kept: it is not tried again at once.
    const next = runs().at(-1) ?? "";
    const { state: _state, ...session } = await world.context.records.sessions.get(SESSION);
    const kept = { vmId: VM.vmId, pointId: "p", reason: "immutable" };
    await world.context.records.sessions.insert(next, {
      ...session,
      sessionId: next,
      state: "warning",
      retention: { kept: 0, expired: 1, heldBack: 0, left: 6 },
      maintenance: {
        keptPoints: [kept],
        expiredArchiveIds: [],
        expiredRetrievalIds: [],
        deletedObjects: 0,
        deletedBytes: 0,
        markedObjects: 0,
        markedBytes: 0,
        immutableObjects: 1,
        skippedDisks: [],
      },
    });
    world.driver.now += 60_000;
    await runScheduleTick(world.context, client);
    expect(runs().at(-1)).toBe(next);
    world.driver.now += DAY;
    await runScheduleTick(world.context, client);
    expect(runs().at(-1)).toBe("retention-r-1-20261123T050000Z");
  });
});

describe("immutability", () => {
  it("lasts as long as retention will keep the point, and its least number of days", async () => {
    const { records } = world.context;
    const backUp = async (days: number, slot: string): Promise<string | undefined> => {
      await records.repositories.update("r-1", (each) => ({
        ...each,
        immutability: { kind: "on", days },
      }));
      const sessionId = `backup-${VM.vmId}-${slot}-p-1`;
      await world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
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
      const job = world.jobs.at(-1);
      const { immutableUntil } = await records.points.get(sessionId.replace("backup-", ""));
      expect(job?.kind === "backup" && job.immutableUntil).toBe(immutableUntil);
      return immutableUntil;
    };
    await records.policies.update("p-1", (policy) => ({
      ...policy,
      retention: { ...policy.retention, days: 3, monthly: 2 },
    }));
    expect(await backUp(1, "20261122T013000Z")).toBe("2027-01-01T00:00:00.000Z");
    // Not the first of its month.
    world.driver.now = Date.parse("2026-11-23T01:30:00.000Z");
    expect(await backUp(1, "20261123T013000Z")).toBe("2026-11-26T01:30:00.000Z");
    world.driver.now = Date.parse("2026-11-24T01:30:00.000Z");
    expect(await backUp(14, "20261124T013000Z")).toBe("2026-12-08T01:30:00.000Z");
  });
});
