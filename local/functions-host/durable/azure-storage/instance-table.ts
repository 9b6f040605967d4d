/**
 * Instances in the table `<Hub>History`: a partition per instance, a row per event named
 * `<executionId>_<index>`, and a row `sentinel` with everything else. The sentinel is written in
 * the last transaction of a commit, under its ETag: rows beyond its count do not exist, and only
 * one writer can win. Earlier executions are removed after the commit that ends them.
 */
import { odata, type TableClient, type TransactionAction } from "@azure/data-tables";
import { HoldfastError } from "#core/lib/errors.ts";
import { z } from "zod";
import { unlessMissing, statusOf } from "../../storage/rest-errors.ts";
import { type HistoryEvent, historyEventSchema } from "../history-events.ts";
import {
  type InstanceHeader,
  instanceHeaderSchema,
  type InstanceRecord,
} from "../instance-record.ts";
import {
  commitConflict,
  type InstanceFilter,
  matchesFilter,
  type RecordVersion,
  type VersionedRecord,
} from "../task-store.ts";
import type { LargeValues } from "./large-values.ts";

const sentinelKey = "sentinel";
/** A property holds 32 Ki UTF-16 units. */
const inlineLimitChars = 30_000;
/** A transaction holds 100 operations and 4 MiB; one place is the sentinel's. */
const transactionRowLimit = 99;
const transactionSizeLimitChars = 1_000_000;
const loadAttemptLimit = 5;

const storedValue = { Value: z.string(), ValueBlob: z.string() };
const eventRowSchema = z.object({ rowKey: z.string(), ...storedValue });
const sentinelSchema = z.object({
  etag: z.string(),
  ExecutionId: z.string(),
  EventCount: z.int(),
  ...storedValue,
});
type Sentinel = z.infer<typeof sentinelSchema>;
type StoredValue = Pick<Sentinel, "Value" | "ValueBlob">;

export class InstanceTable {
  readonly #table: TableClient;
  readonly #largeValues: LargeValues;

  constructor(table: TableClient, largeValues: LargeValues) {
    this.#table = table;
    this.#largeValues = largeValues;
  }

  async initialize(): Promise<void> {
    await this.#table.createTable();
  }

