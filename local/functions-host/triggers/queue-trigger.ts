/**
 * Listens to one queue as the Storage Queues extension does (`QueueListener`, `QueueProcessor`):
 * batches, a growing pause while the queue is empty, lease renewal while a function runs, release
 * after a failure, and `<queue>-poison` after too many.
 */
import { randomUUID } from "node:crypto";
import type { DequeuedMessageItem, QueueClient } from "@azure/storage-queue";
import { messageOf } from "#core/lib/errors.ts";
import type { Clock } from "../clock.ts";
import type { QueueOptions } from "../host-json.ts";
import { IdleWait } from "../idle-wait.ts";
import type { Log } from "../log.ts";
import { statusOf, unlessMissing } from "../storage/rest-errors.ts";
import type { RegisteredFunction, RpcTypedData } from "../worker/rpc-types.ts";
import type { FunctionRunner } from "./function-runner.ts";
import { sendCreating } from "./queue-output.ts";

export interface QueueTriggerOptions {
  readonly target: RegisteredFunction;
  readonly queue: QueueClient;
  readonly poisonQueue: QueueClient;
  readonly queueOptions: QueueOptions;
  /** How long a message that was taken stays invisible; renewed at half of it. */
  readonly leaseMs: number;
  readonly runner: FunctionRunner;
  readonly clock: Clock;
  readonly log: Log;
}

const shortestIdleMs = 100;
/** The lease of the real extension. */
export const queueLeaseMs = 600_000;
const receiveLimit = 32;
const logCategory = "Host.Triggers.Queues";

export class QueueTrigger {
  readonly #options: QueueTriggerOptions;
  readonly #idle: IdleWait;
  readonly #stopping = new AbortController();
  readonly #running = new Map<Promise<void>, HeldMessage>();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: QueueTriggerOptions) {
    this.#options = options;
    const longestMs = Math.max(options.queueOptions.maxPollingInterval, shortestIdleMs);
    this.#idle = new IdleWait(options.clock, { shortestMs: shortestIdleMs, longestMs });
  }

  start(): void {
    this.#loop = this.#poll();
  }

  /** This process has sent something to the queue. */
  notifySent(queueUrl: string): void {
    if (queueUrl === this.#options.queue.url) this.#idle.wake();
  }

  /** Takes no more; waits for what runs, at most `graceMs`; gives back what is left. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    const enough = new AbortController();
    await Promise.race([
      Promise.allSettled(this.#running.keys()),
      this.#options.clock.sleep(graceMs, enough.signal),
    ]);
    enough.abort();
    await Promise.allSettled([...this.#running.values()].map(async (held) => held.hide(0)));
  }

  async #poll(): Promise<void> {
    const { batchSize, newBatchThreshold = Math.floor(batchSize / 2) } = this.#options.queueOptions;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      if (this.#running.size > newBatchThreshold) {
        await Promise.race(this.#running.keys());
        continue;
      }
      const items = await this.#receive(batchSize);
      if (items.length === 0) {
        await this.#idle.wait(signal);
        continue;
      }
      this.#idle.reset();
      for (const item of items) this.#track(item);
    }
  }

  #track(item: DequeuedMessageItem): void {
    const held = new HeldMessage(this.#options.queue, item);
    const tracked: Promise<void> = this.#process(item, held)
      .catch((error: unknown) => {
        this.#options.log("error", logCategory, `${this.#name()}: ${messageOf(error)}`);
      })
      .finally(() => {
        this.#running.delete(tracked);
      });
    this.#running.set(tracked, held);
  }

  /** A queue that does not exist is an empty one. */
  async #receive(batchSize: number): Promise<DequeuedMessageItem[]> {
    const { queue, log } = this.#options;
    try {
      const received = await unlessMissing(async () =>
        queue.receiveMessages({
          numberOfMessages: Math.min(batchSize, receiveLimit),
          visibilityTimeout: Math.ceil(this.#options.leaseMs / 1000),
        }),
      );
      return received?.receivedMessageItems ?? [];
    } catch (error) {
      log("error", logCategory, `reading ${this.#name()} failed: ${messageOf(error)}`);
      return [];
    }
  }

  async #process(item: DequeuedMessageItem, held: HeldMessage): Promise<void> {
    const { queueOptions, runner, target } = this.#options;
    // A message whose function killed the host each time never reaches the failure path below.
    if (item.dequeueCount > queueOptions.maxDequeueCount) return this.#poison(item, held);
    const text = this.#decode(item.messageText);
    if (text === undefined) return this.#poison(item, held);
    const finished = new AbortController();
    const renewal = this.#renew(held, finished.signal);
    let isDone = false;
    try {
      await runner.run(target, { string: text }, metadataOf(target, item, text));
      isDone = true;
    } catch {
      // The runner has logged it; the message's own way goes on below.
    } finally {
      finished.abort();
      await renewal;
    }
    if (isDone) return held.delete();
    if (item.dequeueCount >= queueOptions.maxDequeueCount) return this.#poison(item, held);
    await held.hide(queueOptions.visibilityTimeout);
    if (queueOptions.visibilityTimeout === 0) this.#idle.wake();
  }

  async #renew(held: HeldMessage, finished: AbortSignal): Promise<void> {
    const { leaseMs } = this.#options;
    for (;;) {
      await this.#options.clock.sleep(leaseMs / 2, finished);
      if (finished.aborted) return;
      try {
        await held.hide(leaseMs);
      } catch (error) {
        const text = `lease of a message of ${this.#name()} not renewed: ${messageOf(error)}`;
        this.#options.log("warning", logCategory, text);
      }
    }
  }

  async #poison(item: DequeuedMessageItem, held: HeldMessage): Promise<void> {
    const { log, poisonQueue, target } = this.#options;
    await sendCreating(poisonQueue, item.messageText);
    await held.delete();
    const text = `Message has reached MaxDequeueCount of ${this.#options.queueOptions.maxDequeueCount} or cannot be read. Moving message to queue '${poisonQueue.name}'.`;
    log("warning", logCategory, text, { functionName: target.name });
  }

  #decode(messageText: string): string | undefined {
    if (this.#options.queueOptions.messageEncoding === "none") return messageText;
    const isBase64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(
      messageText,
    );
    return isBase64 ? Buffer.from(messageText, "base64").toString("utf8") : undefined;
  }

  #name(): string {
    return `queue ${this.#options.queue.name}`;
  }
}

