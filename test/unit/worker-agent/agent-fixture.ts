import { randomBytes } from "node:crypto";
import { verifyEvent } from "#core/protocol/event-authentication.ts";
import { PROTOCOL_VERSION, type BackupJob } from "#core/protocol/job.ts";
import { sealJob } from "#core/protocol/sealing.ts";
import type { WorkerEvent, WorkerEventBody } from "#core/protocol/worker-event.ts";
import type { ReceivedMessage, WorkerChannel } from "#core/ports/worker-channel.ts";
import type { Clock } from "#worker-agent/clock.ts";
import { EventSender } from "#worker-agent/event-sender.ts";
import { createAgentEvents } from "#worker-agent/events.ts";
import { runAgent, type Agent } from "#worker-agent/run-loop.ts";

export const workerId = "worker-1";
const startMs = Date.parse("2026-11-22T00:00:00Z");

/** Moves on by itself: whoever sleeps wakes at once, later. */
class RunningClock implements Clock {
  #nowMs = startMs;
  now(): Date {
    return new Date(this.#nowMs);
  }
  async sleep(durationMs: number): Promise<void> {
    this.#nowMs += durationMs;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Queues of a control plane in memory: what a test puts in and what the agent says. */
export class TestChannel implements WorkerChannel {
  readonly jobs: ReceivedMessage[] = [];
  readonly deletedIds: string[] = [];
  readonly blobs = new Map<string, string>();
  readonly sent: WorkerEvent[] = [];
  sendFailures = 0;
  readonly #secret: Uint8Array;
  readonly #waiters: (() => void)[] = [];

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  async receiveJob(): Promise<ReceivedMessage | undefined> {
    return this.jobs.shift();
  }
  async deleteJob({ id }: ReceivedMessage): Promise<void> {
    this.deletedIds.push(id);
  }
  async readJobBlob(name: string): Promise<string> {
    return this.blobs.get(name) ?? "";
  }
  async sendEvent(text: string): Promise<void> {
    if (this.sendFailures > 0) {
      this.sendFailures -= 1;
      throw new Error("the queue is away: https://q.test/e?sig=topsecret");
    }
    this.sent.push(verifyEvent(JSON.parse(text), () => this.#secret));
    for (const wake of this.#waiters.splice(0)) wake();
  }

  bodies<Kind extends WorkerEventBody["kind"]>(kind: Kind) {
    return this.sent
      .map(({ body }) => body)
      .filter((body): body is Extract<WorkerEventBody, { kind: Kind }> => body.kind === kind);
  }

  /** The nth event of a kind (from 1); waits for it. */
  async waitFor<Kind extends WorkerEventBody["kind"]>(kind: Kind, count = 1) {
    for (;;) {
      const found = this.bodies(kind)[count - 1];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** Seals a job to the key that the agent enrolled with and queues it. */
  async dispatch(job: BackupJob, id = `message-${job.jobId}-${job.attempt}`): Promise<string> {
    const sealed = await sealJob(job, (await this.waitFor("enrolled")).publicKey);
    const text = JSON.stringify({ carrier: "inline", jobId: job.jobId, sealed });
    this.jobs.push({ id, text, dequeueCount: 1 });
    return text;
  }
}

export interface RunningAgent extends AsyncDisposable {
  readonly channel: TestChannel;
  readonly lines: string[];
  stop(): Promise<void>;
}

export function startAgent(runJob: Agent["runJob"]): RunningAgent {
  const secret = randomBytes(32);
  const channel = new TestChannel(secret);
  const clock = new RunningClock();
  const lines: string[] = [];
  const events = createAgentEvents({
    workerId,
    now: () => clock.now(),
    writeLine: (line) => lines.push(line),
  });
  const stopping = new AbortController();
  const sender = new EventSender({ workerId, workerSecret: secret, channel, clock, events });
  const agent: Agent = {
    workerId,
    agentVersion: "1.2.3",
    heartbeatMs: 15_000,
    channel,
    sender,
    events,
    clock,
    memoryBytes: () => 1234,
    runJob,
  };
  const run = runAgent(agent, stopping.signal);
  const stop = async (): Promise<void> => {
    stopping.abort();
    await run;
  };
  return { channel, lines, stop, [Symbol.asyncDispose]: stop };
}

export function backupJob(fields: Partial<BackupJob> = {}): BackupJob {
  const disk = {
    diskId: "disk-os",
    resourceId: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/os",
    name: "os",
    slot: "os" as const,
    location: "westeurope",
    zones: [],
    sizeBytes: 1024 * 1024,
    skuName: "Premium_LRS",
    caching: "ReadWrite" as const,
    writeAcceleratorEnabled: false,
    deleteOption: "Detach" as const,
    tags: {},
  };
  const { diskId, name, slot, sizeBytes } = disk;
  return {
    version: PROTOCOL_VERSION,
    kind: "backup",
    jobId: "job-1",
    attempt: 1,
    workerId,
    expiresAt: "2027-01-01T00:00:00Z",
    repository: {
      repositoryId: "r",
      blobServiceUrl: "https://repo.test/",
      container: "backups",
      folder: "",
      encryption: { kind: "password", password: "hunter2-very-secret" },
    },
    pointId: "point-1",
    takenAt: "2026-11-22T00:00:00Z",
    vm: {
      vmId: "vm-1",
      resourceId: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v",
      name: "v",
      location: "westeurope",
      zones: [],
      vmSize: "Standard_D2s_v5",
      osDisk: disk,
      dataDisks: [],
      nics: [],
      tags: {},
      bootDiagnosticsEnabled: false,
      extensionNames: [],
    },
    disks: [{ diskId, name, slot, sizeBytes, sas: "https://md-1.test/c/abcd?sv=1&sig=diskgrant" }],
    unchangedSampleCount: 4,
    ...fields,
  };
}
