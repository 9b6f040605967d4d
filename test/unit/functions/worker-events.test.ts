import { beforeEach, describe, expect, it } from "vitest";
import { deriveWorkerSecret, signEvent } from "#core/protocol/event-authentication.ts";
import type { WorkerEvent } from "#core/protocol/worker-event.ts";
import { handleWorkerEvent } from "#functions/triggers/worker-events.queue.ts";
import { createWorld, type World } from "./test-world.ts";

let world: World;
const key = (x: string) => ({ kty: "EC", crv: "P-256", x, y: "y" }) as const;

beforeEach(async () => {
  world = createWorld();
  await world.context.records.workers.insert("w", {
    workerId: "w",
    location: "west",
    vmResourceId: "/vm",
    nicId: "/nic",
    queueName: "jobs-w",
    queueServiceUrl: "https://q/",
    blobServiceUrl: "https://b/",
    createdAt: world.context.clock().toISOString(),
    state: "enrolling",
    stateAt: world.context.clock().toISOString(),
    profile: "small",
    launch: {
      vmSize: "Standard_F2s_v2",
      priority: "regular",
      osDisk: "managed",
      image: { kind: "marketplace", urn: "Canonical:u:s:1.0.0" },
      tags: {},
    },
    generation: 1,
  });
});

const worker = () => world.context.records.workers.get("w");

describe("events of workers", () => {
  it("are dropped when they are forged or unreadable, and touch nothing", async () => {
    const event: WorkerEvent = {
      version: 1,
      workerId: "w",
      sequence: 0,
      sentAt: "2026-11-22T01:30:00.000Z",
      body: { kind: "enrolled", publicKey: key("evil"), agentVersion: "1" },
    };
    const forged = signEvent(event, new Uint8Array(32));
    for (const message of [
      forged,
      JSON.stringify(forged),
      "{",
      "",
      7,
      null,
      { event: "{}", mac: "" },
    ])
      await handleWorkerEvent(world.context, world.client, message);
    expect((await worker()).publicKey).toBeUndefined();
    expect((await worker()).lastSeenAt).toBeUndefined();
    expect(world.lines.filter((line) => line.includes('"eventDropped"'))).toHaveLength(7);
  });

  it("of an unknown worker are dropped", async () => {
    await world.send("gone", { kind: "heartbeat", memoryBytes: 1 });
    expect(world.lines.join()).toContain("UnknownWorker");
  });

  it("enrol a worker once: the same key again changes nothing, another one is refused", async () => {
    const enrol = (x: string) =>
      world.send("w", { kind: "enrolled", publicKey: key(x), agentVersion: "1" });
    const at = world.driver.now;
    await enrol("first");
    world.driver.now = at + 1000;
    await enrol("first");
    expect(await worker()).toMatchObject({ enrolledAt: new Date(at).toISOString() });
    expect((await worker()).keyLostAt).toBeUndefined();
    await enrol("second");
    expect((await worker()).publicKey?.x).toBe("first");
    expect((await worker()).keyLostAt).toBe(new Date(at + 1000).toISOString());
    expect(world.lines.join()).toContain("EnrolmentUsed");
  });

  it("of an older agent that come late do not harm the one that enrolled", async () => {
    const at = world.driver.now;
    await world.send("w", { kind: "enrolled", publicKey: key("second"), agentVersion: "1" });
    world.driver.now = at - 1000;
    await world.send("w", { kind: "enrolled", publicKey: key("first"), agentVersion: "1" });
    expect((await worker()).publicKey?.x).toBe("second");
    expect((await worker()).keyLostAt).toBeUndefined();
  });

  it("that were signed before the worker was started again are dropped", async () => {
    const { masterKey } = world.context.config;
    const event: WorkerEvent = {
      version: 1,
      workerId: "w",
      sequence: 0,
      sentAt: "2026-11-22T01:30:00.000Z",
      body: { kind: "enrolled", publicKey: key("old"), agentVersion: "1" },
    };
    const old = signEvent(event, deriveWorkerSecret(masterKey, "w", 1));
    await world.context.records.workers.update("w", (each) => ({ ...each, generation: 2 }));
    await handleWorkerEvent(world.context, world.client, old);
    expect((await worker()).publicKey).toBeUndefined();
    expect(world.lines.join()).toContain("ForgedEvent");
    const fresh = signEvent(event, deriveWorkerSecret(masterKey, "w", 2));
    await handleWorkerEvent(world.context, world.client, fresh);
    expect((await worker()).publicKey?.x).toBe("old");
  });

  it("of an agent that started anew fail the job that it has lost, even when told twice", async () => {
    const { jobs, workers } = world.context.records;
    await jobs.insert("j", {
      jobId: "j",
      sessionId: "j",
      location: "west",
      state: "dispatched",
      attempt: 2,
      workerId: "w",
      progress: [],
      progressSequence: -1,
      spec: { kind: "restore", repositoryId: "r", vmId: "v", pointId: "p", disks: [] },
    });
    const enrol = (x: string) =>
      world.send("w", { kind: "enrolled", publicKey: key(x), agentVersion: "1" });
    await enrol("first");
    await workers.update("w", (each) => ({
      ...each,
      dispatch: { jobId: "j", attempt: 2, sealedTo: each.publicKey?.x },
    }));
    world.driver.now += 1000;
    await enrol("first");
    expect(await jobs.get("j")).toMatchObject({ state: "dispatched" });
    world.driver.now += 1000;
    await enrol("second");
    await enrol("second");
    expect(await jobs.get("j")).toMatchObject({
      state: "failed",
      error: { code: "AgentRestarted", retry: "backoff" },
    });
  });

  it("of an earlier dispatch or another worker do not count; late progress does not go back", async () => {
    const { jobs } = world.context.records;
    await jobs.insert("j", {
      jobId: "j",
      sessionId: "j",
      location: "west",
      state: "dispatched",
      attempt: 2,
      workerId: "w",
      progress: [],
      progressSequence: 5,
      spec: { kind: "restore", repositoryId: "r", vmId: "v", pointId: "p", disks: [] },
    });
    const error = { code: "X", message: "https://x/?sig=abc", retry: "never" } as const;
    await world.send("w", { kind: "job-failed", jobId: "j", attempt: 1, error });
    await world.send("w", {
      kind: "progress",
      jobId: "j",
      attempt: 2,
      disks: [{ diskId: "d", doneBytes: 1, totalBytes: 2, readBytes: 1, storedBytes: 1 }],
    });
    expect(await jobs.get("j")).toMatchObject({ state: "dispatched", progress: [] });
    await world.send("w", { kind: "job-failed", jobId: "j", attempt: 2, error });
    expect(await jobs.get("j")).toMatchObject({
      state: "failed",
      error: { code: "X", message: "https://x/?sig=***" },
    });
    const result = { kind: "restore" as const, disks: [] };
    await world.send("w", { kind: "job-succeeded", jobId: "j", attempt: 2, result });
    expect((await jobs.get("j")).state).toBe("failed");
  });
});
