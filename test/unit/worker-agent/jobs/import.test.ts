import { randomBytes } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { HoldfastError } from "#core/lib/errors.ts";
import type { ImportJob } from "#core/protocol/job.ts";
import {
  EVENT_PAGE_BYTES_MAX,
  workerEventBodySchema,
  type WorkerEventBody,
} from "#core/protocol/worker-event.ts";
import { FOUND_POINT_CHARS_MAX, joinFoundPoint } from "#core/protocol/point-parts.ts";
import type { VmConfiguration } from "#core/model/vm-configuration.ts";
import {
  archiveVmPoint,
  commitVmPoint,
  objectNames,
  openRepository,
  readVmPoint,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import type { JobTools } from "#worker-agent/jobs/job-tools.ts";
import { runJob } from "#worker-agent/jobs/run-job.ts";
import { ProgressBoard } from "#worker-agent/progress-board.ts";
import { createWideVm } from "../../functions/test-vm.ts";
import { backupJob } from "../agent-fixture.ts";
import { MemoryDisks } from "./memory-disks.ts";
import { noKeyVault } from "../no-key-vault.ts";
import { noProbeNetwork } from "../no-probe-network.ts";

const signal = new AbortController().signal;
const whole = { maxBytes: 2 ** 30 };
const board = new ProgressBoard();
const encryption = { kind: "none" } as const;
const sizeBytes = 256 * 1024;

let store: MemoryStore;
let sent: WorkerEventBody[];
let tools: JobTools;

beforeEach(() => {
  store = new MemoryStore();
  sent = [];
  const diskData = new MemoryDisks();
  diskData.set("https://disk/a", randomBytes(sizeBytes));
  tools = {
    openStore: () => store,
    diskData,
    startMover: (diskCount) => new DataMover({ diskCount, threadCount: 1 }),
    sendEvent: async (body) => {
      sent.push(workerEventBodySchema.parse(body));
    },
    keyVault: noKeyVault,
    probeNetwork: noProbeNetwork,
    random: (byteCount) => randomBytes(byteCount),
    clock: { now: () => new Date("2026-11-22T00:00:00Z"), sleep: async () => undefined },
  };
});

async function backUp(pointId: string, tags: Record<string, string> = {}): Promise<void> {
  const base = backupJob();
  await runJob(
    tools,
    {
      ...base,
      repository: { ...base.repository, encryption },
      pointId,
      vm: { ...base.vm, tags },
      disks: [{ diskId: "a", name: "a", slot: "os", sizeBytes, sas: "https://disk/a" }],
    },
    board,
    signal,
  );
}

async function runImportJob() {
  const { version, jobId, attempt, workerId, expiresAt, repository } = backupJob();
  const common = { version, jobId, attempt, workerId, expiresAt };
  const job: ImportJob = {
    ...common,
    kind: "import",
    repository: { ...repository, encryption },
  };
  const result = await runJob(tools, job, board, signal);
  if (result.kind !== "import") throw new Error("not an import");
  return result;
}

/** A point of another VM, of which only the first disk's content matters. */
async function commitPoint(pointId: string, vm: VmConfiguration): Promise<void> {
  const repository = await openRepository(store, encryption, signal);
  const { disks } = await readVmPoint(repository, "vm-1", "p1", signal);
  const now = () => new Date(0);
  const point = { vmId: vm.vmId, pointId, takenAt: now(), vm: z.json().parse(vm), disks };
  await commitVmPoint(repository, { ...point, random: randomBytes, now }, signal);
}

function parts() {
  return sent.filter((body) => body.kind === "point-part");
}

function pages() {
  return sent.filter((body) => body.kind === "points-found");
}

test("tells each point as its manifests have it", async () => {
  await backUp("p1", { owner: "ops" });
  const result = await runImportJob();
  expect(result).toEqual({
    kind: "import",
    pointCount: 1,
    archiveCount: 0,
    unreadableCount: 0,
    unreadable: [],
  });
  const [page] = pages();
  expect(page).toMatchObject({ page: 0, jobId: "job-1", attempt: 1 });
  const [point] = page?.points ?? [];
  expect(point).toMatchObject({
    vmId: "vm-1",
    pointId: "p1",
    takenAt: "2026-11-22T00:00:00.000Z",
    source: { kind: "point" },
    vm: { ...backupJob().vm, tags: { owner: "ops" } },
    disks: [{ diskId: "a", slot: "os", sizeBytes, kind: "full" }],
  });
  expect(point?.disks[0]?.storedBytes).toBeGreaterThan(sizeBytes);
});

test("pages stay small and hold every point once", async () => {
  const tags = Object.fromEntries(
    Array.from({ length: 10 }, (_, index) => [`tag-${index}`, '"'.repeat(256)]),
  );
  const names = Array.from({ length: 12 }, (_, index) => `p${index + 10}`);
  for (const name of names) await backUp(name, tags);
  const result = await runImportJob();
  expect(result.pointCount).toBe(names.length);
  expect(pages().length).toBeGreaterThan(1);
  expect(pages().map(({ page }) => page)).toEqual(pages().map((_, index) => index));
  expect(pages().flatMap(({ points }) => points.map(({ pointId }) => pointId))).toEqual(names);
  for (const { points } of pages()) {
    const asItTravels = JSON.stringify(JSON.stringify(points));
    expect(asItTravels.length).toBeLessThan(EVENT_PAGE_BYTES_MAX + 100);
  }
});

test("what cannot be read is named and the rest is told", async () => {
  for (const name of ["p1", "p2", "p3", "p4"]) await backUp(name);
  await replace(objectNames.vmPoint("vm-1", "p1"), (bytes) => bytes.fill(7, 70));
  await store.delete(objectNames.diskPoint("a", 2), signal);
  await store.create("vms/vm-1/points/not a point.manifest", new Uint8Array(3), signal);
  const result = await runImportJob();
  expect(result).toMatchObject({ pointCount: 2, unreadableCount: 3 });
  expect(result.unreadable.toSorted()).toEqual([
    "vms/vm-1/points/not a point.manifest",
    objectNames.vmPoint("vm-1", "p1"),
    objectNames.vmPoint("vm-1", "p2"),
  ]);
  expect(pages().flatMap(({ points }) => points.map(({ pointId }) => pointId))).toEqual([
    "p3",
    "p4",
  ]);
});

test("an archive is told with the point that it is a copy of", async () => {
  await backUp("p1");
  const repository = await openRepository(store, encryption, signal);
  const common = { random: randomBytes, now: () => new Date("2026-11-23T00:00:00Z") };
  const name = { vmId: "vm-1", archiveId: "a1" };
  await archiveVmPoint(repository, { ...common, ...name, pointId: "p1" }, signal);
  await store.delete(objectNames.vmPoint("vm-1", "p1"), signal);
  await store.create(objectNames.archive("vm-1", "a2"), new Uint8Array(100), signal);
  const result = await runImportJob();
  expect(result).toMatchObject({
    pointCount: 0,
    archiveCount: 1,
    unreadable: [objectNames.archive("vm-1", "a2")],
  });
  expect(pages()[0]?.points).toMatchObject([
    {
      pointId: "p1",
      source: { kind: "archive", archiveId: "a1" },
      disks: [{ diskId: "a", slot: "os", sizeBytes }],
    },
  ]);
});

test("a VM with as many disks as Azure allows is told in parts, each a message", async () => {
  await backUp("p1");
  const vm = createWideVm();
  await commitPoint("p2", vm);
  await commitPoint("p3", vm);
  const result = await runImportJob();
  expect(result).toMatchObject({ pointCount: 3, unreadableCount: 0 });
  expect(pages().flatMap(({ points }) => points.map(({ pointId }) => pointId))).toEqual(["p1"]);
  for (const part of parts()) {
    expect(JSON.stringify(JSON.stringify(part)).length).toBeLessThan(EVENT_PAGE_BYTES_MAX + 1024);
  }
  expect(parts().length).toBeGreaterThan(2);
  for (const largePoint of [0, 1]) {
    const ofPoint = parts().filter((each) => each.largePoint === largePoint);
    expect(ofPoint.map(({ part }) => part)).toEqual(ofPoint.map((_, part) => part));
    expect(new Set(ofPoint.map(({ partCount }) => partCount))).toEqual(new Set([ofPoint.length]));
    const point = joinFoundPoint(ofPoint.map(({ text }) => text));
    expect(point).toMatchObject({ vmId: vm.vmId, pointId: `p${largePoint + 2}`, vm });
  }
});

test("a point that no record of the index can hold is named, not lost silently", async () => {
  await backUp("p1", { large: "x".repeat(FOUND_POINT_CHARS_MAX) });
  const result = await runImportJob();
  expect(result).toMatchObject({ pointCount: 0, unreadableCount: 1 });
  expect(sent).toEqual([]);
});

test("a store that fails fails the job, and an empty repository has no pages", async () => {
  await backUp("p1");
  const read = store.read.bind(store);
  store.read = async (name, ...rest) => {
    if (name.startsWith("disks/")) {
      throw new HoldfastError("ServerBusy", "The store is busy.", { retry: "backoff" });
    }
    return read(name, ...rest);
  };
  await expect(runImportJob()).rejects.toMatchObject({ code: "ServerBusy", retry: "backoff" });
  store.read = read;
  await store.delete(objectNames.vmPoint("vm-1", "p1"), signal);
  expect(await runImportJob()).toMatchObject({ pointCount: 0, unreadableCount: 0 });
  expect(pages()).toEqual([]);
});

async function replace(name: string, change: (bytes: Buffer) => unknown): Promise<void> {
  const bytes = Buffer.from(await store.read(name, whole, signal));
  change(bytes);
  await store.delete(name, signal);
  await store.create(name, bytes, signal);
}
