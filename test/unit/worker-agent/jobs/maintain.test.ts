import { randomBytes } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import type { MaintainJob } from "#core/protocol/job.ts";
import { commitVmPoint, createRepository, writeDiskPoint } from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import type { JobTools } from "#worker-agent/jobs/job-tools.ts";
import { runJob } from "#worker-agent/jobs/run-job.ts";
import { ProgressBoard } from "#worker-agent/progress-board.ts";
import { backupJob } from "../agent-fixture.ts";
import { MemoryDisks } from "./memory-disks.ts";
import { noKeyVault } from "../no-key-vault.ts";
import { noProbeNetwork } from "../no-probe-network.ts";

const signal = new AbortController().signal;
const encryption = { kind: "none" } as const;
const DAY_MS = 24 * 60 * 60 * 1000;

let nowMs: number;
let store: MemoryStore;
let tools: JobTools;

beforeEach(() => {
  nowMs = Date.parse("2026-11-01T00:00:00Z");
  store = new MemoryStore(() => new Date(nowMs));
  tools = {
    openStore: () => store,
    diskData: new MemoryDisks(),
    startMover: (diskCount) => new DataMover({ diskCount, threadCount: 1 }),
    keyVault: noKeyVault,
    probeNetwork: noProbeNetwork,
    random: (byteCount) => randomBytes(byteCount),
    clock: { now: () => new Date(nowMs), sleep: async () => undefined },
    sendEvent: async () => undefined,
  };
});

async function backUp(pointId: string): Promise<void> {
  const { random } = tools;
  const now = (): Date => new Date(nowMs);
  const options = { encryption, random, now: now() };
  const repository = await createRepository(store, options, signal);
  const content = randomBytes(64 * 1024);
  const allocated = async function* () {
    yield { offsetBytes: 0, lengthBytes: content.length };
  };
  const { reference } = await writeDiskPoint(
    repository,
    {
      diskId: "disk-1",
      pointId,
      sizeBytes: content.length,
      source: { read: async () => Uint8Array.from(content) },
      ranges: { kind: "full", allocated },
      random,
      now,
    },
    signal,
  );
  const disks = [{ lun: "os" as const, sizeBytes: content.length, diskPoint: reference }];
  const point = { vmId: "vm-1", pointId, takenAt: now(), vm: {}, disks, random, now };
  await commitVmPoint(repository, point, signal);
}

function maintainJob(changes: Partial<MaintainJob>): MaintainJob {
  const { version, jobId, attempt, workerId, expiresAt, repository } = backupJob();
  return {
    version,
    jobId,
    attempt,
    workerId,
    expiresAt,
    repository: { ...repository, encryption },
    kind: "maintain",
    expiredPoints: [],
    expiredArchives: [],
    expiredRetrievals: [],
    activeDiskIds: ["disk-1"],
    margins: { sessionSeconds: 7 * 86_400, markedSeconds: 86_400 },
    ...changes,
  };
}

async function maintain(changes: Partial<MaintainJob> = {}) {
  const result = await runJob(tools, maintainJob(changes), new ProgressBoard(), signal);
  if (result.kind !== "maintain") throw new Error("not maintenance");
  return result;
}

const point = (pointId: string) => ({ vmId: "vm-1", pointId });

test("expires points, marks their garbage, and deletes it in a later job", async () => {
  await backUp("p1");
  nowMs += DAY_MS;
  await backUp("p2");
  nowMs += 30 * DAY_MS;
  const first = await maintain({ expiredPoints: [point("p1"), point("p2")] });
  expect(first).toMatchObject({
    expiredPoints: [point("p1")],
    keptPoints: [{ ...point("p2"), reason: "newest-complete-point-of-an-active-disk" }],
    // The manifests of the VM and of its disk.
    deletedObjects: 2,
    skippedDisks: [],
  });
  expect(first.markedObjects).toBeGreaterThan(0);
  const again = await maintain({ expiredPoints: [point("p1")] });
  expect(again).toMatchObject({
    expiredPoints: [point("p1")],
    deletedObjects: 0,
    markedObjects: 0,
  });
  nowMs += DAY_MS;
  expect(await maintain()).toMatchObject({ deletedObjects: first.markedObjects, keptPoints: [] });
  expect([...store.objects.keys()].filter((name) => name.includes("/packs/"))).toHaveLength(1);
});

test("names retrievals that are gone, and archives that are not there, as done", async () => {
  await backUp("p1");
  const result = await maintain({
    expiredArchives: [{ vmId: "vm-1", archiveId: "a1" }],
    expiredRetrievals: ["r1"],
  });
  expect(result).toMatchObject({ expiredArchiveIds: ["a1"], expiredRetrievalIds: ["r1"] });
});

test("tells why it left a disk alone", async () => {
  await backUp("p1");
  nowMs += 30 * DAY_MS;
  await store.lock("disks/disk-1/lock", signal);
  expect((await maintain()).skippedDisks).toEqual([
    { diskId: "disk-1", reason: "a backup or another collection holds its lock" },
  ]);
});
