/**
 * JSON documents with optimistic concurrency: the control plane's configuration and index.
 * Implemented over Table Storage in `azure/storage` (and in memory for tests); both obey
 * `test/contract/record-store-contract.ts`. A document may be up to 500,000 characters of JSON.
 */
export interface StoredRecord<Value> {
  readonly partition: string;
  readonly id: string;
  readonly value: Value;
  readonly version: string;
}

export interface RecordTable {
  /** `exists` when there is one already (which is left as it was): an insert is a claim. */
  insert(partition: string, id: string, value: unknown): Promise<"inserted" | "exists">;
  /** Writes whatever is there; with `ifVersion` only when it is still that version. */
  put(
    partition: string,
    id: string,
    value: unknown,
    options?: { readonly ifVersion?: string },
  ): Promise<"written" | "changed">;
  read(partition: string, id: string): Promise<StoredRecord<unknown> | undefined>;
  /** Ascending by id; `prefix` limits the ids. */
  list(
    partition: string,
    options?: { readonly prefix?: string },
  ): AsyncIterable<StoredRecord<unknown>>;
  /** Deletes if present. */
  delete(partition: string, id: string): Promise<void>;
}

export const RECORD_TABLES = [
  "policies",
  "repositories",
  "sessions",
  "sessionlog",
  "restorepoints",
  "workers",
  "jobs",
  "grants",
  "regions",
  "schedule",
] as const;
export type RecordTableName = (typeof RECORD_TABLES)[number];

export interface RecordStore {
  table(name: RecordTableName): RecordTable;
}
