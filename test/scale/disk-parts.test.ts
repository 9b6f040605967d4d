import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
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
} from "../e2e/test-stack.ts";

/** Two whole leaves of 256 MiB and a piece of a third one: three parts. */
const imageSizeBytes = 600 * mib;
const pieceBytes = 48 * mib;
const readsPerSecond = 4;
const pollMs = 100;
const waitMs = 240_000;

const sharedSchema = z.object({
  state: z.string(),
  parts: z.array(
    z.object({
      offsetBytes: z.number(),
      lengthBytes: z.number(),
      state: z.string(),
      attempt: z.number(),
      workerId: z.string().nullable(),
      doneBytes: z.number(),
    }),
  ),
  backupDisks: z.array(z.object({ partCount: z.number().optional() })).optional(),
});
type Shared = z.infer<typeof sharedSchema>;

let running: TestStack;
let stop: (() => Promise<void>) | undefined;
let vm: VmRow;

beforeAll(async () => {
  running = await startTestStack({ HOLDFAST_SHARED_DISK_BYTES: String(512 * mib) });
  stop = () => running.stop();
  const pieces = [0, 200, 256, 400, 512, 552].map((at) => ({
    offsetBytes: at * mib,
    lengthBytes: pieceBytes,
  }));
  const image = await makeImage(join(running.directory, "disk.raw"), imageSizeBytes, pieces);
  vm = await running.stack.estate.createVm({
    name: "huge",
    region: "westeurope",
    osDisk: image,
    dataDisks: [],
    tags: {},
  });
});

afterAll(async () => {
  await stop?.();
});

test(
  "several workers share one disk, one of them dies, and the point is whole",
  { timeout: 600_000 },
  async () => {
    const { stack, api } = running;
    const readShared = (sessionId: string): Promise<Shared> =>
      api.call("GET", `/sessions/${sessionId}`, { answer: sharedSchema });
    limitReads();
    const sessionId = await startBackup(running, vm);
    const atWork = await waitForTwoAtWork(() => readShared(sessionId));
    expect(new Set(atWork.map(({ workerId }) => workerId)).size).toBe(atWork.length);
    const [victim] = atWork;
    expect(await killAgent(victim?.workerId ?? "")).toBeGreaterThan(0);
    stack.cloud.dataPlane.faults.clear();
    await waitForSuccess(running, sessionId);

    const { parts, backupDisks } = await readShared(sessionId);
    expect(parts.map(({ offsetBytes, lengthBytes }) => [offsetBytes, lengthBytes])).toEqual([
      [0, 256 * mib],
      [256 * mib, 256 * mib],
      [512 * mib, 88 * mib],
    ]);
    expect(parts.every(({ state }) => state === "succeeded")).toBe(true);
    const hit = parts.find(({ offsetBytes }) => offsetBytes === victim?.offsetBytes);
    expect(hit?.attempt).toBeGreaterThan(1);
    expect(hit?.workerId).not.toBe(victim?.workerId);
    expect(backupDisks).toEqual([{ partCount: 3 }]);
    const { log } = await readDetail(running, sessionId);
    expect(log.some(({ message }) => /^part \d of disk 1: .*trying again/.test(message))).toBe(
      true,
    );

    const point = await readPoint(running, sessionId);
    expect(point.disks[0]).toMatchObject({ kind: "full", warnings: [] });
    await restore(running, point, "restored");
    const pair = {
      left: { kind: "disk", id: await diskId(running, "huge-os") },
      right: { kind: "disk", id: await diskId(running, "restored-os") },
    } as const;
    expect(await findDifference(stack.cloud.disks, pair, running.directory)).toBeUndefined();
    expect(await leftovers(running, [point])).toEqual([]);
  },
);

/** All workers together read so slowly that those who begin last meet those who began first. */
function limitReads(): void {
  let nextAt = 0;
  running.stack.cloud.dataPlane.faults.failNext({
    match: ({ operation }) => {
      const now = performance.now();
      if (operation !== "read" || now >= nextAt) {
        if (operation === "read") nextAt = now + 1000 / readsPerSecond;
        return false;
      }
      return true;
    },
    count: Number.POSITIVE_INFINITY,
    status: 503,
    code: "ServerBusy",
    retryAfterSeconds: 1,
  });
}

/** Parts that are being read at this moment. */
async function waitForTwoAtWork(read: () => Promise<Shared>): Promise<Shared["parts"]> {
  const deadline = performance.now() + waitMs;
  while (performance.now() < deadline) {
    const { state, parts } = await read();
    if (state !== "running") throw new Error(`it ended as ${state} before`);
    const atWork = parts.filter((part) => part.state === "dispatched" && part.doneBytes > 0);
    if (atWork.length >= 2) return atWork;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  throw new Error("no two workers read the disk at the same time");
}

async function killAgent(workerId: string): Promise<number> {
  const vms = await running.stack.estate.listVms();
  const worker = vms.find(({ name }) => name === workerId);
  return running.stack.cloud.vmHost.killProcesses(worker?.vmId ?? "", "agent.mjs");
}
