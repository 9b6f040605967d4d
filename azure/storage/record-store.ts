/**
 * The control plane's documents in Table Storage: one table per kind, made on its first write. The
 * entity's ETag is the document's version.
 */
import { randomUUID } from "node:crypto";
import type { TokenCredential } from "@azure/core-auth";
import { odata, TableClient, type TableEntityResult } from "@azure/data-tables";
import type {
  RecordStore,
  RecordTable,
  RecordTableName,
  StoredRecord,
} from "#core/ports/records.ts";
import { azureCodeOf, callAzure, statusOf, toHoldfastError } from "../errors.ts";
import { decodeKey, encodeKey, encodeKeyPrefix } from "./record-keys.ts";
import { decodeDocument, encodeDocument } from "./record-properties.ts";
import { TABLE_RETRY } from "./retry-options.ts";

export interface RecordStoreOptions {
  readonly credential: TokenCredential;
  /** e.g. `https://account.table.core.windows.net` or `https://127.0.0.1:10002/account`. */
  readonly tableServiceUrl: string;
}

export function createRecordStore(options: RecordStoreOptions): RecordStore {
  return createRecordStoreOver(
    (name) =>
      new TableClient(options.tableServiceUrl, name, options.credential, {
        retryOptions: TABLE_RETRY,
      }),
  );
}

/** The store over clients that the caller makes (one per table). */
export function createRecordStoreOver(clientOf: (name: string) => TableClient): RecordStore {
  const tables = new Map<RecordTableName, RecordTable>();
  return {
    table(name) {
      const known = tables.get(name);
      if (known !== undefined) return known;
      const made = createRecordTable(name, clientOf(name));
      tables.set(name, made);
      return made;
    },
  };
}

function createRecordTable(name: RecordTableName, client: TableClient): RecordTable {
  return {
    async insert(partition, id, value) {
      const entity = entityOf(partition, id, value);
      const outcome = await write(`insert ${id} into ${name}`, client, async () => {
        try {
          await client.createEntity(entity);
          return "inserted" as const;
        } catch (error) {
          if (statusOf(error) !== 409 || azureCodeOf(error) === "TableBeingDeleted") throw error;
          return "exists" as const;
        }
      });
      if (outcome === "inserted") return outcome;
      // The SDK repeats a request whose answer got lost: the one that exists may be our own.
      const existing = await readEntity(name, client, partition, id);
      return existing?.["writeId"] === entity["writeId"] ? "inserted" : "exists";
    },

    async put(partition, id, value, options) {
      const entity = entityOf(partition, id, value);
      const version = options?.ifVersion;
      return write(`write ${id} to ${name}`, client, async () => {
        if (version === undefined) {
          await client.upsertEntity(entity, "Replace");
          return "written" as const;
        }
        try {
          await client.updateEntity(entity, "Replace", { etag: version });
          return "written" as const;
        } catch (error) {
          if (!isMissingEntity(error) && statusOf(error) !== 412) throw error;
          return "changed" as const;
        }
      });
    },

    async read(partition, id) {
      const entity = await readEntity(name, client, partition, id);
      return entity === undefined ? undefined : recordOf(entity);
    },

    list(partition, options) {
      return listRecords(name, client, filterOf(partition, options?.prefix ?? ""));
    },

    async delete(partition, id) {
      await callAzure(`delete ${id} from ${name}`, async () => {
        try {
          await client.deleteEntity(encodeKey(partition), encodeKey(id));
        } catch (error) {
          if (statusOf(error) !== 404) throw error;
        }
      });
    },
  };
}

type Entity = TableEntityResult<Record<string, unknown>>;

async function readEntity(
  name: string,
  client: TableClient,
  partition: string,
  id: string,
): Promise<Entity | undefined> {
  return callAzure(`read ${id} from ${name}`, async () => {
    try {
      return await client.getEntity(encodeKey(partition), encodeKey(id));
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  });
}

async function* listRecords(
  name: string,
  client: TableClient,
  filter: string,
): AsyncGenerator<StoredRecord<unknown>, void, undefined> {
  try {
    // The SDK follows continuation tokens; Azure answers ascending by partition, then row key.
    const entities = client.listEntities({ queryOptions: { filter } });
    for await (const entity of entities) yield recordOf(entity);
  } catch (error) {
    if (azureCodeOf(error) === "TableNotFound") return;
    throw toHoldfastError(`list ${name}`, error);
  }
}

/** Runs a write; makes the table and runs it again when there is no table yet. */
async function write<Outcome>(
  action: string,
  client: TableClient,
  attempt: () => Promise<Outcome>,
): Promise<Outcome> {
  return callAzure(action, async () => {
    try {
      return await attempt();
    } catch (error) {
      if (azureCodeOf(error) !== "TableNotFound") throw error;
      await client.createTable();
      return attempt();
    }
  });
}

function isMissingEntity(error: unknown): boolean {
  return statusOf(error) === 404;
}

function entityOf(
  partition: string,
  id: string,
  value: unknown,
): { partitionKey: string; rowKey: string; writeId: string; [piece: string]: string } {
  return {
    ...encodeDocument(value),
    partitionKey: encodeKey(partition),
    rowKey: encodeKey(id),
    writeId: randomUUID(),
  };
}

function recordOf(entity: Entity): StoredRecord<unknown> {
  return {
    partition: decodeKey(entity.partitionKey ?? ""),
    id: decodeKey(entity.rowKey ?? ""),
    value: decodeDocument(entity),
    version: entity.etag,
  };
}

function filterOf(partition: string, prefix: string): string {
  const inPartition = odata`PartitionKey eq ${encodeKey(partition)}`;
  if (prefix === "") return inPartition;
  const from = encodeKeyPrefix(prefix);
  const end = from.slice(0, -1) + String.fromCharCode(from.charCodeAt(from.length - 1) + 1);
  return `${inPartition} and ${odata`RowKey ge ${from} and RowKey lt ${end}`}`;
}
