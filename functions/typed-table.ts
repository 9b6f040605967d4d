import type { z } from "zod";
import { HoldfastError } from "#core/lib/errors.ts";
import type { RecordTable } from "#core/ports/records.ts";

/** One kind of record in one partition: parsed on reading, so that inside the types can be trusted. */
export interface TypedRecord<Value> {
  readonly id: string;
  readonly value: Value;
  readonly version: string;
}

export interface TypedTable<Value> {
  insert(id: string, value: Value): Promise<"inserted" | "exists">;
  put(
    id: string,
    value: Value,
    options?: { readonly ifVersion?: string },
  ): Promise<"written" | "changed">;
  read(id: string): Promise<TypedRecord<Value> | undefined>;
  /** Throws `HoldfastError` code `<kind>NotFound`. */
  get(id: string): Promise<Value>;
  list(options?: { readonly prefix?: string }): AsyncIterable<TypedRecord<Value>>;
  /**
   * Reads, changes and writes, again when another writer was faster. `change` answers `undefined`
   * to leave the record as it is. Answers the record's value at the end, `undefined` when there is none.
   */
  update(id: string, change: (value: Value) => Value | undefined): Promise<Value | undefined>;
  delete(id: string): Promise<void>;
}

/** So many writers at once on one record are a fault, not bad luck. */
const UPDATE_ATTEMPTS_MAX = 20;

export function createTypedTable<Value>(
  table: RecordTable,
  partition: string,
  schema: z.ZodType<Value>,
  kind: string,
): TypedTable<Value> {
  const parse = (id: string, value: unknown): Value => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    throw new HoldfastError(
      "CorruptRecord",
      `${kind} '${id}' in the tables is not readable: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}.`,
    );
  };
  async function read(id: string): Promise<TypedRecord<Value> | undefined> {
    const found = await table.read(partition, id);
    if (found === undefined) return undefined;
    return { id, value: parse(id, found.value), version: found.version };
  }
  return {
    read,
    insert: (id, value) => table.insert(partition, id, value),
    put: (id, value, options) => table.put(partition, id, value, options),
    delete: (id) => table.delete(partition, id),
    async get(id) {
      const found = await read(id);
      if (found === undefined)
        throw new HoldfastError(`${kind}NotFound`, `There is no ${kind} '${id}'.`);
      return found.value;
    },
    async *list(options) {
      for await (const found of table.list(partition, options)) {
        yield { id: found.id, value: parse(found.id, found.value), version: found.version };
      }
    },
    async update(id, change) {
      for (let attempt = 0; attempt < UPDATE_ATTEMPTS_MAX; attempt++) {
        const found = await read(id);
        if (found === undefined) return undefined;
        const changed = change(found.value);
        if (changed === undefined) return found.value;
        const written = await table.put(partition, id, changed, { ifVersion: found.version });
        if (written === "written") return changed;
      }
      throw new HoldfastError("RecordContended", `${kind} '${id}' changes all the time.`, {
        retry: "backoff",
      });
    },
  };
}
