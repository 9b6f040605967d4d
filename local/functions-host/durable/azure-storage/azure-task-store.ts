/** A task hub in a storage account, with the names that the real provider uses. */
import type { Clock } from "../../clock.ts";
import type { Log } from "../../log.ts";
import type { StorageConnection } from "../../storage/storage-connections.ts";
import {
  type ControlMessage,
  controlMessageSchema,
  type InstanceHeader,
  type InstanceRecord,
  type WorkMessage,
  workMessageSchema,
} from "../instance-record.ts";
import type { InstanceFilter, RecordVersion, TaskStore, VersionedRecord } from "../task-store.ts";
import { AzureMessageQueue } from "./azure-message-queue.ts";
import { InstanceTable } from "./instance-table.ts";
import { LargeValues } from "./large-values.ts";

export interface AzureTaskStoreOptions {
  readonly connection: StorageConnection;
  readonly hubName: string;
  /** How long a message that was taken stays invisible. */
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

export class AzureTaskStore implements TaskStore {
  readonly control: AzureMessageQueue<ControlMessage>;
  readonly work: AzureMessageQueue<WorkMessage>;
  readonly #largeValues: LargeValues;
  readonly #instances: InstanceTable;

  constructor(options: AzureTaskStoreOptions) {
    const { connection, hubName } = options;
    const prefix = hubName.toLowerCase();
    const queues = connection.queues();
    this.#largeValues = new LargeValues(
      connection.blobs().getContainerClient(`${prefix}-largemessages`),
    );
    this.#instances = new InstanceTable(connection.table(`${hubName}History`), this.#largeValues);
    const common = { ...options, largeValues: this.#largeValues };
    this.control = new AzureMessageQueue({
      ...common,
      client: queues.getQueueClient(`${prefix}-control-00`),
      decode: (value) => controlMessageSchema.parse(value),
    });
    this.work = new AzureMessageQueue({
      ...common,
      client: queues.getQueueClient(`${prefix}-workitems`),
      decode: (value) => workMessageSchema.parse(value),
    });
  }

  async initialize(): Promise<void> {
    await Promise.all([
      this.#instances.initialize(),
      this.#largeValues.initialize(),
      this.control.initialize(),
      this.work.initialize(),
    ]);
  }

  async load(instanceId: string): Promise<VersionedRecord | undefined> {
    return this.#instances.load(instanceId);
  }

  async commit(
    record: InstanceRecord,
    previous: VersionedRecord | undefined,
  ): Promise<RecordVersion> {
    return this.#instances.commit(record, previous);
  }

  async settle(record: InstanceRecord, version: RecordVersion): Promise<RecordVersion> {
    return this.#instances.settle(record, version);
  }

  async listUnsettled(): Promise<VersionedRecord[]> {
    return this.#instances.listUnsettled();
  }

  async list(filter: InstanceFilter): Promise<InstanceHeader[]> {
    return this.#instances.list(filter);
  }

  async purge(instanceId: string): Promise<boolean> {
    return this.#instances.purge(instanceId);
  }
}
