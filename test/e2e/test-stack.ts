import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { restorePointSchema, type RestorePoint } from "#core/model/restore-point.ts";
import { workerConfigurationSchema } from "#core/model/worker-configuration.ts";
import { findLeftovers } from "#local/demo/leftovers.ts";
import { shownSessionSchema, waitForEnd, type ShownSession } from "#local/demo/sessions.ts";
import { startStack, type Stack } from "#local/stack.ts";
import { ApiClient } from "#local/stack/api-client.ts";
import type { VmRow } from "#local/stack/control-protocol.ts";
import { repositorySecretName } from "#local/stack/secrets.ts";
import { findOrphans, findRemains, readEstate } from "./estate.ts";

/** A whole local Azure with the product in it, and what an operator does with it. */
export interface TestStack {
  readonly stack: Stack;
  readonly api: ApiClient;
  readonly directory: string;
  readonly repositoryId: string;
  /** After each test, when nothing runs: throws when something is left besides resting workers. */
  checkEstate(): Promise<void>;
  /** Throws when something is left that was not there before, and does not belong there. */
  stop(): Promise<void>;
}

export const mib = 1024 * 1024;
const runTimeoutMs = 240_000;
const cleanTimeoutMs = 60_000;
/** Each look is a dozen storage requests, which the tests beside this one wait for. */
const pollMs = 250;
const startedSchema = z.object({ sessionId: z.string() });
const sessionDetailSchema = shownSessionSchema.extend({
  attempt: z.number(),
  workerId: z.string().nullable(),
  log: z.array(z.object({ message: z.string() })),
});
export type SessionDetail = z.infer<typeof sessionDetailSchema>;

/** @param settings app settings beside or instead of the stack's usual ones */
export async function startTestStack(
  settings: Readonly<Record<string, string>> = {},
  network: "loopback" | "namespaces" = "loopback",
  { hasHostAccount = false }: { readonly hasHostAccount?: boolean } = {},
): Promise<TestStack> {
  if (!existsSync("dist/functions/main.mjs")) throw new Error("build first: npm run build");
  const directory = await mkdtemp(join(tmpdir(), "holdfast-e2e-"));
  const stack = await startStack({
    stateDirectory: join(directory, "state"),
    settings,
    network,
    hasHostAccount,
  });
  const before = await readEstate(stack);
  const api = new ApiClient({
    baseUrl: stack.addresses.api,
    readToken: async () => (await stack.issueApiToken()).token,
  });
  const repositoryId = await createRepository(api, stack).catch(async (error: unknown) => {
    await stack.stop();
    throw error;
  });
  return {
    stack,
    api,
    directory,
    repositoryId,
    async checkEstate() {
      refuseLeft(await findOrphans(stack, api, { before, workers: "resting" }));
    },
    async stop() {
      await retireWorkers(api).catch(() => undefined); // the estate's check finds what stayed
      const left = await findOrphans(stack, api, { before, workers: "gone" }).catch(
        (error: unknown) => [String(error)],
      );
      await stack.stop();
      left.push(...(await findRemains(directory, before)));
      await rm(directory, { recursive: true, force: true });
      refuseLeft(left);
    },
  };
}

function refuseLeft(left: readonly string[]): void {
  if (left.length > 0) throw new Error(`The estate is not as it was:\n${left.join("\n")}`);
}

/** Has idle workers go at once, as an operator does, and waits for it. */
async function retireWorkers(api: ApiClient): Promise<void> {
  const workerSchema = z.object({ workerId: z.string(), location: z.string() });
  const list = () => api.list("/workers", workerSchema);
  for (const location of new Set((await list()).map((worker) => worker.location))) {
    const path = `/worker-configurations/${location}`;
    const read = await api.call("GET", path, { answer: workerConfigurationSchema });
    const { location: _region, origin: _origin, updatedAt: _at, ...configuration } = read;
    const body = { ...configuration, minimum: 0, idle: { action: "delete", afterSeconds: 0 } };
    await api.call("PUT", path, { body, answer: workerConfigurationSchema });
  }
  const deadline = performance.now() + cleanTimeoutMs;
  while (performance.now() < deadline && (await list()).length > 0)
    await new Promise((resolve) => setTimeout(resolve, pollMs));
}

/** @param record fields beside or instead of the usual ones */
export async function createRepository(
  api: ApiClient,
  stack: Stack,
  record: object = {},
): Promise<string> {
  const { repositoryId } = await api.call("POST", "/repositories", {
    body: {
      name: "test",
      blobServiceUrl: stack.addresses.blob,
      container: "backups",
      encryption: { kind: "password", secretName: repositorySecretName },
      ...record,
    },
    answer: z.object({ repositoryId: z.string() }),
  });
  return repositoryId;
}

