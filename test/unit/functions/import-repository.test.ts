/** Imports: pages come twice, late and out of order, and the session waits for all of them. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Job } from "#core/protocol/job.ts";
import { splitFoundPoint } from "#core/protocol/point-parts.ts";
import { disksOf } from "#core/model/vm-configuration.ts";
import { createWideVm } from "./test-vm.ts";
import type { FoundPoint } from "#core/protocol/worker-event.ts";
import type { Session } from "#core/model/session.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { insertPoint, RETAINED_VM as VM } from "./retained-points.ts";
import { addRepository, collect, createWorld, START, type World } from "./test-world.ts";

const SESSION = "import-r-1-20261122T013000Z";

let world: World;

beforeEach(async () => {
  world = createWorld();
  world.knowsNetwork = true;
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
});

function foundPoint(day: number, archiveId?: string): FoundPoint {
  const takenAt = new Date(START - day * 24 * 3600 * 1000).toISOString();
  return {
    vmId: VM.vmId,
    pointId: `${VM.vmId}-${takenAt.slice(0, 10).replaceAll("-", "")}T013000Z-p-1`,
    takenAt,
    source: archiveId === undefined ? { kind: "point" } : { kind: "archive", archiveId },
    vm: VM,
    disks: [VM.osDisk, ...VM.dataDisks].map(({ diskId, slot, sizeBytes }) => ({
      diskId,
      slot,
      sizeBytes,
      kind: "full",
      storedBytes: 10,
    })),
  };
}

/** The worker's story: these pages, in this order, then its result, then the late ones. */
function tell(
  pages: readonly (readonly [number, readonly FoundPoint[]])[],
  counts: { pointCount: number; archiveCount: number },
  late: readonly (readonly [number, readonly FoundPoint[]])[] = [],
): void {
  const send = async (job: Job, [page, points]: readonly [number, readonly FoundPoint[]]) =>
    world.send(job.workerId, {
      kind: "points-found",
      jobId: job.jobId,
      attempt: job.attempt,
      page,
      points: [...points],
    });
  const onMessage = world.azure.onMessage;
  world.work = () => undefined;
  world.azure.onMessage = async (queue, text) => {
    await onMessage(queue, text);
    const job = world.jobs.at(-1)!;
    for (const page of pages) await send(job, page);
    await world.send(job.workerId, {
      kind: "job-succeeded",
      jobId: job.jobId,
      attempt: job.attempt,
      result: { kind: "import", unreadableCount: 0, unreadable: [], ...counts },
    });
  };
  let polls = 0;
  world.sabotage = async (name) => {
    if (name !== "read-import" || ++polls !== 2) return undefined;
    for (const page of late) await send(world.jobs.at(-1)!, page);
    return undefined;
  };
}

async function sendPart(largePoint: number, texts: readonly string[], part: number) {
  const { jobId, attempt, workerId } = world.jobs.at(-1)!;
  const ofPoint = { largePoint, part, partCount: texts.length, text: texts[part]! };
  await world.send(workerId, { kind: "point-part", jobId, attempt, ...ofPoint });
}

async function runImport(): Promise<Session> {
  await world.driver.run(ORCHESTRATORS.importRepository, SESSION, {
    sessionId: SESSION,
    repositoryId: "r-1",
    trigger: "manual",
    location: "westeurope",
    settings: world.context.config.run,
  });
  return world.context.records.sessions.get(SESSION);
}

const points = async () => collect(world.context.records.points.list());

