import { describe, expect, test } from "vitest";
import { systemClock } from "#local/functions-host/clock.ts";
import { MemoryQueue } from "#local/functions-host/durable/memory-task-store.ts";
import {
  MessagePump,
  type MessagePumpOptions,
} from "#local/functions-host/durable/message-pump.ts";

interface Body {
  readonly key: string;
  readonly dueAtMs: number;
}

const leaseMs = 60;

function start(options: Partial<MessagePumpOptions<Body>> = {}) {
  const queue = new MemoryQueue<Body>(systemClock, leaseMs, (value) => value as Body);
  const pump = new MessagePump<Body>({
    name: "test queue",
    queue,
    groupLimit: 4,
    keyOf: ({ key }) => key,
    dueAt: ({ dueAtMs }) => (dueAtMs === 0 ? undefined : new Date(dueAtMs)),
    handle: async (_key, messages) => {
      for (const message of messages) await message.complete();
    },
    longestIdleMs: 50,
    clock: systemClock,
    log: () => undefined,
    ...options,
  });
  pump.start();
  const send = async (key: string, dueAtMs = 0): Promise<void> => {
    await queue.send({ key, dueAtMs });
    pump.notifySent(undefined);
  };
  return { pump, queue, send };
}

describe("a message pump", () => {
  test("renews the lease while the handler runs, so that nobody else gets the message", async () => {
    const finish = Promise.withResolvers<undefined>();
    let handledCount = 0;
    const { pump, queue, send } = start({
      handle: async (_key, messages) => {
        handledCount += 1;
        await finish.promise;
        await messages[0]?.complete();
      },
    });
    await send("long");
    await systemClock.sleep(leaseMs * 4);
    finish.resolve(undefined);
    await pump.stop(1000);
    expect(handledCount).toBe(1);
    expect(queue.nextVisibleAt()).toBeUndefined();
  });

  test("tries a failed message again", async () => {
    const done = Promise.withResolvers<number>();
    const { pump, send } = start({
      handle: async (_key, messages) => {
        const [message] = messages;
        if (message === undefined || message.dequeueCount === 1) throw new Error("first time");
        await message.complete();
        done.resolve(message.dequeueCount);
      },
    });
    await send("flaky");
    expect(await done.promise).toBe(2);
    await pump.stop(1000);
  });

  test("holds a message back until its time", async () => {
    const handledAt = Promise.withResolvers<number>();
    const { pump, send } = start({
      handle: async (_key, messages) => {
        handledAt.resolve(Date.now());
        await messages[0]?.complete();
      },
    });
    const dueAtMs = Date.now() + 80;
    await send("early", dueAtMs);
    expect(await handledAt.promise).toBeGreaterThanOrEqual(dueAtMs);
    await pump.stop(1000);
  });

  test("runs no more groups at once than it may", async () => {
    let runningCount = 0;
    let mostCount = 0;
    const finished = Promise.withResolvers<undefined>();
    let handledCount = 0;
    const { pump, send } = start({
      groupLimit: 2,
      handle: async (_key, messages) => {
        runningCount += 1;
        mostCount = Math.max(mostCount, runningCount);
        await systemClock.sleep(5);
        runningCount -= 1;
        await messages[0]?.complete();
        handledCount += 1;
        if (handledCount === 10) finished.resolve(undefined);
      },
    });
    for (let index = 0; index < 10; index += 1) await send(`key-${index}`);
    await finished.promise;
    await pump.stop(1000);
    expect(mostCount).toBe(2);
  });

  test("gives back what does not finish in time when it stops", async () => {
    const begun = Promise.withResolvers<undefined>();
    const never = new Promise<never>(() => undefined);
    const { pump, queue, send } = start({
      handle: async () => {
        begun.resolve(undefined);
        return never;
      },
    });
    await send("stuck");
    await begun.promise;
    await pump.stop(1);
    expect(await queue.receive(1)).toHaveLength(1);
  });
});
