/** Backups whose largest disk is read by several workers, from the plan to the end of all access. */
import { describe, expect, it } from "vitest";
import { DISK_PART_ALIGNMENT_BYTES } from "#core/model/disk-part.ts";
import type { BackupJob, BackupPartJob, Job } from "#core/protocol/job.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { sessionEndpoints } from "#functions/triggers/sessions.http.ts";
import { Terminated } from "./orchestrator-driver.ts";
import { SUBSCRIPTION, createTestVm } from "./test-vm.ts";
import { addRepository, collect, createWorld, type World } from "./test-world.ts";

const POOL = `westeurope~${SUBSCRIPTION}`;
const vm = createTestVm();
const [dataDisk] = vm.dataDisks;
const SIZE_BYTES = dataDisk!.sizeBytes;
const sessionId = `backup-${vm.vmId}-1-manual`;

/** The data disk has eight leaves; the OS disk is below the bound. */
async function prepare(settings: Record<string, string> = {}): Promise<World> {
  const shared = { HOLDFAST_SHARED_DISK_BYTES: String(SIZE_BYTES), ...settings };
  const world = createWorld(shared);
  world.azure.vms.set(vm.resourceId, vm);
  await addRepository(world);
  return world;
}

async function backUp(world: World, session = sessionId): Promise<unknown> {
  return world.driver.run(ORCHESTRATORS.backupVm, session, {
    sessionId: session,
    vmId: vm.vmId,
    vmResourceId: vm.resourceId,
    vmName: vm.name,
    repositoryId: "r-1",
    trigger: "manual",
    forceFull: false,
    settings: world.context.config.run,
  });
}

const partsOf = (world: World) =>
  world.jobs.filter((job): job is BackupPartJob => job.kind === "backup-part");
const backupsOf = (world: World) =>
  world.jobs.filter((job): job is BackupJob => job.kind === "backup");
const succeeded = { ok: true, value: { state: "succeeded" } };
const withWarning = { ok: true, value: { state: "warning" } };

async function expectNothingLeft(world: World): Promise<void> {
  expect(world.azure.liveSas.size).toBe(0);
  expect(await collect(world.context.records.grants.list())).toEqual([]);
  expect(world.driver.diskSlots.get(POOL)?.holders).toEqual([]);
  const pool = world.driver.pools.get("westeurope");
  expect(pool?.workers.filter(({ holder }) => holder !== undefined)).toEqual([]);
}

/** Each job takes its time, so that parts overlap; a worker whose SAS is gone fails. */
function workFor(world: World, secondsOf: (job: Job) => number): string[] {
  const errors: string[] = [];
  const succeed = world.work;
  world.work = (job) => {
    const done = succeed(job);
    const sas = job.kind === "backup-part" ? job.disk.sas : undefined;
    world.driver.later(secondsOf(job) * 1000, async () => {
      if (sas !== undefined && world.azure.liveSas.size === 0) errors.push(job.jobId);
      if (done !== undefined) await world.send(job.workerId, done);
    });
    return undefined;
  };
  return errors;
}

