import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
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

let running: TestStack;
let stop: (() => Promise<void>) | undefined;
let vm: VmRow;

beforeAll(async () => {
  running = await startTestStack();
  stop = () => running.stop();
  const image = await makeImage(join(running.directory, "disk.raw"), imageSizeBytes, [
    { offsetBytes: 0, lengthBytes: imageSizeBytes },
  ]);
  vm = await running.stack.estate.createVm({
    name: "victim",
    region: "westeurope",
    osDisk: image,
    dataDisks: [],
    tags: {},
  });
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

/** One request at a time on a disk: the backup is still reading when it is hit. */
function slowDown(): void {
  running.stack.cloud.dataPlane.faults.throttleAbove(1);
}

async function rewriteDisk(): Promise<void> {
  const file = await makeImage(join(running.directory, "change.raw"), imageSizeBytes, [
    { offsetBytes: 0, lengthBytes: imageSizeBytes },
  ]);
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
}
