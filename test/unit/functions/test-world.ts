/** The whole control plane over fakes: real activities, orchestrators, entities and event handling. */
import { exportJWK, generateKeyPair, type CryptoKey } from "jose";
import { createMemoryRecordStore } from "#azure/storage/memory-record-store.ts";
import { deriveWorkerSecret, signEvent } from "#core/protocol/event-authentication.ts";
import type { ProbeResult } from "#core/model/doctor.ts";
import type { DoctorJob, Job } from "#core/protocol/job.ts";
import { openJob } from "#core/protocol/sealing.ts";
import type { JobResult, WorkerEventBody } from "#core/protocol/worker-event.ts";
import { ACTIVITIES } from "#functions/activities/all-activities.ts";
import type { AppContext } from "#functions/app-context.ts";
import { loadConfig } from "#functions/config.ts";
import { createEvents } from "#functions/events.ts";
import type { OrchestrationClient } from "#functions/orchestration-client.ts";
import { createRecords } from "#functions/records.ts";
import { handleWorkerEvent } from "#functions/triggers/worker-events.queue.ts";
import { createDriver, type Driver } from "./orchestrator-driver.ts";
import { createFakeAzure, type FakeAzure } from "./fake-azure.ts";
import { CONTROL_ACCOUNT_ID, ENDPOINT_SUBNET_ID, HUB_ID, ZONE_GROUP_ID } from "./fake-region.ts";
import { SUBSCRIPTION } from "./test-vm.ts";

export const TEST_SETTINGS = {
  HOLDFAST_STORAGE__queueServiceUri: "https://control.queue.example/",
  HOLDFAST_STORAGE__tableServiceUri: "https://control.table.example/",
  HOLDFAST_CONTROL_PLANE_ID: "6f1c7a1e-0000-4000-8000-000000000001",
  HOLDFAST_SUBSCRIPTION_IDS: SUBSCRIPTION,
  HOLDFAST_WORKER_RESOURCE_GROUP_ID: `/subscriptions/${SUBSCRIPTION}/resourceGroups/workers`,
  HOLDFAST_CONTROL_NETWORK_ID: HUB_ID,
  HOLDFAST_ENDPOINT_SUBNET_ID: ENDPOINT_SUBNET_ID,
  HOLDFAST_CONTROL_ACCOUNT_ID: CONTROL_ACCOUNT_ID,
  HOLDFAST_PRIVATE_DNS_GROUP_ID: ZONE_GROUP_ID,
  HOLDFAST_WORKER_IDENTITY_ID: `/subscriptions/${SUBSCRIPTION}/resourceGroups/workers/providers/x`,
  HOLDFAST_WORKER_CLIENT_ID: "worker-client",
  HOLDFAST_WORKER_IMAGE_URN: "Canonical:ubuntu-24_04-lts:server:24.04.202610010",
  HOLDFAST_MASTER_KEY: Buffer.alloc(32, 7).toString("base64"),
  HOLDFAST_SECRET_BACKUP_PASSWORD: "correct horse battery staple",
  HOLDFAST_API_ISSUER: "https://issuer.example/",
  HOLDFAST_API_AUDIENCE: "api://holdfast",
  HOLDFAST_API_JWKS_URI: "https://issuer.example/keys",
};

export const START = Date.parse("2026-11-22T01:30:00.000Z");

type OrdinaryJob = Exclude<Job, DoctorJob>;

export interface World {
  readonly azure: FakeAzure;
  readonly context: AppContext;
  readonly driver: Driver;
  readonly client: OrchestrationClient;
  /** Lines of business events. */
  readonly lines: string[];
  readonly jobs: OrdinaryJob[];
  /** Looks at the network that came before them. */
  readonly doctorJobs: DoctorJob[];
  /** What the simulated worker does with a job; by default it succeeds. */
  work: (job: OrdinaryJob) => WorkerEventBody | undefined;
  /** What a worker sees of its network; by default all is well. Nothing: it does not report. */
  look: (job: DoctorJob) => readonly ProbeResult[] | undefined;
  /** No worker looks at its network before a job: for tests that follow each message. */
  knowsNetwork: boolean;
  /** Comes before each activity; fails it with this outcome when it answers one. */
  sabotage: (name: string, call: number) => object | undefined | Promise<object | undefined>;
  send(workerId: string, body: WorkerEventBody): Promise<void>;
}

