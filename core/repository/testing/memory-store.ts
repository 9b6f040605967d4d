import { HoldfastError } from "../../lib/errors.ts";
import type { BlobStore, StoredBlob } from "../../ports/blob-store.ts";

interface StoredObject {
  readonly bytes: Uint8Array;
  readonly modifiedAt: Date;
}

export type StoreOperation = "create" | "read" | "list" | "delete";

/** Objects in memory, for tests. `beforeOperation` may throw to stage a fault. */
export class MemoryStore implements BlobStore {
  readonly objects = new Map<string, StoredObject>();
  beforeOperation: (operation: StoreOperation, name: string) => void = () => undefined;
  readonly #now: () => Date;

  constructor(now: () => Date = () => new Date(0)) {
    this.#now = now;
  }

  async create(name: string, body: Uint8Array, signal: AbortSignal): Promise<"created" | "exists"> {
    signal.throwIfAborted();
    this.beforeOperation("create", name);
    if (this.objects.has(name)) return "exists";
    this.objects.set(name, { bytes: Uint8Array.from(body), modifiedAt: this.#now() });
    return "created";
  }

  async read(
    name: string,
    range: { readonly offsetBytes: number; readonly lengthBytes: number } | undefined,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    signal.throwIfAborted();
    this.beforeOperation("read", name);
    const object = this.objects.get(name);
    if (object === undefined) {
      throw new HoldfastError("BlobNotFound", `There is no object ${name}.`, { context: { name } });
    }
    if (range === undefined) return Uint8Array.from(object.bytes);
    const endBytes = range.offsetBytes + range.lengthBytes;
    if (endBytes > object.bytes.length) {
      throw new HoldfastError("BlobTooShort", `The object ${name} ends before ${endBytes}.`, {
        context: { name },
      });
    }
    return object.bytes.slice(range.offsetBytes, endBytes);
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredBlob> {
    signal.throwIfAborted();
    this.beforeOperation("list", prefix);
    for (const name of [...this.objects.keys()].sort()) {
      const object = this.objects.get(name);
      if (object === undefined || !name.startsWith(prefix)) continue;
      yield { name, sizeBytes: object.bytes.length, modifiedAt: object.modifiedAt };
    }
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.beforeOperation("delete", name);
    this.objects.delete(name);
  }
}