describe("a disk that several workers share", () => {
  it("is read in parts at the same time, each on its own worker, and joined by the backup", async () => {
    const world = await prepare();
    const errors = workFor(world, (job) =>
      job.kind === "backup-part" ? 60 + job.part.offsetBytes / DISK_PART_ALIGNMENT_BYTES : 1,
    );
    expect(await backUp(world)).toMatchObject(succeeded);
    const parts = partsOf(world);
    expect(parts.map(({ part }) => part)).toEqual(
      [0, 2, 4, 6].map((leaf) => ({
        offsetBytes: leaf * DISK_PART_ALIGNMENT_BYTES,
        lengthBytes: 2 * DISK_PART_ALIGNMENT_BYTES,
      })),
    );
    expect(new Set(parts.map(({ workerId }) => workerId)).size).toBe(4);
    expect(errors).toEqual([]);
    const [backup] = backupsOf(world);
    expect(backup?.disks.map((disk) => disk.parts?.length)).toEqual([undefined, 4]);
    // One export for each disk, however many workers read it.
    expect(Math.max(...world.azure.exportPeaks.values())).toBeLessThanOrEqual(2);
    await expectNothingLeft(world);
    const session = await world.context.records.sessions.get(sessionId);
    expect(session.plan?.[1]?.reason).toBe("first backup; shared by 4 workers for its size");
    const log = await collect(world.context.records.sessionLog(sessionId).list());
    const ready = log.filter(({ value }) =>
      /^part \d of disk 2: worker .* has the job/.test(value.message),
    );
    expect(ready).toHaveLength(4);
  });

  it("is read whole with one worker per region, and nobody waits for anybody", async () => {
    const world = await prepare({ HOLDFAST_WORKERS_PER_REGION_MAX: "1" });
    expect(await backUp(world)).toMatchObject(succeeded);
    expect(partsOf(world)).toEqual([]);
    expect(backupsOf(world)[0]?.disks[1]?.parts).toBeUndefined();
  });

  it("never takes more workers than the region may have, also beside other backups", async () => {
    const world = await prepare({ HOLDFAST_WORKERS_PER_REGION_MAX: "2" });
    const other = createTestVm("other", "bbbbbbbb-0000-4000-8000-00000000000b");
    world.azure.vms.set(other.resourceId, other);
    let atWork = 0;
    let most = 0;
    const succeed = world.work;
    world.work = (job) => {
      const done = succeed(job);
      most = Math.max(most, ++atWork);
      world.driver.later(60_000, async () => {
        atWork--;
        if (done !== undefined) await world.send(job.workerId, done);
      });
      return undefined;
    };
    const session = `backup-${other.vmId}-1-manual`;
    const ends = await Promise.all([
      backUp(world),
      world.driver.run(ORCHESTRATORS.backupVm, session, {
        sessionId: session,
        vmId: other.vmId,
        vmResourceId: other.resourceId,
        vmName: other.name,
        repositoryId: "r-1",
        trigger: "manual",
        forceFull: false,
        settings: world.context.config.run,
      }),
    ]);
    expect(ends).toMatchObject([succeeded, succeeded]);
    expect(most).toBe(2);
    expect(partsOf(world)).toHaveLength(4);
    await expectNothingLeft(world);
  });

  it("is not shared for an incremental", async () => {
    const world = await prepare();
    expect(await backUp(world)).toMatchObject(succeeded);
    const before = partsOf(world).length;
    expect(await backUp(world, `backup-${vm.vmId}-2-manual`)).toMatchObject(succeeded);
    expect(partsOf(world)).toHaveLength(before);
    expect(backupsOf(world)[1]?.disks[1]).toHaveProperty("base");
  });

  it("keeps the access of the others when one part ends or fails", async () => {
    const world = await prepare();
    const errors = workFor(world, (job) => {
      if (job.kind !== "backup-part") return 1;
      return job.part.offsetBytes === 0 ? 1 : 80;
    });
    expect(await backUp(world)).toMatchObject(succeeded);
    expect(errors).toEqual([]);
    const revoked = world.driver.calls.filter(({ name }) => name === "revoke-grants").length;
    expect(revoked).toBeGreaterThanOrEqual(5);
  });

  it("goes on with another worker when that of a part is lost", async () => {
    const world = await prepare();
    const succeed = world.work;
    let lost: string | undefined;
    world.work = (job) => {
      if (job.kind !== "backup-part" || job.part.offsetBytes > 0 || lost !== undefined)
        return succeed(job);
      lost = job.workerId;
      return undefined;
    };
    expect(await backUp(world)).toMatchObject(succeeded);
    expect(partsOf(world)).toHaveLength(5);
    expect(partsOf(world).filter(({ attempt }) => attempt === 2)).toHaveLength(1);
    expect(backupsOf(world)[0]?.disks[1]?.parts).toHaveLength(4);
    await expectNothingLeft(world);
  });

  it("is read by the backup itself, with a warning, when a part fails for good", async () => {
    const world = await prepare();
    const succeed = world.work;
    world.work = (job) => {
      if (job.kind !== "backup-part" || job.part.offsetBytes > 0) return succeed(job);
      const error = { code: "Broken", message: "no such disk", retry: "never" } as const;
      return { kind: "job-failed", jobId: job.jobId, attempt: job.attempt, error };
    };
    expect(await backUp(world)).toMatchObject(withWarning);
    expect(backupsOf(world)[0]?.disks[1]?.parts).toBeUndefined();
    const session = await world.context.records.sessions.get(sessionId);
    expect(session.backupDisks?.[1]?.warnings).toEqual([
      "Part 1 failed: no such disk One worker has read all of the disk.",
    ]);
    await expectNothingLeft(world);
  });

  it("is read by the backup itself when no more disk accesses may be made", async () => {
    const world = await prepare({
      HOLDFAST_DISK_ACCESSES_MAX: "1",
      HOLDFAST_SHARED_DISK_BYTES: String(vm.osDisk.sizeBytes),
    });
    // Four slots for the backup and two beside it: more than the five of one disk access.
    expect(await backUp(world)).toMatchObject(withWarning);
    const session = await world.context.records.sessions.get(sessionId);
    expect(session.backupDisks?.map(({ warnings }) => warnings)).toEqual([
      [expect.stringContaining("HOLDFAST_DISK_ACCESSES_MAX allows 1")],
      [expect.stringContaining("HOLDFAST_DISK_ACCESSES_MAX allows 1")],
    ]);
    expect(partsOf(world)).toEqual([]);
    await expectNothingLeft(world);
  });

  it("leaves nothing to a session that was terminated while its parts are read", async () => {
    const world = await prepare();
    world.work = () => undefined;
    let waits = 0;
    world.sabotage = (name) => {
      if (name === "read-job-state" && ++waits > 6) throw new Terminated("terminated");
      return undefined;
    };
    await expect(backUp(world)).rejects.toThrow(Terminated);
    expect(world.azure.liveSas.size).toBeGreaterThan(0);
    world.sabotage = () => undefined;
    const { sessions } = world.context.records;
    await sessions.update(sessionId, (session) => ({ ...session, state: "failed" }));
    for (const sweep of [1, 2]) {
      const settings = world.context.config.run;
      await world.driver.run(ORCHESTRATORS.sweep, `sweep-${sweep}`, { settings });
    }
    expect(world.azure.liveSas.size).toBe(0);
    expect(world.driver.diskSlots.get(POOL)?.holders).toEqual([]);
    expect(world.azure.ofType("snapshot")).toEqual([]);
    expect(world.azure.ofType("worker")).toEqual([]);
  });
});