export function createWorld(settings: Record<string, string> = {}): World {
  const azure = createFakeAzure();
  const lines: string[] = [];
  const jobs: OrdinaryJob[] = [];
  const doctorJobs: DoctorJob[] = [];
  const keys = new Map<string, CryptoKey>();
  const started = new Map<string, string>();
  const config = loadConfig({ ...TEST_SETTINGS, ...settings });
  let calls = 0;
  let sequence = 0;
  let random = 0;
  const driver = createDriver(async (name, input) => {
    const failure = await world.sabotage(name, calls++);
    if (failure !== undefined) return failure;
    if (world.knowsNetwork && name === "plan-doctor") return { ok: true, value: { needed: false } };
    return ACTIVITIES[name as keyof typeof ACTIVITIES].run(context, input);
  }, START);
  const clock = (): Date => new Date(driver.now);
  const context: AppContext = {
    config,
    compute: azure.compute,
    region: azure.region,
    staging: azure.staging,
    records: createRecords(createMemoryRecordStore()),
    events: createEvents(clock, (line) => lines.push(line)),
    clock,
    randomHex: (count) => (++random).toString(16).padStart(count * 2, "0"),
    agentBundle: {
      describe: async () => ({
        version: "1.0.0",
        name: "holdfast-agent-1.0.0.tar.gz",
        sizeBytes: 5,
        sha256: "a".repeat(64),
        md5: "b".repeat(32),
      }),
      read: async () => new Uint8Array(5),
    },
  };
  const client: OrchestrationClient = {
    startOnce: async (name, instanceId) => {
      if (started.has(instanceId)) return false;
      started.set(instanceId, name);
      return true;
    },
    startUnlessRunning: async (name, instanceId) => {
      started.set(instanceId, name);
      return true;
    },
    stateOf: async (instanceId) => (started.has(instanceId) ? "running" : "missing"),
    raiseEvent: async (instanceId, eventName) => driver.raise(instanceId, eventName),
  };
  const world: World = {
    azure,
    context,
    driver,
    client,
    lines,
    jobs,
    doctorJobs,
    look: (job) => job.probes.map(healthyProbe),
    work: (job) => ({
      kind: "job-succeeded",
      jobId: job.jobId,
      attempt: job.attempt,
      result: resultOf(job),
    }),
    knowsNetwork: false,
    sabotage: () => undefined,
    async send(workerId, body) {
      const sentAt = clock().toISOString();
      const event = { version: 1 as const, workerId, sequence: sequence++, sentAt, body };
      const worker = await context.records.workers.read(workerId);
      const generation = worker?.value.generation ?? 1;
      const secret = deriveWorkerSecret(config.masterKey, workerId, generation);
      await handleWorkerEvent(context, client, signEvent(event, secret));
    },
  };
  azure.onRunCommand = async ({ parameters, protectedParameters }) => {
    const workerId = parameters["HOLDFAST_WORKER_ID"] ?? "";
    const { generation } = await context.records.workers.get(workerId);
    const secret = deriveWorkerSecret(config.masterKey, workerId, generation);
    if (protectedParameters["HOLDFAST_WORKER_SECRET"] !== Buffer.from(secret).toString("base64url"))
      throw new Error("the worker got another secret than its own");
    const pair = await generateKeyPair("ECDH-ES", { crv: "P-256", extractable: true });
    keys.set(`jobs-${workerId}`, pair.privateKey);
    const { x = "", y = "" } = await exportJWK(pair.publicKey);
    const publicKey = { kty: "EC", crv: "P-256", x, y } as const;
    await world.send(workerId, { kind: "enrolled", publicKey, agentVersion: "1.0.0" });
  };
  azure.onMessage = async (queueName, text) => {
    const message = JSON.parse(text) as { sealed: string };
    const workerId = queueName.replace(/^jobs-/, "");
    const privateKey = keys.get(queueName)!;
    const job = await openJob(message.sealed, { privateKey, workerId, now: clock() });
    let body: WorkerEventBody | undefined;
    if (job.kind === "doctor") {
      doctorJobs.push(job);
      const probes = world.look(job);
      const { jobId, attempt } = job;
      if (probes !== undefined)
        body = {
          kind: "job-succeeded",
          jobId,
          attempt,
          result: { kind: "doctor", probes: [...probes] },
        };
    } else {
      jobs.push(job);
      body = world.work(job);
    }
    if (body !== undefined) await world.send(workerId, body);
  };
  return world;
}

