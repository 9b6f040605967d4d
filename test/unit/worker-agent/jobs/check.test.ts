import { randomBytes } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import type { CheckJob } from "#core/protocol/job.ts";
import {
  CHECK_FINDINGS_MAX,
  EVENT_PAGE_BYTES_MAX,
  checkResultSchema,
  workerEventBodySchema,
  type WorkerEventBody,
} from "#core/protocol/worker-event.ts";
import { commitVmPoint, openRepository, readVmPoint } from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import type { JobTools } from "#worker-agent/jobs/job-tools.ts";
import { runJob } from "#worker-agent/jobs/run-job.ts";
import { ProgressBoard } from "#worker-agent/progress-board.ts";
import { backupJob } from "../agent-fixture.ts";
import { noKeyVault } from "../no-key-vault.ts";
import { noProbeNetwork } from "../no-probe-network.ts";
import { MemoryDisks } from "./memory-disks.ts";

const BLOCK_BYTES = 64 * 1024;
const signal = new AbortController().signal;
const encryption = { kind: "none" } as const;

let store: MemoryStore;
let disks: MemoryDisks;
let tools: JobTools;
let sent: WorkerEventBody[];

beforeEach(() => {
  store = new MemoryStore();
  sent = [];
  disks = new MemoryDisks();
  tools = {
    openStore: () => store,
    diskData: disks,
    startMover: (diskCount) => new DataMover({ diskCount, threadCount: 1 }),
    keyVault: noKeyVault,
    probeNetwork: noProbeNetwork,
    random: (byteCount) => randomBytes(byteCount),
    clock: { now: () => new Date("2026-11-22T00:00:00Z"), sleep: async () => undefined },
    sendEvent: async (body) => {
      sent.push(workerEventBodySchema.parse(body));
    },
  };
});

async function run(job: Parameters<typeof runJob>[1]) {
  return runJob(tools, job, new ProgressBoard(), signal);
}

async function backUp(pointId: string, content: Buffer, parentPointId?: string) {
  const job = backupJob();
  const sas = `https://${pointId}/a`;
  disks.set(sas, content);
  disks.changes.set(sas, []);
  const base = parentPointId && { base: { sas: `https://${parentPointId}/a`, parentPointId } };
  const { length: sizeBytes } = content;
  const task = { diskId: "a", name: "a", slot: "os" as const, sizeBytes, sas, ...base };
  const repository = { ...job.repository, encryption };
  return run({ ...job, repository, pointId, disks: [task], unchangedSampleCount: 0 });
}

async function check(changes: Partial<CheckJob> = {}) {
  const { version, jobId, attempt, workerId, expiresAt, repository } = backupJob();
  const common = { version, jobId, attempt, workerId, expiresAt };
  const target = { ...repository, encryption };
  const level = "complete" as const;
  const result = await run({
    ...common,
    repository: target,
    kind: "check",
    level,
    samplePercent: 5,
    ...changes,
  });
  return checkResultSchema.parse(result);
}

function packName(): string {
  const name = [...store.objects.keys()].find((each) => each.endsWith(".pack"));
  if (name === undefined) throw new Error("no pack");
  return name;
}

function flip(name: string, position: number): void {
  const object = store.objects.get(name);
  if (object === undefined) throw new Error(`no object ${name}`);
  const bytes = Buffer.from(object.bytes);
  bytes.writeUInt8(bytes.readUInt8(position) ^ 1, position);
  store.objects.set(name, { ...object, bytes });
}

test("verifies every block on the mover's threads and finds nothing", async () => {
  await backUp("p1", randomBytes(3 * BLOCK_BYTES));
  expect(await check()).toMatchObject({
    kind: "check",
    level: "complete",
    checkedPoints: 1,
    verifiedBlocks: 3,
    findingCount: 0,
    findings: [],
    affectedPointCount: 0,
  });
  expect(sent).toEqual([]);
});

test("names the blocks of a bad frame; the next backup heals it and says so", async () => {
  const content = randomBytes(3 * BLOCK_BYTES);
  await backUp("p1", content);
  flip(packName(), 70);
  const { findings } = await check();
  expect(findings).toMatchObject([
    {
      kind: "unreadable-block",
      object: packName(),
      diskId: "a",
      blocks: { first: 0, count: 3 },
      affectedPoints: [{ vmId: "vm-1", pointId: "p1" }],
    },
  ]);
  const healed = await backUp("p2", content, "p1");
  expect(healed).toMatchObject({
    disks: [{ kind: "incremental", readBytes: 3 * BLOCK_BYTES }],
  });
  expect(healed).toHaveProperty("disks[0].warnings[0]", expect.stringContaining("3 blocks"));
  const again = await check();
  expect(again.findings.flatMap(({ affectedPoints }) => affectedPoints)).toEqual([
    { vmId: "vm-1", pointId: "p1" },
  ]);
});

test("fits its findings into one queue message, those that harm restores first", async () => {
  await backUp("p1", randomBytes(BLOCK_BYTES));
  const longName = "x".repeat(600);
  for (let each = 0; each < 100; each++) {
    await store.create(`${longName}-${each}`, Buffer.from("x"), signal);
  }
  store.objects.delete(packName());
  const result = await check({ level: "presence" });
  expect(result.findingCount).toBe(101);
  expect(result.findings[0]).toMatchObject({ kind: "missing" });
  expect(result.findings.length).toBeLessThan(CHECK_FINDINGS_MAX);
  expect(JSON.stringify(result).length).toBeLessThan(30 * 1024);
});

test("tells every restore point that one lost pack affects, once, in pages", async () => {
  await backUp("p0", randomBytes(BLOCK_BYTES));
  const repository = await openRepository(store, encryption, signal);
  const { disks } = await readVmPoint(repository, "vm-1", "p0", signal);
  const pointIds = Array.from({ length: 300 }, (_, each) => `p${each}-${"x".repeat(120)}`);
  for (const pointId of pointIds) {
    const now = () => new Date(0);
    const point = { vmId: "vm-1", pointId, takenAt: now(), vm: {}, disks };
    await commitVmPoint(repository, { ...point, random: randomBytes, now }, signal);
  }
  store.objects.delete(packName());
  const result = await check({ level: "presence" });
  expect(result).toMatchObject({ findingCount: 1, affectedPointCount: pointIds.length + 1 });
  expect(result.findings[0]?.affectedPoints).toHaveLength(10);
  expect(result.findings[0]?.message).toContain("Affects 291 more restore points.");
  const pages = sent.filter((body) => body.kind === "points-affected");
  expect(pages.map(({ page }) => page)).toEqual([0, 1]);
  for (const page of pages) {
    const asItTravels = JSON.stringify(JSON.stringify(page));
    expect(asItTravels.length).toBeLessThan(EVENT_PAGE_BYTES_MAX + 1024);
  }
  const told = pages.flatMap(({ points }) => points.map(({ pointId }) => pointId));
  expect(told.toSorted()).toEqual(["p0", ...pointIds].toSorted());
});

test("fails with the answer of the repository when that cannot be opened", async () => {
  await expect(check()).rejects.toMatchObject({ code: "RepositoryNotFound" });
});
