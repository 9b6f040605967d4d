import { randomBytes } from "node:crypto";
import { beforeAll, beforeEach, expect, test } from "vitest";
import type { BackupJob, BackupPartJob } from "#core/protocol/job.ts";
import { DISK_PART_ALIGNMENT_BYTES, type DiskPart } from "#core/model/disk-part.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { DiskPointReader, openRepository, readVmPoint } from "#core/repository/index.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import type { JobTools } from "#worker-agent/jobs/job-tools.ts";
import { runJob } from "#worker-agent/jobs/run-job.ts";
import { ProgressBoard } from "#worker-agent/progress-board.ts";
import { backupJob } from "../agent-fixture.ts";
import { MemoryDisks } from "./memory-disks.ts";
import { noKeyVault } from "../no-key-vault.ts";
import { noProbeNetwork } from "../no-probe-network.ts";

const MIB = 1024 * 1024;
const SIZE_BYTES = DISK_PART_ALIGNMENT_BYTES + 3 * MIB;
const PARTS: readonly DiskPart[] = [
  { offsetBytes: 0, lengthBytes: DISK_PART_ALIGNMENT_BYTES },
  { offsetBytes: DISK_PART_ALIGNMENT_BYTES, lengthBytes: 3 * MIB },
];
const signal = new AbortController().signal;
const encryption = { kind: "none" } as const;
const disk = { diskId: "a", name: "data", sizeBytes: SIZE_BYTES, sas: "https://p1/a" };

let content: Buffer;
let store: MemoryStore;
let disks: MemoryDisks;

beforeAll(() => {
  content = Buffer.alloc(SIZE_BYTES);
  for (const at of [0, 100 * MIB, 255 * MIB, 257 * MIB]) content.set(randomBytes(MIB), at);
});

beforeEach(() => {
  store = new MemoryStore();
  disks = new MemoryDisks();
  disks.set(disk.sas, content);
});

/** Each job runs on a worker of its own. */
function toolsOfWorker(): JobTools {
  return {
    openStore: () => store,
    diskData: disks,
    startMover: (diskCount) => new DataMover({ diskCount, threadCount: 1 }),
    sendEvent: async () => undefined,
    keyVault: noKeyVault,
    probeNetwork: noProbeNetwork,
    random: (byteCount) => randomBytes(byteCount),
    clock: { now: () => new Date("2026-11-22T00:00:00Z"), sleep: async () => undefined },
  };
}

function partJob(part: DiskPart): BackupPartJob {
  const { version, jobId, attempt, workerId, expiresAt, repository } = backupJob();
  const head = { version, jobId, attempt, workerId, expiresAt };
  return {
    ...head,
    kind: "backup-part",
    pointId: "p1",
    repository: { ...repository, encryption },
    disk,
    part,
  };
}

function joiningJob(): BackupJob {
  const base = backupJob();
  const repository = { ...base.repository, encryption };
  const task = { ...disk, slot: "os" as const, parts: [...PARTS] };
  return { ...base, repository, pointId: "p1", disks: [task], unchangedSampleCount: 0 };
}

async function join() {
  const board = new ProgressBoard();
  const result = await runJob(toolsOfWorker(), joiningJob(), board, signal);
  if (result.kind !== "backup") throw new Error("not a backup");
  return { result, news: board.takeNews() };
}

async function requireWhole(): Promise<void> {
  const repository = await openRepository(store, encryption, signal);
  const { vm } = joiningJob();
  const point = await readVmPoint(repository, vm.vmId, "p1", signal);
  const reader = await DiskPointReader.open(repository, point.disks[0]!.diskPoint, signal);
  const found = Buffer.alloc(SIZE_BYTES);
  for await (const extent of reader.extents(signal)) {
    found.set(await reader.readBlocks(extent, signal), extent.offsetBytes);
  }
  expect(found.equals(content)).toBe(true);
}

test("two workers read a disk, a third one joins what they wrote without reading it", async () => {
  for (const part of PARTS) {
    const board = new ProgressBoard();
    const before = disks.readBytes;
    const result = await runJob(toolsOfWorker(), partJob(part), board, signal);
    expect(result).toMatchObject({ kind: "backup-part", diskId: "a", part });
    expect(disks.readBytes - before).toBe(part.lengthBytes);
    const { lengthBytes } = part;
    expect(board.takeNews()).toEqual([
      expect.objectContaining({ diskId: "a", doneBytes: lengthBytes, totalBytes: lengthBytes }),
    ]);
  }
  const before = disks.readBytes;
  const { result, news } = await join();
  expect(disks.readBytes).toBe(before);
  expect(result.disks).toEqual([
    expect.objectContaining({ kind: "full", readBytes: SIZE_BYTES, partCount: 2, warnings: [] }),
  ]);
  expect(news).toEqual([expect.objectContaining({ doneBytes: SIZE_BYTES, readBytes: SIZE_BYTES })]);
  await requireWhole();
});

test("the same part again reads nothing", async () => {
  await runJob(toolsOfWorker(), partJob(PARTS[0]!), new ProgressBoard(), signal);
  const before = disks.readBytes;
  await runJob(toolsOfWorker(), partJob(PARTS[0]!), new ProgressBoard(), signal);
  expect(disks.readBytes).toBe(before);
});

test("a part that is missing costs one worker's time and a warning, not the backup", async () => {
  await runJob(toolsOfWorker(), partJob(PARTS[1]!), new ProgressBoard(), signal);
  const { result } = await join();
  expect(result.disks[0]?.partCount).toBeUndefined();
  expect(result.disks[0]?.warnings).toEqual([expect.stringMatching(/is missing.*One worker/s)]);
  await requireWhole();
});

test("a snapshot of another size is refused", async () => {
  const job = { ...partJob(PARTS[0]!), disk: { ...disk, sizeBytes: SIZE_BYTES + 512 } };
  await expect(runJob(toolsOfWorker(), job, new ProgressBoard(), signal)).rejects.toMatchObject({
    code: "DiskSizeMismatch",
  });
});
