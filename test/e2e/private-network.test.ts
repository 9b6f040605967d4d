/**
 * The private network, proven: the app and every worker run in network namespaces without a default
 * route. A complete backup and restore take no other way; whatever single piece is taken away, the
 * doctor names it, and with it back everything works again. Needs root and iproute2.
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { shownSessionSchema } from "#local/demo/sessions.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import {
  backUp,
  makeImage,
  mib,
  readDetail,
  restore,
  startBackup,
  startTestStack,
  type TestStack,
} from "./test-stack.ts";

const region = "northeurope";
const settings = {
  // One worker for most looks of the doctor.
  HOLDFAST_WORKER_IDLE_SECONDS: "25",
  HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "0",
};
const stackTimeoutMs = 180_000;
const backupTimeoutMs = 300_000;
const breakTimeoutMs = 120_000;

let running: TestStack;
let vm: VmRow;
let image: string;

beforeAll(async () => {
  running = await startTestStack(settings, "namespaces");
  image = await makeImage(join(running.directory, "os.img"), 48 * mib, [
    { offsetBytes: 0, lengthBytes: 3 * mib },
    { offsetBytes: 40 * mib, lengthBytes: mib },
  ]);
  vm = await running.stack.estate.createVm({
    name: "private",
    region,
    osDisk: image,
    dataDisks: [],
    tags: {},
  });
}, stackTimeoutMs);

afterAll(async () => {
  await running?.stop();
}, stackTimeoutMs);

async function wayless(): Promise<Record<string, number>> {
  const counters = await running.stack.privateNetwork!.readCounters();
  return Object.fromEntries([...counters].map(([id, { withoutRoute }]) => [id, withoutRoute]));
}

test(
  "a backup and a restore take no way but the private endpoints",
  { timeout: backupTimeoutMs },
  async () => {
    const point = await backUp(running, vm);
    const restored = await restore(running, point, "private-again");
    const out = join(running.directory, "restored.img");
    await running.stack.estate.exportDisk({ disk: restored.disks[0]!.name, out });
    execFileSync("cmp", [image, out]);
    const counted = await wayless();
    expect(Object.keys(counted).length).toBeGreaterThan(1);
    expect(Object.values(counted).every((count) => count === 0)).toBe(true);
  },
);

const answerSchema = z.object({ sessionId: z.string() });
const reportSchema = z.object({
  ok: z.boolean(),
  findings: z.array(z.object({ what: z.string(), resourceId: z.string().optional() })),
});

/** Has the doctor look; answers what it says. */
async function examine(): Promise<z.infer<typeof reportSchema>> {
  const path = `/regions/${region}/doctor`;
  const { sessionId } = await running.api.call("POST", path, { answer: answerSchema });
  for (;;) {
    const { state } = await running.api.call("GET", `/sessions/${sessionId}`, {
      answer: shownSessionSchema,
    });
    if (state !== "running") break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return running.api.call("GET", path, { answer: reportSchema });
}

interface Stored {
  readonly id: string;
  readonly apiVersion: string;
  readonly body: object;
}

const apiVersions: Readonly<Record<string, string>> = {
  "microsoft.network/privatednszones/virtualnetworklinks": "2024-06-01",
  "microsoft.network/privatednszones/a": "2024-06-01",
};

/** Takes one resource away, and what hangs on it; answers what puts all of it back. */
async function takeAway(id: string): Promise<() => Promise<void>> {
  const { resources } = running.stack.cloud.resourceManager;
  const { arm } = running.stack.cloud;
  const keep = (each: { id: string; type: string; body: object }): Stored => ({
    id: each.id,
    apiVersion: apiVersions[each.type.toLowerCase()] ?? "2024-05-01",
    body: each.body,
  });
  const own = resources.get(id);
  if (own === undefined) throw new Error(`there is no ${id}`);
  const stored = [own, ...resources.descendants(id)].map(keep);
  await arm.request({ method: "DELETE", path: id, apiVersion: stored[0]!.apiVersion });
  return async () => {
    for (const { id: path, apiVersion, body } of stored) {
      await arm.request({ method: "PUT", path, apiVersion, body });
    }
  };
}

/** The one resource of a type whose id matches. */
function find(type: string, pattern: RegExp): string {
  const found = running.stack.cloud.resourceManager.resources
    .list(type)
    .filter(({ id }) => pattern.test(id));
  if (found.length !== 1) throw new Error(`${found.length} resources match ${pattern}`);
  return found[0]!.id;
}

const endpoints = "Microsoft.Network/privateEndpoints";
const links = "Microsoft.Network/privateDnsZones/virtualNetworkLinks";
const records = "Microsoft.Network/privateDnsZones/A";

const pieces: readonly (readonly [name: string, find: () => string])[] = [
  ["the endpoint of the job queues", () => find(endpoints, /staging-queue$/)],
  ["the endpoint of the bundle's account", () => find(endpoints, /staging-blob$/)],
  ["the endpoint of the repository", () => find(endpoints, /holdfastrepository-blob$/)],
  [
    "the link of the zone of blobs",
    () => find(links, /privatelink\.blob\.[^/]+\/virtualNetworkLinks\/holdfast-northeurope/i),
  ],
  [
    "the link of the zone of queues",
    () => find(links, /privatelink\.queue\.[^/]+\/virtualNetworkLinks\/holdfast-northeurope/i),
  ],
  [
    "the record of the repository",
    () => find(records, /privatelink\.blob.*\/holdfastrepository$/i),
  ],
];

test.each(pieces)(
  "without %s the doctor names it",
  { timeout: breakTimeoutMs },
  async (_, which) => {
    const id = which();
    const putBack = await takeAway(id);
    const report = await examine();
    expect(report.ok).toBe(false);
    expect(report.findings.map(({ what }) => what)).toEqual([
      expect.stringContaining(id.slice(id.lastIndexOf("/") + 1)),
    ]);
    await putBack();
    expect(await examine()).toEqual({ ok: true, findings: [] });
  },
);

test(
  "a session whose network breaks under it says so, and the next one mends it",
  { timeout: backupTimeoutMs },
  async () => {
    const id = find(endpoints, /holdfastrepository-blob$/);
    const sessionId = await startBackup(running, vm);
    let hasBroken = false;
    for (;;) {
      const { state, log, reason } = await readDetail(running, sessionId);
      if (!hasBroken && log.some(({ message }) => message.startsWith("taking snapshots"))) {
        hasBroken = true;
        await takeAway(id);
      }
      if (state !== "running") {
        expect(state).toBe("failed");
        expect(reason).toContain(id.slice(id.lastIndexOf("/") + 1));
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect((await backUp(running, vm)).state).toBe("available");
  },
);