  async load(instanceId: string): Promise<VersionedRecord | undefined> {
    const partitionKey = partitionKeyOf(instanceId);
    // A commit of somebody else may replace the execution between the two reads.
    for (let attempt = 0; attempt < loadAttemptLimit; attempt += 1) {
      const entity = await unlessMissing(async () =>
        this.#table.getEntity(partitionKey, sentinelKey),
      );
      if (entity === undefined) return undefined;
      const sentinel = sentinelSchema.parse(entity);
      const history = await this.#readHistory(partitionKey, sentinel);
      if (history.length < sentinel.EventCount) continue;
      const header = await unlessMissing(async () => this.#readHeader(sentinel));
      if (header === undefined) continue;
      return { record: { ...header, history }, version: versionOf(sentinel) };
    }
    throw new HoldfastError("HistoryIncomplete", `The history of ${instanceId} has gaps.`);
  }

  /** @throws HoldfastError `CommitConflict` */
  async commit(
    record: InstanceRecord,
    previous: VersionedRecord | undefined,
  ): Promise<RecordVersion> {
    const partitionKey = partitionKeyOf(record.instanceId);
    const isSameExecution = previous?.record.executionId === record.executionId;
    const firstIndex = isSameExecution ? previous.record.history.length : 0;
    const groups = await this.#eventRows(record, firstIndex);
    const last = groups.pop() ?? [];
    for (const group of groups) await this.#table.submitTransaction(group);
    const sentinel = await this.#sentinelOf(record);
    const before = previous === undefined ? undefined : parseVersion(previous.version);
    last.push(
      before === undefined
        ? ["create", { partitionKey, rowKey: sentinelKey, ...sentinel }]
        : [
            "update",
            { partitionKey, rowKey: sentinelKey, ...sentinel },
            "Replace",
            { etag: before.etag },
          ],
    );
    const etag = await this.#submitSentinel(record.instanceId, last);
    if (before !== undefined && before.blob !== "") await this.#largeValues.delete(before.blob);
    if (previous !== undefined && !isSameExecution) {
      await this.#deleteOtherExecutions(partitionKey, record.executionId);
    }
    return versionOf({ etag, ValueBlob: sentinel.ValueBlob });
  }

  /** The instance is settled unless it has moved on. */
  async settle(record: InstanceRecord, version: RecordVersion): Promise<RecordVersion> {
    const partitionKey = partitionKeyOf(record.instanceId);
    const { etag, blob } = parseVersion(version);
    try {
      const row = { partitionKey, rowKey: sentinelKey, IsDirty: false };
      const updated = await this.#table.updateEntity(row, "Merge", { etag });
      return versionOf({ etag: updated.etag ?? "", ValueBlob: blob });
    } catch (error) {
      if (statusOf(error) === 412 || statusOf(error) === 404) return version;
      throw error;
    }
  }

  async listUnsettled(): Promise<VersionedRecord[]> {
    const unsettled: VersionedRecord[] = [];
    const filter = odata`RowKey eq ${sentinelKey} and IsDirty eq true`;
    for await (const entity of this.#table.listEntities({ queryOptions: { filter } })) {
      const stored = await this.load(instanceIdOf(entity.partitionKey ?? ""));
      if (stored !== undefined) unsettled.push(stored);
    }
    return unsettled;
  }

  async list(filter: InstanceFilter): Promise<InstanceHeader[]> {
    const query = odata`RowKey eq ${sentinelKey} and Kind eq ${filter.kind}`;
    const headers: InstanceHeader[] = [];
    for await (const entity of this.#table.listEntities({ queryOptions: { filter: query } })) {
      const status = String(entity["RuntimeStatus"]);
      if (filter.statuses?.every((each) => each !== status) === true) continue;
      const sentinel = sentinelSchema.parse(entity);
      const header =
        (await unlessMissing(async () => this.#readHeader(sentinel))) ??
        (await this.load(instanceIdOf(entity.partitionKey ?? "")))?.record;
      if (header !== undefined && matchesFilter(header, filter)) headers.push(header);
    }
    return headers.sort((one, other) => (one.instanceId < other.instanceId ? -1 : 1));
  }

  /** The sentinel goes first: what a crash leaves behind is invisible and goes with the next purge. */
  async purge(instanceId: string): Promise<boolean> {
    const partitionKey = partitionKeyOf(instanceId);
    const deleted = await unlessMissing(async () =>
      this.#table.deleteEntity(partitionKey, sentinelKey),
    );
    await this.#deleteRows(odata`PartitionKey eq ${partitionKey}`);
    await this.#largeValues.deleteFolder(partitionKey);
    return deleted !== undefined;
  }

  async #readHistory(partitionKey: string, sentinel: Sentinel): Promise<HistoryEvent[]> {
    const { ExecutionId, EventCount } = sentinel;
    const first = rowKeyOf(ExecutionId, 0);
    const end = rowKeyOf(ExecutionId, EventCount);
    const filter = odata`PartitionKey eq ${partitionKey} and RowKey ge ${first} and RowKey lt ${end}`;
    const rows: z.infer<typeof eventRowSchema>[] = [];
    for await (const entity of this.#table.listEntities({ queryOptions: { filter } })) {
      rows.push(eventRowSchema.parse(entity));
    }
    rows.sort((one, other) => (one.rowKey < other.rowKey ? -1 : 1));
    const texts = await Promise.all(rows.map(async (row) => this.#readValue(row)));
    return texts.map((text) => historyEventSchema.parse(JSON.parse(text)));
  }

  async #readHeader(value: StoredValue): Promise<InstanceHeader> {
    return instanceHeaderSchema.parse(JSON.parse(await this.#readValue(value)));
  }

  async #readValue({ Value, ValueBlob }: StoredValue): Promise<string> {
    return ValueBlob === "" ? Value : this.#largeValues.read(ValueBlob);
  }

  async #storeValue(folder: string, text: string): Promise<StoredValue> {
    if (text.length <= inlineLimitChars) return { Value: text, ValueBlob: "" };
    return { Value: "", ValueBlob: await this.#largeValues.write(folder, text) };
  }

  /** Rows of the events from `firstIndex` on, in groups that fit one transaction each. */
  async #eventRows(record: InstanceRecord, firstIndex: number): Promise<TransactionAction[][]> {
    const { executionId, history } = record;
    const partitionKey = partitionKeyOf(record.instanceId);
    const groups: TransactionAction[][] = [];
    let group: TransactionAction[] = [];
    let groupSizeChars = 0;
    for (const [offset, event] of history.slice(firstIndex).entries()) {
      const value = await this.#storeValue(`${partitionKey}/${executionId}`, JSON.stringify(event));
      const sizeChars = value.Value.length + value.ValueBlob.length;
      const isFull =
        group.length >= transactionRowLimit ||
        groupSizeChars + sizeChars > transactionSizeLimitChars;
      if (isFull) {
        groups.push(group);
        group = [];
        groupSizeChars = 0;
      }
      const rowKey = rowKeyOf(executionId, firstIndex + offset);
      // Replaces what an attempt that was never committed may have left.
      group.push(["upsert", { partitionKey, rowKey, ...value }, "Replace"]);
      groupSizeChars += sizeChars;
    }
    groups.push(group);
    return groups;
  }

  async #sentinelOf(record: InstanceRecord) {
    const { history, ...header } = record;
    const folder = `${partitionKeyOf(record.instanceId)}/header`;
    return {
      ...(await this.#storeValue(folder, JSON.stringify(header))),
      ExecutionId: record.executionId,
      EventCount: history.length,
      IsDirty: record.outbox.length > 0,
      Kind: record.entity === null ? "orchestration" : "entity",
      Name: record.name,
      RuntimeStatus: record.status,
      CreatedTime: new Date(record.createdAt),
      LastUpdatedTime: new Date(record.updatedAt),
    };
  }

  async #submitSentinel(instanceId: string, actions: TransactionAction[]): Promise<string> {
    try {
      const { subResponses } = await this.#table.submitTransaction(actions);
      // By its place: Azurite names the entity in the answer to an insertion only.
      const etag = subResponses.at(actions.length - 1)?.etag;
      if (etag !== undefined) return etag;
      const entity = await this.#table.getEntity(partitionKeyOf(instanceId), sentinelKey);
      return entity.etag;
    } catch (error) {
      const status = statusOf(error); // 412 ETag, 409 exists, 404 purged
      if (status === 412 || status === 409 || status === 404) throw commitConflict(instanceId);
      throw error;
    }
  }

  async #deleteOtherExecutions(partitionKey: string, executionId: string): Promise<void> {
    const from = rowKeyOf(executionId, 0);
    const to = rowKeyOf(executionId, Number.MAX_SAFE_INTEGER);
    await this.#deleteRows(
      odata`PartitionKey eq ${partitionKey} and RowKey ne ${sentinelKey} and (RowKey lt ${from} or RowKey gt ${to})`,
    );
    const kept = [`${partitionKey}/header/`, `${partitionKey}/${executionId}/`];
    await this.#largeValues.deleteFolder(partitionKey, kept);
  }