/** A received message and the receipt that is valid now. */
class HeldMessage {
  readonly #queue: QueueClient;
  readonly #id: string;
  #popReceipt: string;

  constructor(queue: QueueClient, item: DequeuedMessageItem) {
    this.#queue = queue;
    this.#id = item.messageId;
    this.#popReceipt = item.popReceipt;
  }

  async hide(delayMs: number): Promise<void> {
    const seconds = Math.ceil(delayMs / 1000);
    await ignoringLostLease(async () => {
      const updated = await this.#queue.updateMessage(
        this.#id,
        this.#popReceipt,
        undefined,
        seconds,
      );
      this.#popReceipt = updated.popReceipt ?? this.#popReceipt;
    });
  }

  async delete(): Promise<void> {
    await ignoringLostLease(async () => this.#queue.deleteMessage(this.#id, this.#popReceipt));
  }
}

/** Somebody else has the message now: it will be handled there. */
async function ignoringLostLease(request: () => Promise<unknown>): Promise<void> {
  try {
    await request();
  } catch (error) {
    const status = statusOf(error);
    if (status !== 404 && status !== 400) throw error;
  }
}

function metadataOf(
  target: RegisteredFunction,
  item: DequeuedMessageItem,
  text: string,
): Record<string, RpcTypedData> {
  const time = (at: Date): RpcTypedData => ({ string: JSON.stringify(at) });
  return {
    QueueTrigger: { string: text },
    DequeueCount: { string: String(item.dequeueCount) },
    ExpirationTime: time(item.expiresOn),
    Id: { string: item.messageId },
    InsertionTime: time(item.insertedOn),
    NextVisibleTime: time(item.nextVisibleOn),
    PopReceipt: { string: item.popReceipt },
    sys: {
      json: JSON.stringify({
        MethodName: target.name,
        UtcNow: item.insertedOn.toISOString(),
        RandGuid: randomUUID(),
      }),
    },
  };
}
