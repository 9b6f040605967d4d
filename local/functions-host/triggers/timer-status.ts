/**
 * When a timer ran last and runs next, in the blob that the real host uses
 * (`azure-webjobs-hosts/timers/<hostId>/Host.Functions.<name>/status`), and the lease that lets
 * one host at a time run it.
 */
import type { BlobLeaseClient, ContainerClient } from "@azure/storage-blob";
import { z } from "zod";
import { statusOf, unlessMissing } from "../storage/rest-errors.ts";
import type { StorageConnection } from "../storage/storage-connections.ts";

const statusSchema = z.object({
  Last: z.string(),
  Next: z.string(),
  LastUpdated: z.string(),
});

export interface TimerStatus {
  /** undefined before the first run. */
  readonly lastRunAt: Date | undefined;
  readonly nextRunAt: Date;
  readonly updatedAt: Date;
}

/** .NET's `DateTime.MinValue`: never. */
const neverText = "0001-01-01T00:00:00+00:00";
const containerName = "azure-webjobs-hosts";
/** Storage allows 15 to 60 s. A killed host blocks its timer at most this long. */
export const timerLeaseSeconds = 15;

export class TimerStatusStore {
  readonly #container: ContainerClient;
  readonly #hostId: string;

  constructor(storage: StorageConnection, hostId: string) {
    this.#container = storage.blobs().getContainerClient(containerName);
    this.#hostId = hostId;
  }

  async initialize(): Promise<void> {
    await this.#container.createIfNotExists();
  }

  async read(functionName: string): Promise<TimerStatus | undefined> {
    const blob = this.#container.getBlobClient(this.#statusName(functionName));
    const content = await unlessMissing(async () => blob.downloadToBuffer());
    if (content === undefined) return undefined;
    const { Last, Next, LastUpdated } = statusSchema.parse(JSON.parse(content.toString("utf8")));
    return {
      lastRunAt: Last === neverText ? undefined : new Date(Last),
      nextRunAt: new Date(Next),
      updatedAt: new Date(LastUpdated),
    };
  }

  async write(functionName: string, status: TimerStatus): Promise<void> {
    const text = JSON.stringify(statusFields(status));
    const blob = this.#container.getBlockBlobClient(this.#statusName(functionName));
    await blob.upload(text, Buffer.byteLength(text));
  }

  /** A lease on the right to run; undefined while another host holds it. */
  async acquireLease(functionName: string): Promise<BlobLeaseClient | undefined> {
    const name = `locks/${this.#hostId}/Host.Functions.${functionName}.Listener`;
    const blob = this.#container.getBlockBlobClient(name);
    try {
      await blob.upload("", 0, { conditions: { ifNoneMatch: "*" } });
    } catch (error) {
      // 409: it exists; 412: it exists and is leased
      if (statusOf(error) !== 409 && statusOf(error) !== 412) throw error;
    }
    const lease = blob.getBlobLeaseClient();
    try {
      await lease.acquireLease(timerLeaseSeconds);
      return lease;
    } catch (error) {
      if (statusOf(error) === 409) return undefined;
      throw error;
    }
  }

  #statusName(functionName: string): string {
    return `timers/${this.#hostId}/Host.Functions.${functionName}/status`;
  }
}

/** In the names of the real blob and of the timer's payload. */
export function statusFields(status: TimerStatus): z.infer<typeof statusSchema> {
  return {
    Last: status.lastRunAt?.toISOString() ?? neverText,
    Next: status.nextRunAt.toISOString(),
    LastUpdated: status.updatedAt.toISOString(),
  };
}
