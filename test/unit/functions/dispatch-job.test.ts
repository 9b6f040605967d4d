/** Dispatching twice, at once or late, after a crash, and beside a revocation. */
import { beforeEach, describe, expect, it } from "vitest";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import type { AppContext } from "#functions/app-context.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

const VM = createTestVm();
const JOB = `backup-${VM.vmId}-20261122T013000Z-manual`;

let world: World;
let workerId: string;

/** A world in which the job was dispatched to a worker that is at work. */
beforeEach(async () => {
  world = createWorld();
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
  world.work = () => undefined;
  world.knowsNetwork = true;
  let isStopped = false;
  world.sabotage = async (name) => {
    if (name === "read-job-state") isStopped = true;
    // The rest of the run is none of these tests' business.
    if (!isStopped) return undefined;
    return { ok: false, error: { code: "Stopped", message: "stopped", retry: "never" } };
  };
  await world.driver.run(ORCHESTRATORS.backupVm, JOB, {
    sessionId: JOB,
    vmId: VM.vmId,
    vmResourceId: VM.resourceId,
    vmName: VM.name,
    repositoryId: "r-1",
    trigger: "manual",
    forceFull: false,
    settings: world.context.config.run,
  });
  world.sabotage = () => undefined;
  workerId = (await world.context.records.jobs.get(JOB)).workerId ?? "";
  expect(world.jobs).toHaveLength(1);
});

const dispatch = (attempt: number, context: AppContext = world.context) =>
  ACTIVITIES["dispatch-job"].run(context, { jobId: JOB, attempt, workerId });

/** As after a crash between sending and noting. */
async function forgetSending(): Promise<void> {
  await world.context.records.jobs.update(JOB, ({ sentAt: _sent, ...job }) => job);
}

async function grantCount(): Promise<number> {
  return (await collect(world.context.records.grants.list())).length;
}

const succeeded = {
  kind: "job-succeeded" as const,
  jobId: JOB,
  attempt: 1,
  result: { kind: "backup" as const, pointId: "p", disks: [] },
};

describe("dispatch of a job", () => {
  it("that was sent is not sent again", async () => {
    expect(await dispatch(1)).toEqual({ ok: true, value: { sent: false } });
    expect(world.jobs).toHaveLength(1);
  });

  it("that was not noted is sent again as the same dispatch, with the same ledger", async () => {
    await forgetSending();
    const grants = await grantCount();
    expect(await dispatch(1)).toEqual({ ok: true, value: { sent: true } });
    // The worker's intake takes each pair of job and attempt once.
    expect(world.jobs.map(({ jobId, attempt }) => [jobId, attempt])).toEqual([
      [JOB, 1],
      [JOB, 1],
    ]);
    expect(await grantCount()).toBe(grants);
  });

  it("runs twice at once: one ledger, one dispatch, and what the worker tells stays", async () => {
    await forgetSending();
    world.work = () => succeeded;
    const outcomes = await Promise.all([dispatch(1), dispatch(1)]);
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, true]);
    expect(new Set(world.jobs.map(({ attempt }) => attempt))).toEqual(new Set([1]));
    expect(await grantCount()).toBe(2);
    const { state, attempt } = await world.context.records.jobs.get(JOB);
    expect([state, attempt]).toEqual(["succeeded", 1]);
  });

  it("that comes again after the worker is done changes nothing", async () => {
    await forgetSending();
    await world.send(workerId, succeeded);
    expect(await dispatch(1)).toEqual({ ok: true, value: { sent: false } });
    expect((await world.context.records.jobs.get(JOB)).state).toBe("succeeded");
    expect(world.jobs).toHaveLength(1);
  });

  it("keeps the progress that the worker told before it comes again", async () => {
    const disk = { diskId: "d", doneBytes: 1, totalBytes: 2, readBytes: 1, storedBytes: 1 };
    await world.send(workerId, { kind: "progress", jobId: JOB, attempt: 1, disks: [disk] });
    await forgetSending();
    await dispatch(1);
    expect((await world.context.records.jobs.get(JOB)).progress).toEqual([disk]);
  });

  it("that is older than the current one is refused and touches nothing", async () => {
    expect(await dispatch(2)).toEqual({ ok: true, value: { sent: true } });
    const { records } = world.context;
    const before = [await records.jobs.get(JOB), await records.workers.get(workerId)];
    await forgetSending();
    expect(await dispatch(1)).toMatchObject({ ok: false, error: { code: "JobSuperseded" } });
    const { sentAt: _sent, ...job } = before[0] as { sentAt?: string };
    expect(await records.jobs.get(JOB)).toEqual(job);
    expect(await records.workers.get(workerId)).toEqual(before[1]);
    expect(world.jobs.map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it("of a session that is over grants nothing", async () => {
    await ACTIVITIES["revoke-grants"].run(world.context, { jobId: JOB });
    const end = { sessionId: JOB, state: "failed", reason: "terminated" };
    await ACTIVITIES["close-session"].run(world.context, end);
    expect(await dispatch(2)).toMatchObject({ ok: false, error: { code: "SessionOver" } });
    expect(world.azure.liveSas.size).toBe(0);
    expect(await grantCount()).toBe(0);
  });

  it("that is revoked while it asks for access closes what came too late", async () => {
    const { compute } = world.context;
    const slow: AppContext = {
      ...world.context,
      compute: {
        ...compute,
        async grantAccess(resourceId, access, durationSeconds, signal) {
          await ACTIVITIES["revoke-grants"].run(world.context, { jobId: JOB });
          return compute.grantAccess(resourceId, access, durationSeconds, signal);
        },
      },
    };
    expect(await dispatch(2, slow)).toMatchObject({ ok: false, error: { code: "JobSuperseded" } });
    expect(world.azure.liveSas.size).toBe(0);
    expect(await grantCount()).toBe(0);
    expect(world.jobs.map(({ attempt }) => attempt)).toEqual([1]);
  });

  it("that crashes after it was given access leaves that to the ledger", async () => {
    const { compute } = world.context;
    const crashing: AppContext = {
      ...world.context,
      compute: {
        ...compute,
        async grantAccess(resourceId, access, durationSeconds, signal) {
          await compute.grantAccess(resourceId, access, durationSeconds, signal);
          throw new Error("the host died");
        },
      },
    };
    await ACTIVITIES["revoke-grants"].run(world.context, { jobId: JOB });
    expect(await dispatch(2, crashing)).toMatchObject({ ok: false });
    expect(world.azure.liveSas.size).toBeGreaterThan(0);
    await ACTIVITIES["revoke-grants"].run(world.context, { jobId: JOB });
    expect(world.azure.liveSas.size).toBe(0);
    expect(await grantCount()).toBe(0);
  });
});