/** Starts a backup on demand; answers its session. */
export async function startBackup(test: TestStack, vm: VmRow): Promise<string> {
  const path = `/protected-vms/${vm.vmId}/backups`;
  const body = { repositoryId: test.repositoryId };
  return (await test.api.call("POST", path, { body, answer: startedSchema })).sessionId;
}

export async function backUp(test: TestStack, vm: VmRow): Promise<RestorePoint> {
  const sessionId = await startBackup(test, vm);
  await waitForEnd(sessionId, { api: test.api, timeoutMs: runTimeoutMs });
  return readPoint(test, sessionId);
}

/** The restore point that a session made. */
export async function readPoint(test: TestStack, sessionId: string): Promise<RestorePoint> {
  const summary = restorePointSchema.omit({ vm: true });
  const points = await test.api.list("/restore-points", summary);
  const found = points.find((point) => point.sessionId === sessionId);
  if (found === undefined) throw new Error(`session ${sessionId} made no restore point`);
  return test.api.call("GET", `/restore-points/${found.pointId}`, { answer: restorePointSchema });
}

export async function restore(
  test: TestStack,
  point: RestorePoint,
  vmName: string,
  estate: Pick<Stack["estate"], "listVms"> = test.stack.estate,
): Promise<VmRow> {
  const { sessionId } = await test.api.call("POST", "/restores", {
    body: { restorePointId: point.pointId, vmName },
    answer: startedSchema,
  });
  await waitForEnd(sessionId, { api: test.api, timeoutMs: runTimeoutMs });
  const vm = (await estate.listVms()).find(({ name }) => name === vmName);
  if (vm === undefined) throw new Error(`the restore succeeded and there is no ${vmName}`);
  return vm;
}

export async function readDetail(test: TestStack, sessionId: string): Promise<SessionDetail> {
  return test.api.call("GET", `/sessions/${sessionId}`, { answer: sessionDetailSchema });
}

/** Waits until the worker of a session has read bytes of its job and is not done. */
export async function waitUntilReading(test: TestStack, sessionId: string): Promise<SessionDetail> {
  return waitUntil(test, sessionId, ({ progress }) =>
    (progress ?? []).some(({ readBytes }) => readBytes > 0),
  );
}

/** Waits until a worker has the job of a session and is not done. */
export async function waitUntilDispatched(
  test: TestStack,
  sessionId: string,
): Promise<SessionDetail> {
  return waitUntil(test, sessionId, ({ log }) =>
    log.some(({ message }) => message.includes("has the job")),
  );
}

async function waitUntil(
  test: TestStack,
  sessionId: string,
  isReached: (session: SessionDetail) => boolean,
): Promise<SessionDetail> {
  const deadline = performance.now() + runTimeoutMs;
  while (performance.now() < deadline) {
    const session = await readDetail(test, sessionId);
    if (session.state !== "running") throw new Error(`it ended as ${session.state} before`);
    if (isReached(session)) return session;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
  throw new Error(`session ${sessionId} did not get that far in time`);
}

/** Waits for the end of a session that is expected to succeed. */
export async function waitForSuccess(test: TestStack, sessionId: string): Promise<ShownSession> {
  return waitForEnd(sessionId, { api: test.api, timeoutMs: runTimeoutMs });
}

/** What is left of workers, snapshots and SAS once all sessions are over and workers had time to go. */
export async function leftovers(
  test: TestStack,
  newestPoints: readonly RestorePoint[],
): Promise<string[]> {
  const vms = await test.stack.estate.listVms();
  const sampleVms = vms.filter(({ resourceId }) => resourceId.includes("/workloads-rg/"));
  const expected = {
    vmNames: sampleVms.map(({ name }) => name),
    diskNames: sampleVms.flatMap(({ disks }) => disks.map(({ name }) => name)),
    baseSnapshotIds: newestPoints.flatMap(({ disks }) =>
      disks.flatMap(({ snapshot }) => snapshot?.snapshotId ?? []),
    ),
  };
  const deadline = performance.now() + cleanTimeoutMs;
  for (;;) {
    const left = findLeftovers(test.stack, expected);
    if (left.length === 0 || performance.now() > deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Makes a sparse image with the given pieces of random bytes. */
export async function makeImage(
  file: string,
  sizeBytes: number,
  pieces: readonly { readonly offsetBytes: number; readonly lengthBytes: number }[],
): Promise<string> {
  await using handle = await open(file, "w");
  await handle.truncate(sizeBytes);
  for (const { offsetBytes, lengthBytes } of pieces) {
    await handle.write(randomBytes(lengthBytes), 0, lengthBytes, offsetBytes);
  }
  return file;
}

/** Lower-case resource id of a VM's disk, as the disk service knows it. */
export async function diskId(test: TestStack, diskName: string): Promise<string> {
  const disk = (await test.stack.estate.listDisks()).find(({ name }) => name === diskName);
  if (disk === undefined) throw new Error(`there is no disk ${diskName}`);
  return disk.resourceId.toLowerCase();
}
