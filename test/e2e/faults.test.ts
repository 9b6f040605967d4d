/** What dies in the middle of a backup: the Functions host, the worker's agent, Spot machines. */
import { join } from "node:path";
import { BlobServiceClient, type ContainerClient } from "@azure/storage-blob";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { findDifference } from "#local/demo/compare-disks.ts";
import { findLeftovers } from "#local/demo/leftovers.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import {
  diskId,
  leftovers,
  makeImage,
  mib,
  readDetail,
  readPoint,
  restore,
  startBackup,
  startTestStack,
  waitForSuccess,
  waitUntilReading,
  type TestStack,
} from "./test-stack.ts";

const imageSizeBytes = 160 * mib;
const evictedImageSizeBytes = 128 * mib;
const blockSizeBytes = 64 * 1024;
const region = "westeurope";
const pollMs = 400;
const waitMs = 120_000;

let running: TestStack;
let stop: (() => Promise<void>) | undefined;
let vm: VmRow;
/** Newest of `vm`: its snapshots are the next base. */
let newest: RestorePoint | undefined;

beforeAll(async () => {
  running = await startTestStack();
  stop = () => running.stop();
  vm = await makeVm("victim", await makeFullImage("disk.raw", imageSizeBytes));
});

afterEach(() => running.checkEstate());

afterAll(async () => {
  await stop?.();
});

test(
  "a backup survives the death of the functions host in the middle of it",
  { timeout: 400_000 },
  async () => {
    const { stack } = running;
    slowDown();
    const sessionId = await startBackup(running, vm);
    await waitUntilReading(running, sessionId);
    // What must be gone at the end is seen now, by the same search.
    const vmOnly = { vmNames: ["victim"], diskNames: ["victim-os"], baseSnapshotIds: [] };
    const found = findLeftovers(stack, vmOnly).join("\n");
    for (const kind of ["live SAS on snapshot", "/virtualMachines/", "/networkInterfaces/"]) {
      expect(found).toContain(kind);
    }
    await stack.functions.kill("SIGKILL");
    expect(stack.functions.state).toBe("stopped");
    stack.cloud.dataPlane.faults.clear();
    await stack.functions.start();
    await waitForSuccess(running, sessionId);
    await expectGoodRestore(sessionId, "after-host");
  },
);

test(
  "the death of the worker's agent leads to another dispatch and a good restore point",
  { timeout: 400_000 },
  async () => {
    const { stack } = running;
    slowDown();
    // New bytes everywhere: the second backup has as much to read as the first.
    await rewriteDisk();
    const sessionId = await startBackup(running, vm);
    const { attempt } = await waitUntilReading(running, sessionId);
    expect(attempt).toBe(1);
    const killed = await killAgents();
    expect(killed).toBeGreaterThan(0);
    stack.cloud.dataPlane.faults.clear();
    await waitForSuccess(running, sessionId);
    const session = await readDetail(running, sessionId);
    expect(session.attempt).toBeGreaterThan(1);
    await expectGoodRestore(sessionId, "after-worker");
  },
);

test(
  "three evictions of a spot worker end in a good restore point, and nothing is stored twice",
  { timeout: 400_000 },
  async () => {
    await useSpot();
    const image = await makeFullImage("evicted.raw", evictedImageSizeBytes);
    const packsBefore = await listPacks();
    const calm = await makeVm("calm", image);
    const calmId = await startBackup(running, calm);
    await waitForSuccess(running, calmId);
    const calmPacks = await listPacks();

    // The same bytes on another disk: what is stored must be as much.
    const unlucky = await makeVm("unlucky", image);
    slowDown();
    const sessionId = await startBackup(running, unlucky);
    const evicted = new Set<string>();
    for (let round = 1; round <= 3; round++) {
      const known = await listPacks();
      const workerId = await waitForNewPack(sessionId, known, evicted);
      await running.stack.estate.evictVm(workerId);
      await breakLocks();
      evicted.add(workerId);
    }
    running.stack.cloud.dataPlane.faults.clear();
    await waitForSuccess(running, sessionId);

    const session = await readDetail(running, sessionId);
    expect([session.attempt, evicted.size]).toEqual([4, 3]);
    expect(evicted).not.toContain(session.workerId);
    const log = session.log.map(({ message }) => message).join("\n");
    expect(log.match(/does not exist any more\.; trying again/g)).toHaveLength(3);
    expect(log).toContain("regular, because 3 spot workers of this job were evicted");

    const unluckyBytes = bytesAdded(calmPacks, await listPacks());
    const calmBytes = bytesAdded(packsBefore, calmPacks);
    // A pack more or less has another header and footer; one block twice would be far above that.
    expect(Math.abs(unluckyBytes - calmBytes)).toBeLessThan(blockSizeBytes / 2);

    const point = await readPoint(running, sessionId);
    await restore(running, point, "after-evictions");
    const pair = {
      left: { kind: "disk", id: await diskId(running, "unlucky-os") },
      right: { kind: "disk", id: await diskId(running, "after-evictions-os") },
    } as const;
    const { disks } = running.stack.cloud;
    expect(await findDifference(disks, pair, running.directory)).toBeUndefined();
    const points = [await readPoint(running, calmId), point];
    if (newest !== undefined) points.push(newest);
    expect(await leftovers(running, points)).toEqual([]);
  },
);

