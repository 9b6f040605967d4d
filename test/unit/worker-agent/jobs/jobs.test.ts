import { randomBytes } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import type { BackupJob, RestoreJob } from "#core/protocol/job.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import type { JobTools } from "#worker-agent/jobs/job-tools.ts";
import { runJob } from "#worker-agent/jobs/run-job.ts";
import { ProgressBoard } from "#worker-agent/progress-board.ts";
import { backupJob } from "../agent-fixture.ts";
import { MemoryDisks } from "./memory-disks.ts";
import { noKeyVault } from "../no-key-vault.ts";
import { noProbeNetwork } from "../no-probe-network.ts";

const MIB = 1024 * 1024;
const BLOCK_BYTES = 64 * 1024;
const signal = new AbortController().signal;
const encryption = { kind: "none" } as const;

let store: MemoryStore;
let disks: MemoryDisks;
let board: ProgressBoard;
let tools: JobTools;

beforeEach(() => {
  store = new MemoryStore();
  disks = new MemoryDisks();
  board = new ProgressBoard();
  tools = {
    openStore: () => store,
    diskData: disks,
    startMover: (diskCount) => new DataMover({ diskCount, threadCount: 1 }),
    sendEvent: async () => undefined,
    keyVault: noKeyVault,
    probeNetwork: noProbeNetwork,
    random: (byteCount) => randomBytes(byteCount),
    clock: { now: () => new Date("2026-11-22T00:00:00Z"), sleep: async () => undefined },
  };
});

/** A job over disks `a`, `b`, ... whose contents lie behind `https://<point>/<disk>`. */
function jobOf(
  pointId: string,
  contents: Record<string, Buffer>,
  parentPointId?: string,
): BackupJob {
  const base = backupJob();
  const tasks = Object.entries(contents).map(([diskId, content], index) => {
    const sas = `https://${pointId}/${diskId}`;
    disks.set(sas, content);
    return {
      diskId,
      name: diskId,
      slot: index === 0 ? ("os" as const) : index - 1,
      sizeBytes: content.length,
      sas,
      ...(parentPointId !== undefined && {
        base: { sas: `https://${parentPointId}/${diskId}`, parentPointId },
      }),
    };
  });
  const repository = { ...base.repository, encryption };
  return { ...base, repository, pointId, disks: tasks, unchangedSampleCount: 0 };
}

function restoreOf(pointId: string, sizes: Record<string, number>): RestoreJob {
  const { version, jobId, attempt, workerId, expiresAt, repository } = backupJob();
  const targets = Object.entries(sizes).map(([diskId, sizeBytes]) => ({
    diskId,
    sizeBytes,
    writtenToBytes: 0,
    sas: `https://target/${diskId}`,
  }));
  return {
    version,
    jobId,
    attempt,
    workerId,
    expiresAt,
    vmId: "vm-1",
    pointId,
    kind: "restore",
    source: { kind: "point" },
    repository: { ...repository, encryption },
    disks: targets,
  };
}

async function backUp(job: BackupJob) {
  const result = await runJob(tools, job, board, signal);
  if (result.kind !== "backup") throw new Error("not a backup");
  return result;
}

test("backs up all disks and restores them bit by bit", async () => {
  const contents = { a: randomBytes(3 * MIB), b: Buffer.alloc(MIB), c: randomBytes(512) };
  const result = await backUp(jobOf("p1", contents));
  expect(result.disks.map(({ diskId, kind }) => [diskId, kind])).toEqual([
    ["a", "full"],
    ["b", "full"],
    ["c", "full"],
  ]);
  expect(result.disks[0]).toMatchObject({ sizeBytes: 3 * MIB, reason: "no base to compare with" });

  const sizes = { a: 3 * MIB, b: MIB, c: MIB };
  const restored = await runJob(tools, restoreOf("p1", sizes), board, signal);
  expect(restored.kind).toBe("restore");
  for (const [diskId, content] of Object.entries(contents)) {
    const target = disks.get(`https://target/${diskId}`);
    expect(target.subarray(0, content.length).equals(content)).toBe(true);
    expect(target.subarray(content.length).every((byte) => byte === 0)).toBe(true);
  }
  expect(disks.finished.toSorted()).toEqual(Object.keys(sizes).map((id) => `https://target/${id}`));
  expect(disks.openSas).toEqual([]);
});

test("an incremental reads the changed blocks only", async () => {
  const before = randomBytes(4 * MIB);
  await backUp(jobOf("p1", { a: before }));
  const after = Buffer.from(before);
  after.fill(7, MIB, MIB + 512);
  const job = jobOf("p2", { a: after }, "p1");
  disks.changes.set("https://p2/a", [{ kind: "data", offsetBytes: MIB, lengthBytes: 512 }]);
  disks.readBytes = 0;
  const { disks: results } = await backUp(job);
  expect(results).toMatchObject([
    { kind: "incremental", reason: "changes since the parent point" },
  ]);
  expect(disks.readBytes).toBe(BLOCK_BYTES);

  await runJob(tools, restoreOf("p2", { a: 4 * MIB }), board, signal);
  expect(disks.get("https://target/a").equals(after)).toBe(true);
});

