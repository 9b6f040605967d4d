/** A restore that is dispatched again goes on where its disks are written, when they still are. */
import { beforeEach, describe, expect, it } from "vitest";
import { SESSION_TAG } from "#core/backup/snapshot-tags.ts";
import type { Job } from "#core/protocol/job.ts";
import { ORCHESTRATORS } from "#functions/orchestrators/names.ts";
import { insertPoint, RETAINED_VM as VM } from "./retained-points.ts";
import { addRepository, createWorld, type World } from "./test-world.ts";

const SESSION = "restore-20261122T020000Z-00000001";
const [OS, DATA] = [VM.osDisk, VM.dataDisks[0]!];

let world: World;

beforeEach(async () => {
  world = createWorld();
  world.knowsNetwork = true;
  world.azure.vms.set(VM.resourceId, VM);
  await addRepository(world);
  const restorePointId = await insertPoint(world, 0);
  await world.context.records.sessions.insert(SESSION, {
    sessionId: SESSION,
    type: "restore",
    state: "running",
    trigger: "manual",
    startedAt: world.context.clock().toISOString(),
    repositoryId: "r-1",
    restorePointId,
    restoreRequest: { restorePointId, vmName: "copy" },
  });
});

/** Each dispatch tells these marks and fails, until there are no more: then it succeeds. */
async function restore(
  dispatches: readonly Readonly<Record<string, number>>[],
  between: () => void = () => undefined,
): Promise<void> {
  const succeed = world.work;
  const onMessage = world.azure.onMessage;
  let dispatch = 0;
  world.work = () => undefined;
  world.azure.onMessage = async (queue, text) => {
    await onMessage(queue, text);
    const job = world.jobs.at(-1)!;
    const { jobId, attempt, workerId } = job;
    const marks = dispatches[dispatch++];
    if (marks === undefined) {
      await world.send(workerId, succeed(job)!);
      return;
    }
    await world.send(workerId, {
      kind: "progress",
      jobId,
      attempt,
      disks: Object.entries(marks).map(([diskId, writtenToBytes]) => ({
        diskId,
        writtenToBytes,
        doneBytes: writtenToBytes,
        totalBytes: OS.sizeBytes,
        readBytes: 0,
        storedBytes: 0,
      })),
    });
    const error = { code: "Throttled", message: "busy", retry: "backoff" } as const;
    await world.send(workerId, { kind: "job-failed", jobId, attempt, error });
    between();
  };
  const settings = world.context.config.run;
  await world.driver.run(ORCHESTRATORS.restoreVm, SESSION, { sessionId: SESSION, settings });
}

/** Marks that each dispatch was given, OS disk first. */
const given = (): (readonly number[])[] =>
  world.jobs.map((job: Job) =>
    job.kind === "restore" ? job.disks.map(({ writtenToBytes }) => writtenToBytes) : [],
  );
const targets = () => world.azure.ofType("disk").filter(({ tags }) => SESSION_TAG in tags);

describe("the next dispatch of a restore", () => {
  it("begins at the marks that the one before told, and never before them", async () => {
    await restore([{ [OS.diskId]: 4096, [DATA.diskId]: 8192 }, { [OS.diskId]: 1024 }]);
    expect(given()).toEqual([
      [0, 0],
      [4096, 8192],
      [4096, 8192],
    ]);
    const session = await world.context.records.sessions.get(SESSION);
    expect(session.state).toBe("succeeded");
  });

  it("begins anew on a disk that somebody made again", async () => {
    await restore([{ [OS.diskId]: 4096, [DATA.diskId]: 8192 }], () => {
      const [disk] = targets();
      world.azure.resources.set(disk!.id, { ...disk!, tags: {} });
    });
    expect(given()[1]).toEqual([0, 8192]);
  });

  it("begins anew on a disk that waits for its upload, or has another size", async () => {
    const marks = { [OS.diskId]: 4096, [DATA.diskId]: 8192 };
    let failures = 0;
    await restore([marks, marks], () => {
      const [os, data] = targets();
      // Revoking seals a disk: what waits for an upload was made after that.
      world.azure.liveSas.delete(os!.id);
      os!.diskState = "ReadyToUpload";
      if (failures++ > 0) world.azure.resources.set(data!.id, { ...data!, sizeBytes: 1 });
    });
    expect(given()).toEqual([
      [0, 0],
      [0, 8192],
      [0, 0],
    ]);
  });

  it("believes no mark beyond the disk's end", async () => {
    await restore([{ [OS.diskId]: OS.sizeBytes * 2 }]);
    expect(given()[1]).toEqual([OS.sizeBytes, 0]);
  });
});