function resultOf(job: OrdinaryJob): JobResult {
  if (job.kind === "restore") {
    const disks = job.disks.map(({ diskId, sizeBytes }) => ({
      diskId,
      sizeBytes,
      writtenBytes: sizeBytes,
      readBytes: sizeBytes,
      durationMs: 10,
    }));
    return { kind: "restore", disks };
  }
  if (job.kind !== "backup") return repositoryResultOf(job);
  const disks = job.disks.map((disk) => ({
    diskId: disk.diskId,
    kind: disk.base === undefined ? ("full" as const) : ("incremental" as const),
    reason: "as planned",
    sizeBytes: disk.sizeBytes,
    readBytes: disk.sizeBytes,
    changedBytes: disk.sizeBytes,
    storedBytes: 1,
    zeroBytes: 0,
    unchangedBytes: 0,
    durationMs: 10,
    warnings: [],
  }));
  return { kind: "backup", pointId: job.pointId, disks };
}

export function healthyProbe({
  name,
  kind,
  url,
  targetId,
}: DoctorJob["probes"][number]): ProbeResult {
  return {
    name,
    kind,
    host: new URL(url).host,
    ...(targetId === undefined ? {} : { targetId }),
    ok: true,
    aliases: [],
    address: "10.213.0.4",
    durationMs: 5,
    code: "Ok",
    message: "answers",
  };
}

function repositoryResultOf(job: Exclude<OrdinaryJob, { kind: "backup" | "restore" }>): JobResult {
  switch (job.kind) {
    case "backup-part":
      return {
        kind: "backup-part",
        diskId: job.disk.diskId,
        part: job.part,
        readBytes: job.part.lengthBytes,
        storedBytes: 1,
        durationMs: 10,
      };
    case "maintain":
      return {
        kind: "maintain",
        expiredPoints: job.expiredPoints,
        keptPoints: [],
        expiredArchiveIds: job.expiredArchives.map(({ archiveId }) => archiveId),
        expiredRetrievalIds: job.expiredRetrievals,
        deletedObjects: 3,
        deletedBytes: 300,
        markedObjects: 2,
        markedBytes: 200,
        immutableObjects: 0,
        skippedDisks: [],
      };
    case "check":
      return {
        kind: "check",
        level: job.level,
        checkedObjects: 10,
        checkedPoints: 1,
        verifiedBlocks: 100,
        readBytes: 1000,
        findingCount: 0,
        findings: [],
      };
    case "archive":
      return {
        kind: "archive",
        archiveId: job.archiveId,
        objectCount: 4,
        storedBytes: 3 * 2 ** 30,
        disks: [],
      };
    case "retrieve":
      return {
        kind: "retrieve",
        retrievalId: job.retrievalId,
        objectCount: 4,
        pendingObjects: 0,
        storedBytes: 3 * 2 ** 30,
      };
    case "import":
      return {
        kind: "import",
        pointCount: 0,
        archiveCount: 0,
        unreadableCount: 0,
        unreadable: [],
      };
  }
}

/** Makes a repository with a password and answers its id. */
export async function addRepository({ context }: World): Promise<string> {
  const at = context.clock().toISOString();
  await context.records.repositories.insert("r-1", {
    repositoryId: "r-1",
    name: "main",
    blobServiceUrl: "https://repo.blob.example/",
    container: "backups",
    folder: "",
    encryption: { kind: "password", secretName: "backup-password" },
    immutability: { kind: "off" },
    createdAt: at,
    updatedAt: at,
  });
  return "r-1";
}

export async function collect<Value>(list: AsyncIterable<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for await (const value of list) values.push(value);
  return values;
}
