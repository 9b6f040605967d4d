import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { findDifference, findFileDifference } from "#local/demo/compare-disks.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import {
  backUp,
  diskId,
  leftovers,
  makeImage,
  mib,
  restore,
  startBackup,
  startTestStack,
  waitForSuccess,
  waitUntilDispatched,
  type TestStack,
} from "./test-stack.ts";
import { plantSecrets } from "./planted-secrets.ts";
import { findSecrets } from "./secret-search.ts";
import { createBodyRecorder } from "../conformance/body-recorder.ts";

/** Size of the repository's blocks. */
const blockSizeBytes = 64 * 1024;
/** No unchanged block is read again to check the hint: only what changed is read. */
const settings = { HOLDFAST_UNCHANGED_SAMPLE_BLOCKS: "0" };
/** What the control plane makes in a backup and a restore. */
const sentTypes = [
  "Microsoft.Compute/diskAccesses",
  "Microsoft.Compute/disks",
  "Microsoft.Compute/snapshots",
  "Microsoft.Compute/virtualMachines",
  "Microsoft.Compute/virtualMachines/runCommands",
  "Microsoft.Network/networkInterfaces",
  "Microsoft.Network/networkSecurityGroups",
  "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
  "Microsoft.Network/privateEndpoints",
  "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
  "Microsoft.Network/virtualNetworks",
  "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
  "Microsoft.Storage/storageAccounts",
  "Microsoft.Storage/storageAccounts/managementPolicies",
];

let running: TestStack;
let stop: (() => Promise<void>) | undefined;
const bodies = createBodyRecorder();

beforeAll(async () => {
  running = await startTestStack(settings);
  stop = () => running.stop();
  if (bodies !== undefined) running.stack.cloud.resourceManager.onRequest(bodies.observe);
});

afterEach(() => running.checkEstate());

afterAll(async () => {
  await stop?.();
});

async function makeVm(name: string, images: { os: string; data?: string }): Promise<VmRow> {
  return running.stack.estate.createVm({
    name,
    region: "westeurope",
    osDisk: images.os,
    dataDisks: images.data === undefined ? [] : [images.data],
    tags: {},
  });
}

async function patchDisk(path: string, body: object): Promise<void> {
  const { arm } = running.stack.cloud;
  await arm.request({ method: "PATCH", path, apiVersion: "2026-03-02", body });
}