function makeFullImage(name: string, sizeBytes: number): Promise<string> {
  const everything = { offsetBytes: 0, lengthBytes: sizeBytes };
  return makeImage(join(running.directory, name), sizeBytes, [everything]);
}

async function makeVm(name: string, osDisk: string): Promise<VmRow> {
  return running.stack.estate.createVm({ name, region, osDisk, dataDisks: [], tags: {} });
}

/** One request at a time on a disk: the backup is still reading when it is hit. */
function slowDown(): void {
  running.stack.cloud.dataPlane.faults.throttleAbove(1);
}

async function rewriteDisk(): Promise<void> {
  const file = await makeFullImage("change.raw", imageSizeBytes);
  await running.stack.estate.writeDisk({ disk: "victim-os", offsetBytes: 0, file });
}

async function killAgents(): Promise<number> {
  const { vmHost } = running.stack.cloud;
  let killed = 0;
  for (const { vmId } of await running.stack.estate.listVms()) {
    killed += await vmHost.killProcesses(vmId, "agent.mjs");
  }
  return killed;
}

async function expectGoodRestore(sessionId: string, name: string): Promise<void> {
  const point = await readPoint(running, sessionId);
  await restore(running, point, name);
  const pair = {
    left: { kind: "disk", id: await diskId(running, "victim-os") },
    right: { kind: "disk", id: await diskId(running, `${name}-os`) },
  } as const;
  const { disks } = running.stack.cloud;
  expect(await findDifference(disks, pair, running.directory)).toBeUndefined();
  expect(await leftovers(running, [point])).toEqual([]);
  newest = point;
}

/** The region's automatic configuration, with spot workers. */
async function useSpot(): Promise<void> {
  const path = `/worker-configurations/${region}`;
  const automatic = await running.api.call("GET", path, { answer: z.looseObject({}) });
  const { location: _location, origin: _origin, ...input } = automatic;
  const purchase = { kind: "spot", evictionsMax: 3 };
  await running.api.call("PUT", path, {
    body: { ...input, purchase },
    answer: z.looseObject({ origin: z.literal("operator") }),
  });
}

/** The lease of a worker that is gone ends within a minute: this stands for the minute. */
async function breakLocks(): Promise<void> {
  const container = repositoryContainer();
  for await (const { name, properties } of container.listBlobsFlat())
    if (name.endsWith("/lock") && properties.leaseState === "leased")
      await container.getBlobClient(name).getBlobLeaseClient().breakLease(0);
}

function repositoryContainer(): ContainerClient {
  const { cloud, deployment } = running.stack;
  const connection = cloud.storage.connectionString(deployment.repositoryAccountName);
  return BlobServiceClient.fromConnectionString(connection).getContainerClient("backups");
}

/** Sealed packs of the repository and their sizes. */
async function listPacks(): Promise<Map<string, number>> {
  const container = repositoryContainer();
  const packs = new Map<string, number>();
  for await (const { name, properties } of container.listBlobsFlat())
    if (name.endsWith(".pack")) packs.set(name, properties.contentLength ?? 0);
  return packs;
}

function bytesAdded(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): number {
  const added = [...after].filter(([name]) => !before.has(name));
  return added.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0);
}

/** Waits until the job's worker, none of those before, has sealed a pack; answers the worker. */
async function waitForNewPack(
  sessionId: string,
  known: ReadonlyMap<string, number>,
  before: ReadonlySet<string>,
): Promise<string> {
  const deadline = performance.now() + waitMs;
  while (performance.now() < deadline) {
    const { state, workerId } = await readDetail(running, sessionId);
    if (state !== "running") throw new Error(`it ended as ${state} before`);
    const isNew = [...(await listPacks()).keys()].some((name) => !known.has(name));
    if (workerId !== null && !before.has(workerId) && isNew) return workerId;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  throw new Error(`session ${sessionId} stores nothing`);
}