it("a session shows its parts, and the sum of them as the progress of the disk", async () => {
  const world = await prepare();
  const succeed = world.work;
  const shown: Record<string, unknown>[] = [];
  const [, getSession] = sessionEndpoints;
  const look = async (): Promise<void> => {
    const call = { context: world.context, param: () => sessionId };
    const answer = await getSession!.handle(call as never);
    shown.push(answer.body as Record<string, unknown>);
  };
  world.work = (job) => {
    if (job.kind !== "backup-part") return succeed(job);
    const { jobId, attempt, workerId, part } = job;
    const done = succeed(job);
    const disk = {
      diskId: dataDisk!.diskId,
      doneBytes: 1000,
      totalBytes: part.lengthBytes,
      readBytes: 500,
      storedBytes: 10,
    };
    world.driver.later(10_000, () =>
      world.send(workerId, { kind: "progress", jobId, attempt, disks: [disk] }),
    );
    world.driver.later(60_000, async () => {
      if (part.offsetBytes === 0) await look();
      if (done !== undefined) await world.send(workerId, done);
    });
    return undefined;
  };
  expect(await backUp(world)).toMatchObject(succeeded);
  expect(shown[0]?.["progress"]).toEqual([
    expect.objectContaining({
      name: "web-0",
      doneBytes: 4000,
      totalBytes: SIZE_BYTES,
      readBytes: 2000,
    }),
  ]);
  expect(shown[0]?.["parts"]).toHaveLength(4);
  expect(shown[0]?.["parts"]).toContainEqual(
    expect.objectContaining({ offsetBytes: 0, state: "dispatched", attempt: 1, doneBytes: 1000 }),
  );
});
