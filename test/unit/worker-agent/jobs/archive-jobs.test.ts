import { randomBytes } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import type { BackupJob, Job, RestoreJob } from "#core/protocol/job.ts";
import { jobResultSchema } from "#core/protocol/worker-event.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import type { JobTools } from "#worker-agent/jobs/job-tools.ts";
import { runJob } from "#worker-agent/jobs/run-job.ts";
import { ProgressBoard } from "#worker-agent/progress-board.ts";
import { backupJob } from "../agent-fixture.ts";
import { noKeyVault } from "../no-key-vault.ts";
import { noProbeNetwork } from "../no-probe-network.ts";
import { MemoryDisks } from "./memory-disks.ts";

const MIB = 1024 * 1024;
const BLOCK_BYTES = 64 * 1024;
const signal = new AbortController().signal;
const base = backupJob();
const common = {
  version: base.version,
  jobId: base.jobId,
  attempt: 1,
  workerId: base.workerId,
  expiresAt: base.expiresAt,
  repository: { ...base.repository, encryption: { kind: "none" as const } },
};
const archiveJob: Job = {
  ...common,
  kind: "archive",
  vmId: "vm-1",
  pointId: "p1",
  archiveId: "arc-1",
};
const contents = {
  a: Buffer.concat([randomBytes(5 * MIB), Buffer.alloc(2 * MIB), randomBytes(MIB + 512)]),
  b: randomBytes(MIB),
};

let store: MemoryStore;
let disks: MemoryDisks;
let board: ProgressBoard;
let tools: JobTools;
let sleepCount: number;

beforeEach(async () => {
  const now = () => new Date("2026-11-22T00:00:00Z");
  store = new MemoryStore(now);
  disks = new MemoryDisks();
  board = new ProgressBoard();
  sleepCount = 0;
  tools = {
    openStore: () => store,
    diskData: disks,
    startMover: (diskCount) => new DataMover({ diskCount, threadCount: 1 }),
    keyVault: noKeyVault,
    probeNetwork: noProbeNetwork,
    random: (byteCount) => randomBytes(byteCount),
    clock: {
      now,
      sleep: async () => {
        sleepCount++;
        store.breakLocks();
      },
    },
    sendEvent: async () => undefined,
  };
  await run(backUpJob());
  board.takeNews();
});

function backUpJob(): BackupJob {
  const tasks = Object.entries(contents).map(([diskId, content], position) => {
    const sas = `https://p1/${diskId}`;
    disks.set(sas, content);
    const slot = position === 0 ? ("os" as const) : position - 1;
    return { diskId, name: diskId, slot, sizeBytes: content.length, sas };
  });
  return {
    ...base,
    ...common,
    kind: "backup",
    pointId: "p1",
    disks: tasks,
    unchangedSampleCount: 0,
  };
}

function retrieveJob(...diskIds: string[]): Job {
  const names = { vmId: "vm-1", archiveId: "arc-1", retrievalId: "ret-1" };
  return { ...common, kind: "retrieve", ...names, diskIds, tier: "hot", priority: "high" };
}

function restoreJob(
  source: RestoreJob["source"],
  writtenToBytes: Partial<Record<keyof typeof contents, number>>,
): RestoreJob {
  const targets = Object.entries(writtenToBytes).map(([diskId, toBytes]) => ({
    diskId,
    sizeBytes: contents[diskId === "a" ? "a" : "b"].length,
    writtenToBytes: toBytes,
    sas: `https://target/${diskId}`,
  }));
  return { ...common, kind: "restore", vmId: "vm-1", pointId: "p1", source, disks: targets };
}

async function run(job: Job) {
  const result = await runJob(tools, job, board, signal);
  // Every result fits into the event that carries it.
  expect(jobResultSchema.parse(result)).toEqual(result);
  return result;
}