test("opens what asks for a token with one, and nothing else", async () => {
  const asked: [string, boolean | undefined][] = [];
  const diskData: JobTools["diskData"] = {
    openReader: (sas, options) => {
      asked.push([sas, options?.needsToken]);
      return disks.openReader(sas);
    },
    openWriter: (sas, sizeBytes, options) => {
      asked.push([sas, options?.needsToken]);
      return disks.openWriter(sas, sizeBytes);
    },
  };
  tools = { ...tools, diskData };
  const secured = <Task extends { diskId: string }>(tasks: Task[]): Task[] =>
    tasks.map((task) => (task.diskId === "a" ? { ...task, needsToken: true } : task));
  const backup = jobOf("p1", { a: randomBytes(MIB), b: randomBytes(MIB) });
  await backUp({ ...backup, disks: secured(backup.disks) });
  const job = restoreOf("p1", { a: MIB, b: MIB });
  await runJob(tools, { ...job, disks: secured(job.disks) }, board, signal);
  expect(asked.toSorted()).toEqual([
    ["https://p1/a", true],
    ["https://p1/b", undefined],
    ["https://target/a", true],
    ["https://target/b", undefined],
  ]);
});

test("reads everything and says why when Azure gives no diff", async () => {
  const content = randomBytes(MIB);
  await backUp(jobOf("p1", { a: content }));
  const { disks: results } = await backUp(jobOf("p2", { a: content }, "p1"));
  expect(results).toMatchObject([{ kind: "full", reason: "Azure gave no list of changes" }]);
});

test("reads everything and says why when the parent point is gone", async () => {
  const job = jobOf("p2", { a: randomBytes(MIB) }, "p1");
  const { disks: results } = await backUp(job);
  expect(results).toMatchObject([
    { kind: "full", reason: "the parent point is not in the repository" },
  ]);
});

test("a change that the hint left out is found by a sample, reported and stored", async () => {
  const before = randomBytes(4 * MIB);
  await backUp(jobOf("p1", { a: before }));
  const after = randomBytes(4 * MIB);
  // So many samples that all of the disk is looked at, whatever the dice say.
  const job = { ...jobOf("p2", { a: after }, "p1"), unchangedSampleCount: 4096 };
  disks.changes.set("https://p2/a", []);
  const { disks: results } = await backUp(job);
  expect(results).toMatchObject([{ kind: "full", reason: "change hint was wrong" }]);
  expect(results[0]?.warnings).toHaveLength(1);
  await runJob(tools, restoreOf("p2", { a: 4 * MIB }), board, signal);
  expect(disks.get("https://target/a").equals(after)).toBe(true);
});

test("the same job again reads nothing and gives the same result", async () => {
  const job = jobOf("p1", { a: randomBytes(MIB), b: randomBytes(MIB) });
  const first = await backUp(job);
  disks.readBytes = 0;
  const second = await backUp({ ...job, attempt: 2 });
  expect(disks.readBytes).toBe(0);
  const figures = ({ disks: results }: typeof first) =>
    results.map(({ diskId, kind, storedBytes, sizeBytes }) => [
      diskId,
      kind,
      storedBytes,
      sizeBytes,
    ]);
  expect(figures(second)).toEqual(figures(first));
});

test("a failed disk leaves no restore point; the next attempt keeps what was stored", async () => {
  const job = jobOf("p1", { a: randomBytes(MIB), b: randomBytes(MIB) });
  disks.failingSas = "https://p1/b";
  await expect(backUp(job)).rejects.toMatchObject({ code: "ServerBusy" });
  const restore = runJob(tools, restoreOf("p1", { a: MIB }), board, signal);
  await expect(restore).rejects.toMatchObject({ code: "VmPointNotFound" });
  expect(disks.openSas).not.toContain("https://p1/a");
  disks.failingSas = "";
  expect((await backUp({ ...job, attempt: 2 })).disks).toHaveLength(2);
});

test("progress ends at the size of each disk", async () => {
  await backUp(jobOf("p1", { a: randomBytes(2 * MIB) }));
  expect(board.takeNews()).toMatchObject([{ doneBytes: 2 * MIB, totalBytes: 2 * MIB }]);
  expect(board.takeNews()).toBeUndefined();
});

test("refuses a snapshot of another size than the job says", async () => {
  const job = jobOf("p1", { a: randomBytes(MIB) });
  disks.set("https://p1/a", randomBytes(2 * MIB));
  await expect(backUp(job)).rejects.toMatchObject({ code: "DiskSizeMismatch" });
});

test("refuses a restore onto a smaller disk, or of a disk that the point does not hold", async () => {
  await backUp(jobOf("p1", { a: randomBytes(MIB) }));
  const small = runJob(tools, restoreOf("p1", { a: MIB / 2 }), board, signal);
  await expect(small).rejects.toMatchObject({ code: "TargetDiskTooSmall" });
  const unknown = runJob(tools, restoreOf("p1", { z: MIB }), board, signal);
  await expect(unknown).rejects.toMatchObject({ code: "DiskNotInPoint" });
});
