import { describe, expect, it } from "vitest";
import { DEFAULT_RETENTION } from "#core/model/retention.ts";
import type { Policy } from "#core/model/policy.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { runScheduleTick } from "#functions/triggers/schedule-tick.timer.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, START, type World } from "./test-world.ts";

const NO_VMS = { vmIds: [], tags: [], locations: [], subscriptionIds: [] };

async function prepare(vmCount: number): Promise<World> {
  const world = createWorld();
  await addRepository(world);
  for (let index = 0; index < vmCount; index++) {
    const vm = createTestVm(`web${index}`, `aaaaaaaa-0000-4000-8000-00000000000${index}`);
    world.azure.vms.set(vm.resourceId, vm);
  }
  const enabledAt = new Date(START - 3_600_000).toISOString();
  const policy: Policy = {
    policyId: "p-1",
    name: "daily",
    enabled: true,
    schedule: { cron: "15 2 * * *", timeZone: "Europe/Berlin" },
    selection: {
      include: { ...NO_VMS, tags: [{ name: "backup", value: "daily" }] },
      exclude: NO_VMS,
    },
    repositoryId: "r-1",
    retention: DEFAULT_RETENTION,
    maxConcurrentVms: 2,
    createdAt: enabledAt,
    enabledAt,
    updatedAt: enabledAt,
  };
  await world.context.records.policies.insert("p-1", policy);
  return world;
}

const run = (world: World): Promise<unknown> =>
  world.driver.run(ORCHESTRATORS.policyRun, "policy-p-1-20261122T011500Z", {
    sessionId: "policy-p-1-20261122T011500Z",
    policyId: "p-1",
    slot: "2026-11-22T01:15:00.000Z",
    settings: world.context.config.run,
  });

describe("schedule tick", () => {
  it("starts a slot once, however often it runs", async () => {
    const world = await prepare(1);
    const started: string[] = [];
    const client = {
      ...world.client,
      startOnce: async (name: string, instanceId: string, input: object) => {
        const fresh = await world.client.startOnce(name as never, instanceId, input);
        if (fresh) started.push(instanceId);
        return fresh;
      },
    };
    await runScheduleTick(world.context, client);
    await runScheduleTick(world.context, client);
    await world.context.records.lastSlots.delete("p-1");
    await runScheduleTick(world.context, client);
    expect(started).toEqual(["policy-p-1-20261122T011500Z"]);
    world.driver.now += 24 * 3_600_000;
    await runScheduleTick(world.context, client);
    expect(started).toContain("policy-p-1-20261123T011500Z");
    expect(started.filter((id) => id.startsWith("retention"))).toEqual([
      "retention-r-1-20261122T050000Z",
    ]);
    const slots = await collect(world.context.records.slots("p-1").list());
    expect(slots.map(({ id }) => id)).toEqual(["20261123T011500Z"]);
  });
});

describe("run of a policy", () => {
  it("backs up each VM that it covers once, as a child session", async () => {
    const world = await prepare(5);
    expect(await run(world)).toMatchObject({ ok: true, value: { state: "succeeded" } });
    const sessions = await collect(world.context.records.sessions.list());
    const children = sessions.filter(({ value }) => value.parentSessionId !== undefined);
    expect(children.map(({ value }) => value.vmName).sort()).toEqual([
      "web0",
      "web1",
      "web2",
      "web3",
      "web4",
    ]);
    const policy = sessions.find(({ value }) => value.type === "policy")?.value;
    expect(policy).toMatchObject({
      state: "succeeded",
      counts: { succeeded: 5, warning: 0, failed: 0, skipped: 0 },
    });
    expect(new Set(world.jobs.map((job) => job.jobId)).size).toBe(5);
  });

  it("ends with a warning when some of its VMs failed, as failed when all did", async () => {
    const some = await prepare(3);
    const succeed = some.work;
    some.work = (job) => (job.jobId.includes("000000000001") ? failure(job) : succeed(job));
    expect(await run(some)).toMatchObject({ value: { state: "warning" } });
    const all = await prepare(2);
    all.work = failure;
    expect(await run(all)).toMatchObject({ value: { state: "failed" } });
  });
  const failure = ({ jobId, attempt }: { jobId: string; attempt: number }) => ({
    kind: "job-failed" as const,
    jobId,
    attempt,
    error: { code: "Broken", message: "broken", retry: "never" as const },
  });

  it("warns when it covers no VM", async () => {
    const world = await prepare(0);
    expect(await run(world)).toMatchObject({ value: { state: "warning" } });
  });
});
