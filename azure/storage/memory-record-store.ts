import type { RecordStore, RecordTable, StoredRecord } from "#core/ports/records.ts";
import { encodeKey } from "./record-keys.ts";
import { decodeDocument, encodeDocument } from "./record-properties.ts";

/** Documents in memory, with the limits and the order of Table Storage: for tests and simulation. */
export function createMemoryRecordStore(): RecordStore {
  const tables = new Map<string, RecordTable>();
  return {
    table(name) {
      const known = tables.get(name) ?? createMemoryTable();
      tables.set(name, known);
      return known;
    },
  };
}

interface StoredRow {
  readonly properties: Record<string, string>;
  readonly version: string;
}

function createMemoryTable(): RecordTable {
  const partitions = new Map<string, Map<string, StoredRow>>();
  let writes = 0;

  function rowsOf(partition: string): Map<string, StoredRow> {
    encodeKey(partition);
    const rows = partitions.get(partition) ?? new Map<string, StoredRow>();
    partitions.set(partition, rows);
    return rows;
  }

  function write(rows: Map<string, StoredRow>, id: string, value: unknown): void {
    encodeKey(id);
    writes += 1;
    rows.set(id, { properties: encodeDocument(value), version: `version-${writes}` });
  }

  function recordOf(partition: string, id: string, row: StoredRow): StoredRecord<unknown> {
    return { partition, id, value: decodeDocument(row.properties), version: row.version };
  }

  return {
    async insert(partition, id, value) {
      const rows = rowsOf(partition);
      if (rows.has(id)) return "exists";
      write(rows, id, value);
      return "inserted";
    },
    async put(partition, id, value, options) {
      const rows = rowsOf(partition);
      const version = options?.ifVersion;
      if (version !== undefined && rows.get(id)?.version !== version) return "changed";
      write(rows, id, value);
      return "written";
    },
    async read(partition, id) {
      const row = rowsOf(partition).get(id);
      return row === undefined ? undefined : recordOf(partition, id, row);
    },
    async *list(partition, options) {
      const rows = rowsOf(partition);
      const ids = [...rows.keys()].filter((id) => id.startsWith(options?.prefix ?? "")).sort();
      for (const id of ids) {
        const row = rows.get(id);
        if (row !== undefined) yield recordOf(partition, id, row);
      }
    },
    async delete(partition, id) {
      rowsOf(partition).delete(id);
    },
  };
}
