import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "#local/functions-host/clock.ts";
import { AzureTaskStore } from "#local/functions-host/durable/azure-storage/azure-task-store.ts";
import { eventBase, eventTypes } from "#local/functions-host/durable/history-events.ts";
import {
  type ControlMessage,
  type InstanceRecord,
  newInstanceRecord,
} from "#local/functions-host/durable/instance-record.ts";
import { MemoryTaskStore } from "#local/functions-host/durable/memory-task-store.ts";
import type { TaskStore } from "#local/functions-host/durable/task-store.ts";
import { AppSettings } from "#local/functions-host/settings.ts";
import { StorageConnections } from "#local/functions-host/storage/storage-connections.ts";
import { AzuriteProcess } from "./azurite-process.ts";
import { eventually } from "./host-process.ts";

const leaseMs = 1000;
const at = new Date("2026-03-01T00:00:00.000Z");

let azurite: AzuriteProcess;
beforeAll(async () => {
  azurite = await AzuriteProcess.start();
});
afterAll(async () => {
  await azurite[Symbol.asyncDispose]();
});

let hubCount = 0;
const makers: Record<string, () => TaskStore> = {
  memory: () => new MemoryTaskStore(systemClock, leaseMs),
  "Azure Storage": () => {
    const connections = new StorageConnections(
      new AppSettings({ AzureWebJobsStorage: azurite.connectionString }),
    );
    return new AzureTaskStore({
      connection: connections.get("AzureWebJobsStorage"),
      hubName: `Contract${hubCount++}`,
      leaseMs,
      clock: systemClock,
      log: () => undefined,
    });
  },
};

function recordOf(instanceId: string, eventCount: number, executionId = "e1"): InstanceRecord {
  const record = newInstanceRecord({
    instanceId,
    executionId,
    name: "program",
    input: '{"text":"ä"}',
    createdAt: at.toISOString(),
  });
  return { ...record, history: eventsOf(eventCount, "x") };
}

function eventsOf(count: number, fill: string): InstanceRecord["history"] {
  return Array.from({ length: count }, (_, index) => ({
    ...eventBase(at),
    EventType: eventTypes.eventRaised,
    Name: `event-${index}`,
    Input: JSON.stringify(fill),
  }));
}

function messageOf(instanceId: string, text = "hello"): ControlMessage {
  const event = {
    ...eventBase(at),
    EventType: eventTypes.eventRaised,
    Name: "event",
    Input: JSON.stringify(text),
  };
  return { messageId: `message-${instanceId}`, instanceId, event };
}

