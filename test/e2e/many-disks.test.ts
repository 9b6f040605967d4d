/**
 * Ten VMs of eight disks in one region at once: Azure's limits for disk accesses and snapshot families
 * are never passed, nobody waits for ever, and the next run needs no further disk access.
 */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { RestorePoint } from "#core/model/restore-point.ts";
import { planDiskAccesses } from "#core/network/plan-disk-accesses.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { listResources } from "#local/stack/resource-list.ts";
import {
  leftovers,
  makeImage,
  mib,
  readDetail,
  readPoint,
  startBackup,
  startTestStack,
  waitForSuccess,
  type TestStack,
} from "./test-stack.ts";

const vmCount = 10;
const disksPerVm = 8;
/** Jobs at the same time: fewer than VMs, so that the others wait. */
const workersMax = 3;

let running: TestStack;
let stop: (() => Promise<void>) | undefined;
const vms: VmRow[] = [];

beforeAll(async () => {
  running = await startTestStack({
    HOLDFAST_WORKERS_PER_REGION_MAX: String(workersMax),
    HOLDFAST_WORKER_IDLE_SECONDS: "120",
  });
  stop = () => running.stop();
  const piece = { offsetBytes: 0, lengthBytes: 64 * 1024 };
  const image = await makeImage(join(running.directory, "disk.raw"), mib, [piece]);
  const dataDisks = Array.from({ length: disksPerVm - 1 }, () => image);
  const names = Array.from({ length: vmCount }, (_, index) => `many-${index}`);
  // The first makes the network that all are in.
  for (const batch of [names.slice(0, 1), names.slice(1)]) {
    const made = batch.map((name) =>
      running.stack.estate.createVm({
        name,
        region: "westeurope",
        osDisk: image,
        dataDisks,
        tags: {},
      }),
    );
    vms.push(...(await Promise.all(made)));
  }
}, 120_000);

afterAll(async () => {
  await stop?.();
}, 60_000);

async function backUpAtOnce(which: readonly VmRow[]): Promise<RestorePoint[]> {
  const sessions = await Promise.all(which.map((vm) => startBackup(running, vm)));
  const points: RestorePoint[] = [];
  for (const sessionId of sessions) {
    await waitForSuccess(running, sessionId);
    points.push(await readPoint(running, sessionId));
  }
  return points;
}

function namesOf(type: string): string[] {
  const { resourceManager, disks } = running.stack.cloud;
  return listResources(resourceManager, disks)
    .filter((row) => row.type.toLowerCase() === type.toLowerCase())
    .map(({ name }) => name)
    .sort();
}

function expectPeaks(): void {
  const { byDiskAccess, byFamily } = running.stack.cloud.exportPeaks;
  expect(Math.max(...byDiskAccess.values())).toBeLessThanOrEqual(5);
  expect(Math.max(...byDiskAccess.values())).toBeGreaterThan(1);
  expect(Math.max(...byFamily.values())).toBeLessThanOrEqual(5);
}

test("ten VMs of eight disks at once", { timeout: 240_000 }, async () => {
  const first = await backUpAtOnce(vms);
  expect(first.flatMap(({ disks }) => disks.map(({ kind }) => kind))).toEqual(
    Array.from({ length: vmCount * disksPerVm }, () => "full"),
  );
  expectPeaks();
  const { actions } = planDiskAccesses(
    { existing: [], retiring: [], accessesMax: 30, privateDns: "manage" },
    { slots: workersMax * disksPerVm * 2, poolName: "pool" },
  );
  const made = namesOf("Microsoft.Compute/diskAccesses");
  expect(made.map((name) => name.slice(-3))).toEqual(actions.map(({ name }) => name.slice(-3)));
  expect(namesOf("Microsoft.Network/privateEndpoints")).toEqual(
    expect.arrayContaining(made.map((name) => `${name}-endpoint`)),
  );

  const again = vms.slice(0, workersMax);
  const second = await backUpAtOnce(again);
  expect(second.flatMap(({ disks }) => disks.map(({ kind }) => kind))).toEqual(
    Array.from({ length: workersMax * disksPerVm }, () => "incremental"),
  );
  expectPeaks();
  expect(namesOf("Microsoft.Compute/diskAccesses")).toEqual(made);
  const { log } = await readDetail(running, second[0]?.sessionId ?? "");
  expect(log.map(({ message }) => message).join("\n")).not.toContain("create-disk-access");
  expect(running.stack.cloud.disks.listGrants()).toEqual([]);
  expect(await leftovers(running, [...second, ...first.slice(workersMax)])).toEqual([]);
});
