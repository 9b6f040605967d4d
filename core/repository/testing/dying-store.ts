import { HoldfastError } from "../../lib/errors.ts";
import type { BlobStore, StoredBlob } from "../../ports/blob-store.ts";

/**
 * `dies`: the process is gone, every later operation fails too. `goes on`: the store failed once,
 * and whoever used it goes on, cleans up, or tries again.
 */
export type Aftermath = "dies" | "goes on";

type Fate = "healthy" | "fails before" | "fails after";

/** One fault: where it strikes, and what follows. */
export interface StoreFault {
  /** Number of the operation, from 0. */
  readonly at: number;
  /** It strikes when the operation had happened: only the answer is lost. */
  readonly after: boolean;
  readonly aftermath: Aftermath;
}

/**
 * Fails at one operation. For exhaustive single-fault runs: strike at each operation in turn, until
 * a run ends before the fault was reached.
 */
export class DyingStore implements BlobStore {
  readonly #store: BlobStore;
  readonly #fault: StoreFault;
  #operationCount = 0;

  constructor(store: BlobStore, fault: StoreFault) {
    this.#store = store;
    this.#fault = fault;
  }

  /** Whether the fault was reached: else what ran is a healthy run. */
  get hasStruck(): boolean {
    return this.#operationCount > this.#fault.at;
  }

  /** Counts an operation; says whether it fails, and when. */
  #begin(): Fate {
    const number = this.#operationCount++;
    const { at, after, aftermath } = this.#fault;
    if (number === at) return after ? "fails after" : "fails before";
    return number > at && aftermath === "dies" ? "fails before" : "healthy";
  }

  #failure(): HoldfastError {
    return this.#fault.aftermath === "dies"
      ? new HoldfastError("Dead", "The process has died.")
      : new HoldfastError("ServerBusy", "The store failed once.", { retry: "backoff" });
  }

  async #run<Result>(work: () => Promise<Result>): Promise<Result> {
    const fate = this.#begin();
    if (fate === "fails before") throw this.#failure();
    const result = await work();
    if (fate === "fails after") throw this.#failure();
    return result;
  }

  async readCapabilities(...call: Parameters<BlobStore["readCapabilities"]>) {
    return this.#run(() => this.#store.readCapabilities(...call));
  }
  async create(...call: Parameters<BlobStore["create"]>) {
    return this.#run(() => this.#store.create(...call));
  }
  /** One operation, at the end: what makes the parts happens before the object appears. */
  async createFromParts(...call: Parameters<BlobStore["createFromParts"]>) {
    const [name, parts, signal, options] = call;
    let fate: Fate | undefined;
    const begin = (): Fate => {
      const begun = this.#begin();
      if (begun === "fails before") throw this.#failure();
      return begun;
    };
    async function* counted(): AsyncGenerator<Uint8Array> {
      yield* parts;
      fate = begin();
    }
    const outcome = await this.#store.createFromParts(name, counted(), signal, options);
    fate ??= begin();
    if (fate === "fails after") throw this.#failure();
    return outcome;
  }
  async read(...call: Parameters<BlobStore["read"]>) {
    return this.#run(() => this.#store.read(...call));
  }
  async readProperties(...call: Parameters<BlobStore["readProperties"]>) {
    return this.#run(() => this.#store.readProperties(...call));
  }
  async delete(...call: Parameters<BlobStore["delete"]>) {
    return this.#run(() => this.#store.delete(...call));
  }
  async extendImmutability(...call: Parameters<BlobStore["extendImmutability"]>) {
    return this.#run(() => this.#store.extendImmutability(...call));
  }
  async startRetrieval(...call: Parameters<BlobStore["startRetrieval"]>) {
    return this.#run(() => this.#store.startRetrieval(...call));
  }
  async lock(...call: Parameters<BlobStore["lock"]>) {
    return this.#run(() => this.#store.lock(...call));
  }
  /** Fails before the first object, or behind the last one. */
  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredBlob> {
    const fate = this.#begin();
    if (fate === "fails before") throw this.#failure();
    yield* this.#store.list(prefix, signal);
    if (fate === "fails after") throw this.#failure();
  }
}
