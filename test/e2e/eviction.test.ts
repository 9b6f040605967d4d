import { join } from "node:path";
import { BlobServiceClient, type ContainerClient } from "@azure/storage-blob";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { findDifference } from "#local/demo/compare-disks.ts";
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
  type TestStack,
} from "./test-stack.ts";

const imageSizeBytes = 128 * mib;
const blockSizeBytes = 64 * 1024;
const pollMs = 200;
const waitMs = 120_000;
const region = "westeurope";

let running: TestStack;
let stop: (() => Promise<void>) | undefined;
let image: string;

beforeAll(async () => {
  running = await startTestStack();
  stop = () => running.stop();
  image = await makeImage(join(running.directory, "disk.raw"), imageSizeBytes, [
    { offsetBytes: 0, lengthBytes: imageSizeBytes },
  ]);
});

afterEach(() => running.checkEstate());

afterAll(async () => {
  await stop?.();
});

test(
  "three evictions of a spot worker end in a good restore point, and nothing is stored twice",
  { timeout: 400_000 },
  async () => {
    await useSpot();
    const calm = await makeVm("calm");
    const calmId = await startBackup(running, calm);
    await waitForSuccess(running, calmId);
    const calmPacks = await listPacks();

    // The same bytes on another disk: what is stored must be as much.
    const victim = await makeVm("victim");
    running.stack.cloud.dataPlane.faults.throttleAbove(1);
    const sessionId = await startBackup(running, victim);
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

    const victimPacks = [...(await listPacks())].filter(([name]) => !calmPacks.has(name));
    const victimBytes = victimPacks.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0);
    const calmBytes = [...calmPacks.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
    // A pack more or less has another header and footer; one block twice would be far above that.
    expect(Math.abs(victimBytes - calmBytes)).toBeLessThan(blockSizeBytes / 2);

    const point = await readPoint(running, sessionId);
    await restore(running, point, "after-evictions");
    const pair = {
      left: { kind: "disk", id: await diskId(running, "victim-os") },
      right: { kind: "disk", id: await diskId(running, "after-evictions-os") },
    } as const;
    const { disks } = running.stack.cloud;
    expect(await findDifference(disks, pair, running.directory)).toBeUndefined();
    const points = [await readPoint(running, calmId), point];
    expect(await leftovers(running, points)).toEqual([]);
  },
);

async function makeVm(name: string): Promise<VmRow> {
  const wanted = { name, region, osDisk: image, dataDisks: [], tags: {} };
  return running.stack.estate.createVm(wanted);
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
