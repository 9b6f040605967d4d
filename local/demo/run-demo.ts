/**
 * The demo: two machines in two regions are backed up by a policy, changed, backed up again, and one
 * is restored and compared bit by bit. Everything that the product does goes through its HTTP API,
 * its timers and its workers; the demo plays the operator and the guests.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { restorePointSchema } from "#core/model/restore-point.ts";
import { formatSize } from "#local/commands/table.ts";
import { startStack, type Stack } from "#local/stack.ts";
import { ApiClient } from "#local/stack/api-client.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { repositorySecretName } from "#local/stack/secrets.ts";
import { findDifference } from "./compare-disks.ts";
import { describePoints } from "./disk-report.ts";
import { changeBlocks } from "./guest-changes.ts";
import { waitForCleanEstate } from "./leftovers.ts";
import { checkHealth, listFromContainer } from "./look-after.ts";
import type { Narration } from "./narration.ts";
import { createSampleImage } from "./sample-image.ts";
import { childrenOf, waitForEnd, waitForSession, type ShownSession } from "./sessions.ts";

const mib = 1024 * 1024;
const machines = [
  { name: "web", region: "westeurope", number: 1 },
  { name: "database", region: "northeurope", number: 2 },
] as const;
const osDisk = {
  sizeBytes: 2048 * mib,
  contentBytes: 300 * mib,
  sources: ["/usr/lib", "/usr/share"],
};
const dataDisk = {
  sizeBytes: 512 * mib,
  contentBytes: 100 * mib,
  sources: ["/usr/share", "/usr/lib"],
};
const place = { container: "backups", folder: "demo" };
const restoredName = "web-restored";
const changedShare = 0.02;
/** A slot comes every minute; a run takes some seconds on a quiet machine. */
const slotTimeoutMs = 100_000;
const runTimeoutMs = 240_000;
const cleanTimeoutMs = 90_000;

const policyAnswerSchema = z.object({ policyId: z.string() });
const repositoryAnswerSchema = z.object({ repositoryId: z.string() });
/** A list leaves out the VM's configuration. */
const pointSummarySchema = restorePointSchema.omit({ vm: true });
type PointSummary = z.infer<typeof pointSummarySchema>;
const startedSchema = z.object({ sessionId: z.string() });

interface Demo {
  readonly stack: Stack;
  readonly api: ApiClient;
  readonly narration: Narration;
  readonly scratchDirectory: string;
}

export async function runDemo(options: {
  readonly stateDirectory: string;
  readonly narration: Narration;
}): Promise<void> {
  const { stateDirectory, narration } = options;
  const scratchDirectory = join(stateDirectory, "scratch");
  await mkdir(scratchDirectory, { recursive: true });
  const images = narration.step("Making disk images of this machine's files (GPT, ext4)", () =>
    createImages(scratchDirectory),
  );
  // A failure of the stack comes first; the images' own is reported by the await below.
  images.catch(() => undefined);
  await using stack = await startStack({ stateDirectory });
  narration.say(`  a simulated Azure with the product runs; logs are in ${stateDirectory}/logs`);
  const api = new ApiClient({
    baseUrl: stack.addresses.api,
    readToken: async () => (await stack.issueApiToken()).token,
  });
  const files = await images;
  await play({ stack, api, narration, scratchDirectory }, files);
}

type ImageFiles = ReadonlyMap<string, { readonly os: string; readonly data: string }>;

async function createImages(directory: string): Promise<ImageFiles> {
  const files = new Map<string, { os: string; data: string }>();
  for (const { name, number } of machines) {
    const os = join(directory, `${name}-os.raw`);
    const data = join(directory, `${name}-data.raw`);
    await Promise.all([
      createSampleImage({ file: os, ...osDisk, number }),
      createSampleImage({ file: data, ...dataDisk, number: number + machines.length }),
    ]);
    files.set(name, { os, data });
  }
  return files;
}

