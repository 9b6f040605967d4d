/**
 * What is terminated from outside leaves nothing once the sweep was there; a wrong password too. The
 * whole stack runs with every episode of every orchestration replayed twice and compared.
 */
import { join } from "node:path";
import { BlobServiceClient } from "@azure/storage-blob";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import type { RestorePoint } from "#core/model/restore-point.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { repositorySecretName } from "#local/stack/secrets.ts";
import {
  backUp,
  leftovers,
  makeImage,
  mib,
  readDetail,
  restore,
  startBackup,
  startTestStack,
  waitForSuccess,
  waitUntilReading,
  type SessionDetail,
  type TestStack,
} from "./test-stack.ts";

const imageSizeBytes = 128 * mib;
const endTimeoutMs = 60_000;
const pollMs = 700;

let running: TestStack;
let stop: (() => Promise<void>) | undefined;
let vm: VmRow;
let first: RestorePoint;

beforeAll(async () => {
  running = await startTestStack({
    HOLDFAST_LOCAL_VALIDATE_REPLAY: "1",
    HOLDFAST_SWEEP_TICK: "*/3 * * * * *",
    HOLDFAST_SECRET_ANOTHER: "not the password of any repository",
  });
  stop = () => running.stop();
  const image = await makeDiskImage();
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

test("backup and restore replay the same way twice", { timeout: 120_000 }, async () => {
  // Between the two the worker rests deallocated, with a disk and without a process.
  const path = `/worker-configurations/${vm.region}`;
  const automatic = await running.api.call("GET", path, { answer: z.looseObject({}) });
  const { location: _location, origin: _origin, ...input } = automatic;
  const idle = { action: "deallocate", afterSeconds: 0 };
  const resting = await running.api.send("PUT", path, { ...input, osDisk: "managed", idle });
  expect(resting.status).toBe(200);
  first = await backUp(running, vm);
  const [worker] = await waitForWorkers("deallocated");
  const { resources } = running.stack.cloud.resourceManager;
  expect(resources.get(worker?.vmResourceId ?? "")?.internal["powerState"]).toBe("deallocated");
  expect(await processesOfWorkers()).toEqual([]);

  await restore(running, first, "copy");
  const sessions = await running.api.list("/sessions", restoreSchema);
  const { sessionId = "" } = sessions.find(({ type }) => type === "restore") ?? {};
  expect((await readDetail(running, sessionId)).workerId).toBe(worker?.workerId);
  // Nobody wants deallocated workers any more: this one goes.
  expect((await running.api.send("DELETE", path)).status).toBe(204);
  // An instance whose second replay differs fails, whatever its parent makes of that.
  expect(await instancesThat("Failed")).toEqual([]);
  expect((await instancesThat("Completed")).length).toBeGreaterThan(5);
});

test("a terminated backup leaves nothing", { timeout: 120_000 }, async () => {
  // New bytes everywhere: an incremental has as much to read as a full one.
  const file = await makeDiskImage();
  await running.stack.estate.writeDisk({ disk: "victim-os", offsetBytes: 0, file });
  slowDown();
  const sessionId = await startBackup(running, vm);
  const { attempt } = await waitUntilReading(running, sessionId);
  // Its children too, or they would clean up themselves.
  await terminate([`await-${sessionId}-${attempt}-0`, `job-${sessionId}`, sessionId]);
  await expectLost(sessionId);
});

test("a terminated restore leaves nothing", { timeout: 120_000 }, async () => {
  slowDown();
  const { sessionId } = await running.api.call("POST", "/restores", {
    body: { restorePointId: first.pointId, vmName: "lost" },
    answer: z.object({ sessionId: z.string() }),
  });
  await waitUntilReading(running, sessionId);
  // Its children outlive it, as in Azure, and find out.
  await terminate([sessionId]);
  await expectLost(sessionId);
});

test(
  "a wrong password fails the backup; with the right one the next is incremental",
  { timeout: 120_000 },
  async () => {
    await usePasswordOf("another");
    const failed = await waitForEnd(await startBackup(running, vm));
    expect([failed.state, failed.error?.code]).toEqual(["failed", "WrongRepositoryPassword"]);
    expect(await leftovers(running, [first])).toEqual([]);
    await usePasswordOf(repositorySecretName);
    const sessionId = await startBackup(running, vm);
    await waitForSuccess(running, sessionId);
    const { plan } = await readDetail(running, sessionId);
    expect(plan?.map(({ kind }) => kind)).toEqual(["incremental"]);
  },
);

function makeDiskImage(): Promise<string> {
  const everything = { offsetBytes: 0, lengthBytes: imageSizeBytes };
  return makeImage(join(running.directory, "disk.raw"), imageSizeBytes, [everything]);
}

/** One request at a time on a disk: the job is still at work when its orchestration is ended. */
function slowDown(): void {
  running.stack.cloud.dataPlane.faults.throttleAbove(1);
}

async function expectLost(sessionId: string): Promise<void> {
  const ended = await waitForEnd(sessionId);
  running.stack.cloud.dataPlane.faults.clear();
  expect([ended.state, ended.error?.code]).toEqual(["failed", "OrchestrationLost"]);
  expect(await leftovers(running, [first])).toEqual([]);
}

async function waitForEnd(sessionId: string): Promise<SessionDetail> {
  const deadline = performance.now() + endTimeoutMs;
  for (;;) {
    const session = await readDetail(running, sessionId);
    if (session.state !== "running") return session;
    if (performance.now() > deadline) throw new Error(`session ${sessionId} does not end`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

async function usePasswordOf(secretName: string): Promise<void> {
  const path = `/repositories/${running.repositoryId}`;
  const place = z.object({ name: z.string(), blobServiceUrl: z.string(), container: z.string() });
  const repository = await running.api.call("GET", path, { answer: place });
  const body = { ...repository, encryption: { kind: "password", secretName } };
  await running.api.call("PUT", path, { body, answer: place });
}

/** Ends orchestrations as an operator does: through the Durable extension's management API. */
const workerSchema = z.object({
  workerId: z.string(),
  vmResourceId: z.string(),
  state: z.string(),
});
const restoreSchema = z.object({ sessionId: z.string(), type: z.string() });

/** All workers, once each of them is in the state. */
async function waitForWorkers(state: string): Promise<z.infer<typeof workerSchema>[]> {
  const deadline = performance.now() + endTimeoutMs;
  for (;;) {
    const workers = await running.api.list("/workers", workerSchema);
    if (workers.length > 0 && workers.every((worker) => worker.state === state)) return workers;
    if (performance.now() > deadline) throw new Error(`not ${state}: ${JSON.stringify(workers)}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

async function processesOfWorkers(): Promise<string[]> {
  const found: string[] = [];
  for (const { vmId, name } of await running.stack.estate.listVms()) {
    for (const each of await running.stack.cloud.vmHost.listProcesses(vmId))
      found.push(`${name}: ${each.commandLine}`);
  }
  return found;
}

async function terminate(instanceIds: readonly string[]): Promise<void> {
  for (const instanceId of instanceIds) {
    const path = `${encodeURIComponent(instanceId)}/terminate?reason=test`;
    const { status } = await fetch(await managementUrl(path), { method: "POST" });
    expect([instanceId, status]).toEqual([instanceId, 202]);
  }
}

async function instancesThat(runtimeStatus: string): Promise<string[]> {
  const response = await fetch(await managementUrl(`?runtimeStatus=${runtimeStatus}`));
  const instances = z.array(z.object({ instanceId: z.string() })).parse(await response.json());
  return instances.map(({ instanceId }) => instanceId);
}

/** @param rest path below the instances, with a query */
async function managementUrl(rest: string): Promise<string> {
  const { origin } = new URL(running.stack.addresses.api);
  const code = encodeURIComponent(await durableKey());
  return `${origin}/runtime/webhooks/durabletask/instances/${rest}&code=${code}`;
}

/** The extension's system key, where the Functions host keeps it. */
async function durableKey(): Promise<string> {
  const { cloud, deployment } = running.stack;
  const blobs = BlobServiceClient.fromConnectionString(
    cloud.storage.connectionString(deployment.controlAccountName),
  );
  const container = blobs.getContainerClient("azure-webjobs-secrets");
  for await (const { name } of container.listBlobsFlat()) {
    const text = (await container.getBlobClient(name).downloadToBuffer()).toString("utf8");
    const keys = z.object({
      systemKeys: z.array(z.object({ name: z.string(), value: z.string() })),
    });
    const found = keys
      .parse(JSON.parse(text))
      .systemKeys.find((each) => each.name === "durabletask_extension");
    if (found !== undefined) return found.value;
  }
  throw new Error("the host has no key of the Durable extension");
}
