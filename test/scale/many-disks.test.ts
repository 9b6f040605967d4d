/**
 * Ten VMs of eight disks in one region at once: Azure's limits for disk accesses and snapshot families
 * are never passed, nobody waits for ever, and the next run of all of them needs no further disk access.
 */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { RestorePoint } from "#core/model/restore-point.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { idsOfType, readRegionPlan } from "../e2e/region-plan.ts";
import {
  makeImage,
  mib,
  readDetail,
  readPoint,
  startBackup,
  startTestStack,
  waitForSuccess,
  type TestStack,
} from "../e2e/test-stack.ts";

const region = "westeurope";
const vmCount = 10;
const disksPerVm = 8;
/** Jobs at the same time: fewer than VMs, so that the others wait. */
const workersMax = 3;
const runTimeoutMs = 400_000;
const settings = {
  HOLDFAST_WORKERS_PER_REGION_MAX: String(workersMax),
  // They are there for the second run, too.
  HOLDFAST_WORKER_IDLE_SECONDS: "300",
};

let running: TestStack;
const vms: VmRow[] = [];

beforeAll(async () => {
  running = await startTestStack(settings);
  const piece = { offsetBytes: 0, lengthBytes: 64 * 1024 };
  const image = await makeImage(join(running.directory, "disk.raw"), mib, [piece]);
  const dataDisks = Array.from({ length: disksPerVm - 1 }, () => image);
  const names = Array.from({ length: vmCount }, (_, index) => `many-${index}`);
  // The first makes the network that all are in.
  for (const batch of [names.slice(0, 1), names.slice(1)]) {
    const made = batch.map((name) =>
      running.stack.estate.createVm({ name, region, osDisk: image, dataDisks, tags: {} }),
    );
    vms.push(...(await Promise.all(made)));
  }
}, runTimeoutMs);

afterEach(() => running.checkEstate());

afterAll(async () => {
  await running?.stop();
}, runTimeoutMs);

async function backUpAllAtOnce(): Promise<RestorePoint[]> {
  const sessions = await Promise.all(vms.map((vm) => startBackup(running, vm)));
  const points: RestorePoint[] = [];
  for (const sessionId of sessions) {
    await waitForSuccess(running, sessionId);
    points.push(await readPoint(running, sessionId));
  }
  const disks = points.flatMap((point) => point.disks);
  expect(disks).toHaveLength(vmCount * disksPerVm);
  return points;
}

/** What the local Azure counted since its start. */
function expectPeaks(): void {
  const { byDiskAccess, byFamily } = running.stack.cloud.exportPeaks;
  expect(Math.max(...byDiskAccess.values())).toBeLessThanOrEqual(5);
  expect(byFamily.size).toBe(vmCount * disksPerVm);
  expect(Math.max(...byFamily.values())).toBeLessThanOrEqual(5);
}

test("ten VMs of eight disks at once, twice", { timeout: 2 * runTimeoutMs }, async () => {
  const plan = await readRegionPlan(running, region);
  const first = await backUpAllAtOnce();
  expect(first.every(({ disks }) => disks.every(({ kind }) => kind === "full"))).toBe(true);
  expectPeaks();
  const made = idsOfType(running.stack, "Microsoft.Compute/diskAccesses");
  // Three jobs of eight disks at a time, each with two exports.
  expect(made).toHaveLength(10);
  expect(made).toEqual(plan.idsOf("create-disk-access"));
  const endpoints = idsOfType(running.stack, "Microsoft.Network/privateEndpoints");
  expect(endpoints).toEqual(expect.arrayContaining([...plan.idsOf("create-disk-endpoint")]));

  const second = await backUpAllAtOnce();
  expect(second.every(({ disks }) => disks.every(({ kind }) => kind === "incremental"))).toBe(true);
  expectPeaks();
  // With new snapshots and bases at once, disk accesses are in use by more than one.
  expect(Math.max(...running.stack.cloud.exportPeaks.byDiskAccess.values())).toBeGreaterThan(1);
  expect(Math.max(...running.stack.cloud.exportPeaks.byFamily.values())).toBe(2);
  expect(idsOfType(running.stack, "Microsoft.Compute/diskAccesses")).toEqual(made);
  expect(idsOfType(running.stack, "Microsoft.Network/privateEndpoints")).toEqual(endpoints);
  for (const { sessionId } of second) {
    const { log } = await readDetail(running, sessionId ?? "");
    expect(log.filter(({ message }) => /(create|delete)-disk-/.test(message))).toEqual([]);
  }
  expect(running.stack.cloud.disks.listGrants()).toEqual([]);
});