async function play(demo: Demo, files: ImageFiles): Promise<void> {
  const { narration, stack } = demo;
  const vms = await narration.step("Creating two virtual machines in two regions", () =>
    createMachines(demo, files),
  );
  const { policyId, repositoryId } = await createPolicy(demo, vms);
  const first = await narration.step("First backup, started by the policy's timer", () =>
    runPolicy(demo, policyId, []),
  );
  await narration.step("The guests change 2 % of the blocks of every disk", () =>
    changeGuests(demo),
  );
  const second = await narration.step("Second backup, started by the timer, incremental", () =>
    runPolicy(demo, policyId, [first]),
  );
  const points = [...(await pointsOf(demo, first)), ...(await pointsOf(demo, second))];
  const newest = points.findLast(({ vmName }) => vmName === machines[0].name);
  if (newest === undefined) throw new Error(`There is no restore point of ${machines[0].name}.`);
  await narration.step(`Restoring ${newest.vmName} as ${restoredName}`, () =>
    restore(demo, newest),
  );
  await narration.step("Comparing every restored disk with its source snapshot", () =>
    compare(demo, newest),
  );
  narration.say(`\n${describePoints(points)}\n`);
  checkKinds(points);
  await lookAfter(demo, repositoryId);
  await narration.step("Looking for what was left behind", async () => {
    const bases = points.slice(vms.length).flatMap(snapshotIdsOf);
    const expected = {
      vmNames: [...machines.map(({ name }) => name), restoredName],
      diskNames: (await stack.estate.listVms()).flatMap(({ disks }) =>
        disks.filter(isOfSample).map(({ name }) => name),
      ),
      baseSnapshotIds: bases,
    };
    await waitForCleanEstate(stack, expected, {
      timeoutMs: cleanTimeoutMs,
      onWaiting: (line) => narration.waiting(line),
    });
    narration.say("  no live SAS, no worker, no worker's NIC or disk;");
    narration.say(`  ${bases.length} snapshots: the base of each disk's next incremental`);
  });
}

async function lookAfter({ api, stack, narration }: Demo, repositoryId: string): Promise<void> {
  await narration.step("Checking the repository's health on a worker", async () => {
    narration.say(`  ${await checkHealth(api, repositoryId, runTimeoutMs)}`);
  });
  await narration.step(
    "Reading it with `holdfast repo ls`, without the control plane",
    async () => {
      for (const line of await listFromContainer(stack, place)) narration.say(`  ${line}`);
    },
  );
}

function isOfSample({ name }: { name: string }): boolean {
  return [...machines.map((machine) => machine.name), restoredName].some((vm) =>
    [`${vm}-os`, `${vm}-data-0`].includes(name),
  );
}

async function createMachines({ stack, narration }: Demo, files: ImageFiles): Promise<VmRow[]> {
  const vms: VmRow[] = [];
  for (const { name, region } of machines) {
    const file = files.get(name);
    if (file === undefined) throw new Error(`There is no image of ${name}.`);
    const vm = await stack.estate.createVm({
      name,
      region,
      osDisk: file.os,
      dataDisks: [file.data],
      tags: { environment: "demo" },
    });
    narration.say(`  ${name} in ${region}: ${vm.disks.map(describeDisk).join(", ")}`);
    vms.push(vm);
  }
  return vms;
}

function describeDisk({ name, sizeBytes }: VmRow["disks"][number]): string {
  return `${name} ${formatSize(sizeBytes)}`;
}

async function createPolicy(
  { api, stack }: Demo,
  vms: readonly VmRow[],
): Promise<{ policyId: string; repositoryId: string }> {
  const { repositoryId } = await api.call("POST", "/repositories", {
    body: {
      name: "demo",
      blobServiceUrl: stack.addresses.blob,
      ...place,
      encryption: { kind: "password", secretName: repositorySecretName },
    },
    answer: repositoryAnswerSchema,
  });
  const { policyId } = await api.call("POST", "/policies", {
    body: {
      name: "every minute",
      schedule: { cron: "* * * * *", timeZone: "UTC" },
      selection: { include: { vmIds: vms.map(({ vmId }) => vmId) } },
      repositoryId,
      enabled: false,
    },
    answer: policyAnswerSchema,
  });
  return { policyId, repositoryId };
}