describe.each(Object.entries(makers))("a task store in %s", (_name, make) => {
  let store: TaskStore;
  beforeAll(async () => {
    store = make();
    await store.initialize();
    await store.initialize();
  });

  test("knows nothing of an instance that was never committed", async () => {
    expect(await store.load("nobody")).toBeUndefined();
    expect(await store.purge("nobody")).toBe(false);
  });

  test("gives back what was committed, whatever its id and size", async () => {
    const ids = ["plain", "with space'quote%", "e1:0", "@counter@key/with#odd?signs"];
    for (const instanceId of ids) {
      const record = recordOf(instanceId, 3);
      const version = await store.commit(record, undefined);
      expect(await store.load(instanceId)).toEqual({ record, version });
    }
    // More rows than one transaction takes, one of them larger than a property.
    const large = {
      ...recordOf("large", 0),
      history: [...eventsOf(250, "x"), ...eventsOf(1, "y".repeat(100_000))],
      output: "z".repeat(100_000),
    };
    await store.commit(large, undefined);
    expect((await store.load("large"))?.record).toEqual(large);
  });

  test("appends, and starts afresh with a new execution", async () => {
    const first = recordOf("grows", 2);
    await store.commit(first, undefined);
    const grown = { ...first, history: [...first.history, ...eventsOf(120, "more")] };
    await store.commit(grown, await store.load("grows"));
    expect((await store.load("grows"))?.record).toEqual(grown);
    const renewed = recordOf("grows", 1, "e2");
    await store.commit(renewed, await store.load("grows"));
    expect((await store.load("grows"))?.record).toEqual(renewed);
  });

  test("refuses a commit on top of anything but the latest version", async () => {
    const record = recordOf("contested", 1);
    await store.commit(record, undefined);
    const before = await store.load("contested");
    await expect(store.commit(record, undefined)).rejects.toMatchObject({ code: "CommitConflict" });
    await store.commit({ ...record, output: "mine" }, before);
    await expect(store.commit({ ...record, output: "late" }, before)).rejects.toMatchObject({
      code: "CommitConflict",
    });
    expect((await store.load("contested"))?.record.output).toBe("mine");
  });

  test("lists as unsettled what was committed and not settled", async () => {
    const record = recordOf("unsettled", 1);
    const outbox = [{ queue: "control" as const, message: messageOf("unsettled") }];
    const version = await store.commit({ ...record, outbox }, undefined);
    const unsettled = async () =>
      (await store.listUnsettled()).find((each) => each.record.instanceId === "unsettled");
    expect((await unsettled())?.record.outbox).toEqual(outbox);
    const settled = await store.settle({ ...record, outbox }, version);
    expect(await unsettled()).toBeUndefined();
    // A version that has been replaced is not settled by accident.
    const current = (await store.load("unsettled"))!;
    expect(current.version).toBe(settled);
    await store.commit({ ...record, outbox }, current);
    await store.settle(record, version);
    expect(await unsettled()).toBeDefined();
    // What sends nothing has nothing to settle.
    await store.commit(recordOf("silent", 1), undefined);
    const all = (await store.listUnsettled()).map((each) => each.record.instanceId);
    expect(all).not.toContain("silent");
  });

  test("lists by kind, status, time and prefix, in order", async () => {
    const later = new Date(at.getTime() + 1000).toISOString();
    const records = [
      { ...recordOf("list-b", 0), status: "Completed" as const },
      { ...recordOf("list-a", 0), createdAt: later },
      { ...recordOf("list-e", 0), entity: { exists: true, state: "1" } },
    ];
    for (const record of records) await store.commit(record, undefined);
    const list = async (filter: object) => {
      const found = await store.list({
        kind: "orchestration",
        instanceIdPrefix: "list-",
        ...filter,
      });
      return found.map(({ instanceId }) => instanceId);
    };
    expect(await list({})).toEqual(["list-a", "list-b"]);
    expect(await list({ statuses: ["Completed"] })).toEqual(["list-b"]);
    expect(await list({ statuses: [] })).toEqual([]);
    expect(await list({ createdFrom: new Date(later) })).toEqual(["list-a"]);
    expect(await list({ createdTo: at })).toEqual(["list-b"]);
    expect(await list({ kind: "entity" })).toEqual(["list-e"]);
  });

  test("purges", async () => {
    await store.commit(recordOf("purged", 300), undefined);
    expect(await store.purge("purged")).toBe(true);
    expect(await store.load("purged")).toBeUndefined();
    await store.commit(recordOf("purged", 1), undefined);
    expect((await store.load("purged"))?.record.history).toHaveLength(1);
  });

  test("leases a message, gives it back, delivers it again and removes it", async () => {
    await store.control.send(messageOf("queued", "n".repeat(100_000)));
    const [first] = await store.control.receive(32);
    expect(first?.body).toEqual(messageOf("queued", "n".repeat(100_000)));
    expect(await store.control.receive(32)).toEqual([]);
    await first!.renew();
    await first!.abandon();
    const [second] = await store.control.receive(32);
    expect(second?.dequeueCount).toBe(2);
    // The lease ends: somebody else gets the message, and the old holder can no longer remove it.
    const third = await eventually("redelivery", async () => (await store.control.receive(1))[0]);
    await second!.complete();
    await third.complete();
    await third.complete();
    expect(await store.control.receive(32)).toEqual([]);
  });

  test("hides a message until its time", async () => {
    const dueAt = new Date(Date.now() + 60_000);
    await store.control.send(messageOf("future"), dueAt);
    expect(await store.control.receive(32)).toEqual([]);
  });
});