test(
  "a machine with odd sizes comes back bit by bit, full and incremental",
  { timeout: 400_000 },
  async () => {
    const { stack, directory } = running;
    const osFile = await makeImage(join(directory, "odd.raw"), 80 * mib + 12_345, [
      { offsetBytes: 0, lengthBytes: 30 * mib },
      { offsetBytes: 80 * mib, lengthBytes: 12_345 },
    ]);
    const zeroFile = await makeImage(join(directory, "zero.raw"), 33 * mib + 512, []);
    const vm = await makeVm("odd", { os: osFile, data: zeroFile });
    // This one is read and written with a token of the worker's identity beside each SAS.
    const mode = { dataAccessAuthMode: "AzureActiveDirectory" };
    await patchDisk(await diskId(running, "odd-os"), { properties: mode });
    const first = await backUp(running, vm);
    expect(first.disks.map(({ kind }) => kind)).toEqual(["full", "full"]);
    expect(first.disks[1]?.readBytes).toBe(0);

    // Three places: inside one block, over a block's edge, and the disk's last sectors.
    const id = await diskId(running, "odd-os");
    const lastSector = Math.floor((80 * mib + 12_345) / 512) * 512;
    await stack.cloud.disks.guestWrite(id, 5 * mib, randomBytes(4096));
    await stack.cloud.disks.guestWrite(id, 7 * blockSizeBytes - 512, randomBytes(1024));
    await stack.cloud.disks.guestWrite(id, lastSector, randomBytes(512));
    const changedBlockCount = 4;

    stack.cloud.disks.resetCounters();
    const second = await backUp(running, vm);
    expect(second.disks.map(({ kind }) => kind)).toEqual(["incremental", "incremental"]);
    const [osDisk, dataDisk] = second.disks;
    const counted = (snapshotId: string | undefined) =>
      stack.cloud.disks.countersOf({ kind: "snapshot", id: (snapshotId ?? "").toLowerCase() });
    const osCounters = counted(osDisk?.snapshot?.snapshotId);
    expect(osCounters.pageListCount).toBeGreaterThan(0);
    expect(osCounters.readBytes).toBeGreaterThanOrEqual(4096 + 1024 + 512);
    expect(osCounters.readBytes).toBeLessThanOrEqual(changedBlockCount * blockSizeBytes);
    expect(osDisk?.changedBytes).toBeLessThanOrEqual(changedBlockCount * blockSizeBytes);
    // Lists of ranges and the size come without bytes of the disk: nothing was read of this one.
    const dataCounters = counted(dataDisk?.snapshot?.snapshotId);
    expect(dataCounters.pageListCount).toBeGreaterThan(0);
    expect(dataCounters.readBytes).toBe(0);

    const restored = await restore(running, second, "odd-restored");
    for (const [source, target] of [
      ["odd-os", "odd-restored-os"],
      ["odd-data-0", "odd-restored-data-0"],
    ] as const) {
      const pair = {
        left: { kind: "disk", id: await diskId(running, source) },
        right: { kind: "disk", id: await diskId(running, target) },
      } as const;
      expect(await findDifference(stack.cloud.disks, pair, directory)).toBeUndefined();
    }
    expect(restored.disks.map(({ sizeBytes }) => sizeBytes)).toEqual(
      vm.disks.map(({ sizeBytes }) => sizeBytes),
    );

    const [osSnapshot, restoredOs] = [
      osDisk?.snapshot?.snapshotId ?? "",
      await diskId(running, "odd-restored-os"),
    ].map((secured) => stack.cloud.resourceManager.resources.get(secured)?.body["properties"]);
    expect(osSnapshot).toMatchObject(mode);
    expect(restoredOs).toMatchObject(mode);

    // The older point is still what the machine was before the change.
    await restore(running, first, "odd-before");
    const out = join(directory, "before.raw");
    const { sizeBytes } = await stack.estate.exportDisk({ disk: "odd-before-os", out });
    expect(sizeBytes).toBe(80 * mib + 12_345);
    expect(await findFileDifference(out, osFile)).toBeUndefined();
    expect(await leftovers(running, [second])).toEqual([]);
  },
);

// Azure's type data lies beside a checkout, if anywhere: without it there is nothing to compare with.
if (bodies !== undefined) {
  test("every body that went through Resource Manager is what its type allows", () => {
    const { controlPlaneIdentity } = running.stack.deployment;
    expect(bodies.sentBy(controlPlaneIdentity.principalId)).toEqual(sentTypes);
    expect(bodies.answeredTypes).toEqual(expect.arrayContaining(sentTypes));
    const { requestCount, answerCount } = bodies.counts;
    console.log(
      `${requestCount} bodies sent and ${answerCount} resources answered, of ` +
        `${bodies.answeredTypes.length} types, were checked against Azure's type data; ` +
        `types without data: ${bodies.typesWithoutData.join(", ") || "none"}`,
    );
    expect(bodies.findings).toEqual([]);
  });
}

test("no secret is in a queue, a table, a history or a log", { timeout: 400_000 }, async () => {
  // In the middle of a job, which gets no bytes until the search is over: every secret is in use.
  const image = await makeImage(join(running.directory, "busy.raw"), 20 * mib, [
    { offsetBytes: 0, lengthBytes: mib },
  ]);
  const vm = await makeVm("busy", { os: image });
  const { faults } = running.stack.cloud.dataPlane;
  const busy = { status: 503, code: "ServerBusy", count: Number.MAX_SAFE_INTEGER };
  faults.failNext({ ...busy, match: ({ operation }) => operation === "read" });
  const sessionId = await startBackup(running, vm);
  await waitUntilDispatched(running, sessionId);
  expect(await findSecrets(running)).toEqual([]);
  // The search finds what is there: or it would pass on anything.
  const planted = await plantSecrets(running);
  const found = await findSecrets(running);
  for (const pattern of planted) expect(found).toContainEqual(expect.stringMatching(pattern));
  const others = found.filter((text) => !planted.some((pattern) => pattern.test(text)));
  expect(others).toEqual([]);
  faults.clear();
  await waitForSuccess(running, sessionId);
});