describe("an import", () => {
  it("fills the index from pages that come twice, late and out of order", async () => {
    const [a, b, c] = [foundPoint(3), foundPoint(2), foundPoint(1)];
    tell(
      [
        [1, [b]],
        [1, [b]],
      ],
      { pointCount: 3, archiveCount: 1 },
      [
        [2, [c, foundPoint(9, "archive-9")]],
        [0, [a]],
        [0, [a]],
      ],
    );
    expect(await runImport()).toMatchObject({
      type: "import",
      state: "succeeded",
      import: { pointCount: 3, archiveCount: 1 },
    });
    expect((await points()).map(({ value }) => [value.pointId, value.state])).toEqual(
      [a, b, c].map(({ pointId }) => [pointId, "available"]),
    );
    const [row] = await points();
    expect(row?.value).not.toHaveProperty("sessionId");
    expect(row?.value.disks[0]).toMatchObject({ name: VM.osDisk.name, reason: "imported" });
    expect(await collect(world.context.records.archives.list())).toMatchObject([
      { id: "archive-9", value: { repositoryId: "r-1", storedBytes: 20, state: "available" } },
    ]);
    expect(await collect(world.context.records.importPages(SESSION).list())).toEqual([]);
    expect(await collect(world.context.records.claims.list())).toEqual([]);
  });

  it("fills the index with a VM of very many disks, in parts that come in any order", async () => {
    const wide = createWideVm();
    const large = (day: number, archiveId?: string) => ({
      ...foundPoint(day, archiveId),
      vmId: wide.vmId,
      vm: wide,
      disks: disksOf(wide).map(({ diskId, slot, sizeBytes }) => ({
        diskId,
        slot,
        sizeBytes,
        kind: "full" as const,
        storedBytes: 10,
      })),
    });
    const [point, archive] = [large(1), large(2, "archive-2")];
    tell([[0, [foundPoint(3)]]], { pointCount: 2, archiveCount: 1 });
    const [first = [], second = []] = [point, archive].map((each) => splitFoundPoint(each));
    let polls = 0;
    world.sabotage = async (name) => {
      if (name !== "read-import" || ++polls !== 2) return undefined;
      await sendPart(1, second, 0);
      for (const part of [2, 0, 1, 0]) await sendPart(0, first, part);
      for (const part of [2, 1]) await sendPart(1, second, part);
      return undefined;
    };
    expect([first.length, second.length]).toEqual([3, 3]);
    expect(await runImport()).toMatchObject({ state: "succeeded", import: { pointCount: 2 } });
    const stored = await world.context.records.points.get(point.pointId);
    expect(stored).toMatchObject({ vmId: wide.vmId, vm: wide, state: "available" });
    expect(stored.disks).toHaveLength(65);
    expect(await collect(world.context.records.archives.list())).toMatchObject([
      { id: "archive-2", value: { storedBytes: 650, point: { vm: wide } } },
    ]);
    expect(await collect(world.context.records.importPages(SESSION).list())).toEqual([]);
    expect(await collect(world.context.records.importParts(SESSION).list())).toEqual([]);
  });

  it("waits in vain for a large point of which a part never comes, or that is none", async () => {
    const point = { ...foundPoint(1), vm: createWideVm() };
    const texts = splitFoundPoint(point) ?? [];
    tell([], { pointCount: 2, archiveCount: 0 });
    let polls = 0;
    world.sabotage = async (name) => {
      if (name !== "read-import" || ++polls !== 1) return undefined;
      await sendPart(0, texts, 0);
      await sendPart(1, ["bm90IGEgcG9pbnQ="], 0);
      return undefined;
    };
    expect(await runImport()).toMatchObject({ state: "failed", error: { code: "TimedOut" } });
    expect(await points()).toEqual([]);
    expect(world.lines.filter((line) => line.includes("make no point"))).toHaveLength(1);
  });

  it("fails when a page never comes", async () => {
    tell([[0, [foundPoint(1)]]], { pointCount: 2, archiveCount: 0 });
    expect(await runImport()).toMatchObject({ state: "failed", error: { code: "TimedOut" } });
    expect(await points()).toHaveLength(1);
  });

  it("changes nothing that the index knows, but finds what was missing", async () => {
    const known = await insertPoint(world, 1);
    const missing = await insertPoint(world, 2, { state: "missing" });
    const before = await world.context.records.points.get(known);
    tell([[0, [foundPoint(1), foundPoint(2)]]], { pointCount: 2, archiveCount: 0 });
    expect((await runImport()).state).toBe("succeeded");
    expect(await world.context.records.points.get(known)).toEqual(before);
    expect((await world.context.records.points.get(missing)).state).toBe("available");
  });

  it("warns of points that the index knows in another repository", async () => {
    const known = await insertPoint(world, 1, { repositoryId: "r-2" });
    tell([[0, [foundPoint(1)]]], { pointCount: 1, archiveCount: 0 });
    expect(await runImport()).toMatchObject({ state: "warning" });
    expect((await world.context.records.points.get(known)).repositoryId).toBe("r-2");
  });

  it("takes pages of its last dispatch only", async () => {
    tell([], { pointCount: 0, archiveCount: 0 });
    await runImport();
    const [job] = world.jobs;
    const page = {
      kind: "points-found" as const,
      jobId: SESSION,
      page: 0,
      points: [foundPoint(1)],
    };
    await world.send(job!.workerId, { ...page, attempt: 2 });
    expect(await points()).toEqual([]);
    await world.send(job!.workerId, { ...page, attempt: 1 });
    expect(await points()).toHaveLength(1);
  });

  it("gives points that can be restored, and that no incremental builds on", async () => {
    tell([[0, [foundPoint(1)]]], { pointCount: 1, archiveCount: 0 });
    await runImport();
    world.work = createWorld().work;
    const fresh = createWorld();
    world.work = fresh.work;
    world.sabotage = () => undefined;
    const sessionId = `backup-${VM.vmId}-20261122T013000Z-manual`;
    await world.driver.run(ORCHESTRATORS.backupVm, sessionId, {
      sessionId,
      vmId: VM.vmId,
      vmResourceId: VM.resourceId,
      vmName: VM.name,
      repositoryId: "r-1",
      trigger: "manual",
      forceFull: false,
      settings: world.context.config.run,
    });
    const { plan } = await world.context.records.sessions.get(sessionId);
    expect(plan).toMatchObject([
      { kind: "full", reason: "the snapshot of the parent restore point is missing" },
      { kind: "full" },
    ]);
  });
});
