import { HoldfastError } from "../../lib/errors.ts";
import type {
  AccessTier,
  BlobStore,
  ByteRange,
  CreateOptions,
  OnlineTier,
  StoreCapabilities,
  StoreLock,
  StoredBlob,
  WholeObject,
} from "../../ports/blob-store.ts";

interface StoredObject {
  readonly bytes: Uint8Array;
  readonly modifiedAt: Date;
  readonly tier: AccessTier;
  readonly rehydratingTo?: OnlineTier;
  readonly immutableUntil?: Date;
}

export type StoreOperation =
  "create" | "read" | "properties" | "list" | "delete" | "extend" | "retrieve" | "lock";

/**
 * Objects in memory, for tests. `beforeOperation` may throw to stage a fault. Immutability follows
 * the clock that was given; retrievals are under way until `finishRetrievals`, locks are held until
 * `breakLocks` (what a minute of silence does elsewhere).
 */
export class MemoryStore implements BlobStore {
  readonly objects = new Map<string, StoredObject>();
  beforeOperation: (operation: StoreOperation, name: string) => void = () => undefined;
  capabilities: StoreCapabilities = { immutability: true, archiveTier: true };
  readonly #locks = new Map<string, AbortController>();
  readonly #now: () => Date;

  constructor(now: () => Date = () => new Date(0)) {
    this.#now = now;
  }

  async readCapabilities(signal: AbortSignal): Promise<StoreCapabilities> {
    signal.throwIfAborted();
    return this.capabilities;
  }

  async create(
    name: string,
    body: Uint8Array,
    signal: AbortSignal,
    options: CreateOptions = {},
  ): Promise<"created" | "exists"> {
    signal.throwIfAborted();
    this.beforeOperation("create", name);
    if (options.immutableUntil !== undefined) this.#requireImmutability(name);
    if (this.objects.has(name)) return "exists";
    const { immutableUntil, tier = "hot" } = options;
    this.objects.set(name, {
      bytes: Uint8Array.from(body),
      modifiedAt: this.#now(),
      tier: this.capabilities.archiveTier ? tier : "hot",
      ...(immutableUntil === undefined ? {} : { immutableUntil }),
    });
    return "created";
  }

  async createFromParts(
    name: string,
    parts: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    options: CreateOptions = {},
  ): Promise<"created" | "exists"> {
    if (this.objects.has(name)) return "exists";
    const taken: Uint8Array[] = [];
    for await (const part of parts) taken.push(Uint8Array.from(part));
    return this.create(name, Buffer.concat(taken), signal, options);
  }

  async read(
    name: string,
    part: ByteRange | WholeObject,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    signal.throwIfAborted();
    this.beforeOperation("read", name);
    const object = this.objects.get(name);
    if (object === undefined) {
      throw new HoldfastError("BlobNotFound", `There is no object ${name}.`, { context: { name } });
    }
    if (object.tier === "archive" || object.rehydratingTo !== undefined) {
      throw new HoldfastError("BlobArchived", `The object ${name} is in the archive tier.`, {
        context: { name },
      });
    }
    if ("maxBytes" in part) {
      if (object.bytes.length <= part.maxBytes) return Uint8Array.from(object.bytes);
      throw new HoldfastError("BlobTooLarge", `The object ${name} is too large.`, {
        context: { name },
      });
    }
    const endBytes = part.offsetBytes + part.lengthBytes;
    if (endBytes > object.bytes.length) {
      throw new HoldfastError("BlobTooShort", `The object ${name} ends before ${endBytes}.`, {
        context: { name },
      });
    }
    return object.bytes.slice(part.offsetBytes, endBytes);
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredBlob> {
    signal.throwIfAborted();
    this.beforeOperation("list", prefix);
    for (const name of [...this.objects.keys()].sort()) {
      const object = this.objects.get(name);
      if (object === undefined || !name.startsWith(prefix)) continue;
      yield this.#asListed(name, object);
    }
  }

  async readProperties(name: string, signal: AbortSignal): Promise<StoredBlob | undefined> {
    signal.throwIfAborted();
    this.beforeOperation("properties", name);
    const object = this.objects.get(name);
    return object === undefined ? undefined : this.#asListed(name, object);
  }

  async delete(name: string, signal: AbortSignal): Promise<"deleted" | "absent" | "immutable"> {
    signal.throwIfAborted();
    this.beforeOperation("delete", name);
    const object = this.objects.get(name);
    if (object === undefined) return "absent";
    if (object.immutableUntil !== undefined && object.immutableUntil > this.#now()) {
      return "immutable";
    }
    this.objects.delete(name);
    return "deleted";
  }

  async extendImmutability(name: string, until: Date, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.beforeOperation("extend", name);
    this.#requireImmutability(name);
    const object = this.objects.get(name);
    if (object === undefined) {
      throw new HoldfastError("BlobNotFound", `There is no object ${name}.`, { context: { name } });
    }
    if (object.immutableUntil !== undefined && object.immutableUntil >= until) return;
    this.objects.set(name, { ...object, immutableUntil: until });
  }

  async startRetrieval(
    from: string,
    to: string,
    options: { readonly tier: OnlineTier; readonly priority: "standard" | "high" },
    signal: AbortSignal,
  ): Promise<"started" | "exists"> {
    signal.throwIfAborted();
    this.beforeOperation("retrieve", from);
    const object = this.objects.get(from);
    if (object === undefined) {
      throw new HoldfastError("BlobNotFound", `There is no object ${from}.`, {
        context: { name: from },
      });
    }
    if (this.objects.has(to)) return "exists";
    const { bytes } = object;
    const copy = { bytes, modifiedAt: this.#now() };
    const isWaiting = object.tier === "archive" && this.capabilities.archiveTier;
    this.objects.set(
      to,
      isWaiting
        ? { ...copy, tier: "archive", rehydratingTo: options.tier }
        : { ...copy, tier: options.tier },
    );
    return "started";
  }

  #asListed(name: string, object: StoredObject): StoredBlob {
    const { bytes, tier, ...properties } = object;
    const shownTier = this.capabilities.archiveTier ? { tier } : {};
    return { name, sizeBytes: bytes.length, ...properties, ...shownTier };
  }

  #requireImmutability(name: string): void {
    if (this.capabilities.immutability) return;
    throw new HoldfastError("ImmutabilityNotSupported", `This store cannot protect ${name}.`);
  }

  /** Hours pass: every retrieval that is under way is done. */
  finishRetrievals(): void {
    for (const [name, { rehydratingTo, ...object }] of this.objects) {
      if (rehydratingTo !== undefined) this.objects.set(name, { ...object, tier: rehydratingTo });
    }
  }

  async lock(name: string, signal: AbortSignal): Promise<StoreLock | undefined> {
    signal.throwIfAborted();
    this.beforeOperation("lock", name);
    if (this.#locks.has(name)) return undefined;
    const lost = new AbortController();
    this.#locks.set(name, lost);
    return {
      lost: lost.signal,
      release: async () => {
        if (this.#locks.get(name) === lost) this.#locks.delete(name);
      },
    };
  }

  /** Every holder fell silent: its lock is free, and it learns that it lost it. */
  breakLocks(): void {
    for (const lost of this.#locks.values()) lost.abort(new Error("The lock was lost."));
    this.#locks.clear();
  }
}