  async #deleteRows(filter: string): Promise<void> {
    let group: TransactionAction[] = [];
    for await (const entity of this.#table.listEntities({ queryOptions: { filter } })) {
      const { partitionKey = "", rowKey = "" } = entity;
      group.push(["delete", { partitionKey, rowKey }]);
      if (group.length > transactionRowLimit) {
        await this.#table.submitTransaction(group);
        group = [];
      }
    }
    if (group.length > 0) await this.#table.submitTransaction(group);
  }
}

/** Keys must not hold `/ \ # ?`; `%` is avoided because some clients decode it once more. */
function partitionKeyOf(instanceId: string): string {
  return encodeURIComponent(instanceId).replaceAll("%", "^");
}

function instanceIdOf(partitionKey: string): string {
  return decodeURIComponent(partitionKey.replaceAll("^", "%"));
}

function rowKeyOf(executionId: string, index: number): string {
  return `${executionId}_${index.toString(16).padStart(14, "0")}`;
}

/** The ETag and the blob that goes when this version is replaced. */
function versionOf(sentinel: Pick<Sentinel, "etag" | "ValueBlob">): RecordVersion {
  return JSON.stringify([sentinel.etag, sentinel.ValueBlob]);
}

const versionSchema = z.tuple([z.string(), z.string()]);

function parseVersion(version: RecordVersion): { etag: string; blob: string } {
  const [etag, blob] = versionSchema.parse(JSON.parse(version));
  return { etag, blob };
}