test("archives, retrieves and restores bit by bit, without the restore point", async () => {
  const archived = await run(archiveJob);
  expect(archived).toMatchObject({ kind: "archive", archiveId: "arc-1", objectCount: 2 });
  expect(archived.kind === "archive" && archived.disks).toMatchObject([
    { diskId: "a", sizeBytes: contents.a.length },
    { diskId: "b", sizeBytes: contents.b.length },
  ]);
  expect(board.takeNews()).toMatchObject([
    { diskId: "a", doneBytes: contents.a.length, totalBytes: contents.a.length },
    { diskId: "b", doneBytes: contents.b.length },
  ]);
  for (const name of store.objects.keys()) {
    if (/^(disks|vms)\//.test(name)) store.objects.delete(name);
  }
  const source = { kind: "archive", archiveId: "arc-1", retrievalId: "ret-1" } as const;
  const started = await run(retrieveJob("a", "b"));
  expect(started).toMatchObject({ kind: "retrieve", objectCount: 2, pendingObjects: 2 });
  const early = run(restoreJob(source, { a: 0 }));
  await expect(early).rejects.toMatchObject({ code: "ArchiveNotRetrieved", retry: "backoff" });
  store.finishRetrievals();
  expect(await run(retrieveJob("a", "b"))).toMatchObject({ pendingObjects: 0 });
  await run(restoreJob(source, { a: 0, b: 0 }));
  expect(disks.get("https://target/a").equals(contents.a)).toBe(true);
  expect(disks.get("https://target/b").equals(contents.b)).toBe(true);
});

test("the same archive job again gives the same result, and waits for its predecessor's lock", async () => {
  const first = await run(archiveJob);
  await store.lock("archives/vm-1/lock", signal);
  expect(await run({ ...archiveJob, attempt: 2 })).toEqual(first);
  expect(sleepCount).toBe(1);
});

test("refuses a restore from an archive that does not hold the disk", async () => {
  await run(archiveJob);
  const source = { kind: "archive", archiveId: "arc-1", retrievalId: "ret-1" } as const;
  const job = restoreJob(source, { a: 0 });
  const unknown = { ...job, disks: job.disks.map((disk) => ({ ...disk, diskId: "z" })) };
  await expect(run(unknown)).rejects.toMatchObject({ code: "DiskNotInPoint" });
});

/**
 * Target disks that hold `before` when they are opened, and note what is written to them. The
 * worker dies at a write; what it had written stays, as on a disk in Azure.
 */
function openTargets(before: Buffer, diesAfterWrites = Number.POSITIVE_INFINITY) {
  const writes: { offsetBytes: number; lengthBytes: number }[] = [];
  const diskData: JobTools["diskData"] = {
    openReader: (sas) => disks.openReader(sas),
    openWriter: (sas, sizeBytes) => {
      const writer = disks.openWriter(sas, sizeBytes);
      before.copy(disks.get(sas));
      return {
        ...writer,
        write: async (offsetBytes, bytes, inner) => {
          if (writes.length >= diesAfterWrites) throw new HoldfastError("Dead", "dead");
          writes.push({ offsetBytes, lengthBytes: bytes.length });
          await writer.write(offsetBytes, bytes, inner);
        },
      };
    },
  };
  tools = { ...tools, diskData };
  board = new ProgressBoard();
  return writes;
}

test("what a dead restore reports as written is on the disk", async () => {
  for (let diesAfterWrites = 0; diesAfterWrites < 4; diesAfterWrites++) {
    openTargets(Buffer.alloc(0), diesAfterWrites);
    const job = restoreJob({ kind: "point" }, { a: 0 });
    await expect(run(job)).rejects.toMatchObject({ code: "Dead" });
    const reported = board.takeNews()?.[0]?.writtenToBytes ?? -1;
    expect(reported).toBeGreaterThanOrEqual(0);
    const left = disks.get("https://target/a");
    expect(left.subarray(0, reported).equals(contents.a.subarray(0, reported))).toBe(true);
  }
});

test.each([["point"], ["archive"]] as const)(
  "a restore from a %s goes on where it is told, and writes nothing before",
  async (kind) => {
    await run(archiveJob);
    await run(retrieveJob("a"));
    store.finishRetrievals();
    const archive = { kind: "archive", archiveId: "arc-1", retrievalId: "ret-1" } as const;
    const source = kind === "point" ? { kind } : archive;
    const sizeBytes = contents.a.length;
    // On a block, inside one, in zeros, at the end.
    for (const from of [BLOCK_BYTES, 2 * MIB + 700, 6 * MIB, sizeBytes]) {
      const writes = openTargets(contents.a.subarray(0, from));
      const result = await run(restoreJob(source, { a: from }));
      const firstBlock = Math.floor(from / BLOCK_BYTES) * BLOCK_BYTES;
      for (const { offsetBytes } of writes) expect(offsetBytes).toBeGreaterThanOrEqual(firstBlock);
      const written = writes.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
      expect(result.kind === "restore" && result.disks[0]?.writtenBytes).toBe(written);
      expect(disks.get("https://target/a").equals(contents.a)).toBe(true);
      expect(disks.finished).toContain("https://target/a");
      const ended = { doneBytes: sizeBytes, writtenToBytes: sizeBytes };
      expect(board.takeNews()).toMatchObject([ended]);
    }
  },
);
