import type { QueueClient } from "@azure/storage-queue";
import { z } from "zod";
import type { AppSettings } from "../settings.ts";
import { statusOf } from "../storage/rest-errors.ts";
import { hostStorageName, type StorageConnections } from "../storage/storage-connections.ts";
import type { Binding, RpcTypedData } from "../worker/rpc-types.ts";

export const queueBindingSchema = z.looseObject({
  queueName: z.string(),
  connection: z.string().default(hostStorageName),
});

export interface QueueBindingContext {
  readonly settings: AppSettings;
  readonly connections: StorageConnections;
  readonly encoding: "base64" | "none";
}

/** The queue that a trigger or an output names. */
export function openQueue(binding: Binding, context: QueueBindingContext): QueueClient {
  const { queueName, connection } = queueBindingSchema.parse(binding);
  const name = connection === "" ? hostStorageName : connection;
  const queues = context.connections.get(name).queues();
  return queues.getQueueClient(context.settings.expand(queueName));
}

/** The output binding `queue`: an array becomes several messages; the queue is made when missing. */
export class QueueOutput {
  readonly #context: QueueBindingContext;
  readonly #onSent: (queueUrl: string) => void;

  constructor(context: QueueBindingContext, onSent: (queueUrl: string) => void) {
    this.#context = context;
    this.#onSent = onSent;
  }

  async write(binding: Binding, data: RpcTypedData): Promise<void> {
    const client = openQueue(binding, this.#context);
    for (const text of messageTexts(data)) await sendCreating(client, this.#encode(text));
    this.#onSent(client.url);
  }

  #encode(text: string): string {
    return this.#context.encoding === "base64" ? Buffer.from(text).toString("base64") : text;
  }
}

/** Sends; makes the queue first when there is none. */
export async function sendCreating(client: QueueClient, text: string): Promise<void> {
  try {
    await client.sendMessage(text);
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
    await client.createIfNotExists();
    await client.sendMessage(text);
  }
}

function messageTexts(data: RpcTypedData): string[] {
  if (typeof data.json === "string") {
    const value: unknown = JSON.parse(data.json);
    const items: unknown[] = Array.isArray(value) ? value : [value];
    return items.map((item) => (typeof item === "string" ? item : JSON.stringify(item)));
  }
  if (typeof data.string === "string") return [data.string];
  if (typeof data.int === "number") return [String(data.int)];
  if (typeof data.double === "number") return [String(data.double)];
  if (data.bytes instanceof Uint8Array) return [Buffer.from(data.bytes).toString("utf8")];
  return [];
}
