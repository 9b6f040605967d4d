import type { DequeuedMessageItem, QueueClient } from "@azure/storage-queue";
import { messageOf } from "#core/lib/errors.ts";
import { z } from "zod";
import type { Clock } from "../../clock.ts";
import { durableLogCategory, type Log } from "../../log.ts";
import { statusOf } from "../../storage/rest-errors.ts";
import { receiveLimit, type LeasedMessage, type MessageQueue } from "../task-store.ts";
import type { LargeValues } from "./large-values.ts";

export interface AzureMessageQueueOptions<Body> {
  readonly client: QueueClient;
  readonly largeValues: LargeValues;
  readonly decode: (value: unknown) => Body;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Queue messages are limited to 64 KiB of base64; the real provider moves at 45 KB as well. */
const inlineLimitBytes = 45 * 1024;
/** Storage hides a message for at most 7 days. */
const longestHideSeconds = 7 * 86_400 - 1;
const largeMessageFolder = "messages";

const envelopeSchema = z.union([
  z.object({ body: z.unknown() }),
  z.object({ bodyBlob: z.string() }),
]);

/** A storage queue; bodies that are too long travel as blobs that go with their message. */
export class AzureMessageQueue<Body> implements MessageQueue<Body> {
  readonly #options: AzureMessageQueueOptions<Body>;

  constructor(options: AzureMessageQueueOptions<Body>) {
    this.#options = options;
  }

  get leaseMs(): number {
    return this.#options.leaseMs;
  }

  async initialize(): Promise<void> {
    await this.#options.client.createIfNotExists();
  }

  async send(body: Body, visibleAt?: Date): Promise<void> {
    const { client, clock, largeValues } = this.#options;
    let text = JSON.stringify({ body });
    if (Buffer.byteLength(text) > inlineLimitBytes) {
      const bodyBlob = await largeValues.write(largeMessageFolder, JSON.stringify(body));
      text = JSON.stringify({ bodyBlob });
    }
    const delayMs = visibleAt === undefined ? 0 : visibleAt.getTime() - clock.now().getTime();
    await client.sendMessage(Buffer.from(text).toString("base64"), {
      visibilityTimeout: hideSeconds(delayMs),
      messageTimeToLive: -1,
    });
  }

  async receive(maxCount: number): Promise<LeasedMessage<Body>[]> {
    const { client, leaseMs, log } = this.#options;
    const { receivedMessageItems } = await client.receiveMessages({
      numberOfMessages: Math.min(maxCount, receiveLimit),
      visibilityTimeout: hideSeconds(leaseMs),
    });
    const messages: LeasedMessage<Body>[] = [];
    for (const item of receivedMessageItems) {
      try {
        messages.push(await this.#decode(item));
      } catch (error) {
        const text = `message ${item.messageId} cannot be read and stays in ${client.name}: ${messageOf(error)}`;
        log("error", durableLogCategory, text);
      }
    }
    return messages;
  }

  async #decode(item: DequeuedMessageItem): Promise<LeasedMessage<Body>> {
    const { client, decode, largeValues, leaseMs } = this.#options;
    const { messageId, dequeueCount } = item;
    let { popReceipt } = item;
    const text = Buffer.from(item.messageText, "base64").toString("utf8");
    const envelope = envelopeSchema.parse(JSON.parse(text));
    const bodyBlob = "bodyBlob" in envelope ? envelope.bodyBlob : undefined;
    const value: unknown =
      "bodyBlob" in envelope
        ? JSON.parse(await largeValues.read(envelope.bodyBlob))
        : envelope.body;
    const hide = async (delayMs: number): Promise<void> => {
      await unlessLeaseLost(async () => {
        const seconds = hideSeconds(delayMs);
        const updated = await client.updateMessage(messageId, popReceipt, undefined, seconds);
        popReceipt = updated.popReceipt ?? popReceipt;
      });
    };
    return {
      body: decode(value),
      dequeueCount,
      renew: async () => hide(leaseMs),
      abandon: async (delayMs = 0) => hide(delayMs),
      complete: async () => {
        const isDeleted = await unlessLeaseLost(async () =>
          client.deleteMessage(messageId, popReceipt),
        );
        if (isDeleted && bodyBlob !== undefined) await largeValues.delete(bodyBlob);
      },
    };
  }
}

/** Down to whole seconds: what comes early is held back, what comes late stays late. */
function hideSeconds(delayMs: number): number {
  return Math.min(Math.max(0, Math.floor(delayMs / 1000)), longestHideSeconds);
}

/** A lost lease means that somebody else has the message; nothing is to be done about it here. */
async function unlessLeaseLost(request: () => Promise<unknown>): Promise<boolean> {
  try {
    await request();
    return true;
  } catch (error) {
    const status = statusOf(error); // 404 MessageNotFound, 400 PopReceiptMismatch
    if (status === 404 || status === 400) return false;
    throw error;
  }
}