/** Enables the policy until its timer has started a run, and waits for that run. */
async function runPolicy(
  demo: Demo,
  policyId: string,
  before: readonly ShownSession[],
): Promise<ShownSession> {
  const { api, narration } = demo;
  const onProgress = (line: string) => narration.progress(line);
  const onWaiting = (line: string) => narration.waiting(line);
  await setEnabled(api, policyId, true);
  const started = await waitForSession(
    (session) =>
      session.type === "policy" &&
      session.policyId === policyId &&
      !before.some(({ sessionId }) => sessionId === session.sessionId),
    { api, timeoutMs: slotTimeoutMs, waitingFor: "the policy's next slot", onWaiting },
  );
  await setEnabled(api, policyId, false);
  narration.say(`  session ${started.sessionId}, ${started.trigger}`);
  return waitForEnd(started.sessionId, { api, timeoutMs: runTimeoutMs, onProgress });
}

async function setEnabled(api: ApiClient, policyId: string, enabled: boolean): Promise<void> {
  const path = `/policies/${policyId}`;
  const policy = await api.call("GET", path, { answer: z.looseObject({}) });
  const { name, schedule, selection, repositoryId, maxConcurrentVms } = policy;
  const body = { name, schedule, selection, repositoryId, maxConcurrentVms, enabled };
  await api.call("PUT", path, { body, answer: z.unknown() });
}

async function changeGuests({ stack, narration }: Demo): Promise<void> {
  for (const disk of (await stack.estate.listDisks()).filter(isOfSample)) {
    const id = disk.resourceId.toLowerCase();
    const count = await changeBlocks(stack.cloud.disks, id, changedShare);
    narration.say(`  ${disk.name}: ${count} blocks of 64 KiB`);
  }
}

async function pointsOf({ api }: Demo, policySession: ShownSession): Promise<PointSummary[]> {
  const children = await childrenOf(api, policySession.sessionId);
  const ids = new Set(children.map(({ sessionId }) => sessionId));
  const points = await api.list("/restore-points", pointSummarySchema);
  const found = points.filter(({ sessionId }) => sessionId !== undefined && ids.has(sessionId));
  if (found.length !== machines.length) {
    throw new Error(`${found.length} restore points of ${machines.length} machines were indexed.`);
  }
  return found.toSorted((left, right) => left.vmName.localeCompare(right.vmName));
}

function snapshotIdsOf(point: PointSummary): string[] {
  return point.disks.flatMap(({ snapshot }) => snapshot?.snapshotId ?? []);
}

function checkKinds(points: readonly PointSummary[]): void {
  for (const [index, { vmName, disks }] of points.entries()) {
    const expected = index < machines.length ? "full" : "incremental";
    const other = disks.find(({ kind }) => kind !== expected);
    if (other === undefined) continue;
    throw new Error(`${vmName}, ${other.name}: ${other.kind}, not ${expected}: ${other.reason}`);
  }
}

async function restore({ api, narration }: Demo, point: PointSummary): Promise<void> {
  const { sessionId } = await api.call("POST", "/restores", {
    body: { restorePointId: point.pointId, vmName: restoredName },
    answer: startedSchema,
  });
  const onProgress = (line: string) => narration.progress(line);
  await waitForEnd(sessionId, { api, timeoutMs: runTimeoutMs, onProgress });
}

async function compare(demo: Demo, point: PointSummary): Promise<void> {
  const { stack, narration, scratchDirectory } = demo;
  const restored = (await stack.estate.listDisks()).filter(({ vm }) => vm === restoredName);
  if (restored.length !== point.disks.length) {
    throw new Error(`${restoredName} has ${restored.length} of ${point.disks.length} disks.`);
  }
  for (const disk of point.disks) {
    const suffix = disk.slot === "os" ? "-os" : `-data-${disk.slot}`;
    const target = restored.find(({ name }) => name === `${restoredName}${suffix}`);
    const snapshotId = disk.snapshot?.snapshotId;
    if (target === undefined || snapshotId === undefined) {
      throw new Error(`${disk.name}: its restored disk or its snapshot is missing.`);
    }
    const pair = {
      left: { kind: "snapshot", id: snapshotId.toLowerCase() },
      right: { kind: "disk", id: target.resourceId.toLowerCase() },
    } as const;
    const offset = await findDifference(stack.cloud.disks, pair, scratchDirectory);
    if (offset !== undefined) throw new Error(`${target.name} differs at byte ${offset}.`);
    narration.say(`  ${target.name}: all ${target.sizeBytes} bytes are equal`);
  }
}
