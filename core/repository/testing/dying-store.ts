import { HoldfastError } from "../../lib/errors.ts";
import type { BlobStore, StoredBlob } from "../../ports/blob-store.ts";

/**
 * The process dies at operation number `diesAt` (from 0): before it happens, or with `diesAfter`
 * when it happened but the answer was lost. Every later operation fails too. For exhaustive
 * single-fault runs: count the operations of a healthy run, then die at each of them.
 */
export class DyingStore implements BlobStore {
  readonly #store: BlobStore;
  readonly #diesAt: number;
  readonly #diesAfter: boolean;
  operationCount = 0;

  constructor(store: BlobStore, diesAt: number, diesAfter: boolean) {
    this.#store = store;
    this.#diesAt = diesAt;
    this.#diesAfter = diesAfter;
  }

  async #run<Result>(work: () => Promise<Result>): Promise<Result> {
    const number = this.operationCount++;
    if (number < this.#diesAt) return work();
    if (number === this.#diesAt && this.#diesAfter) await work();
    throw dead();
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
    const begin = (): number => {
      const number = this.operationCount++;
      if (number > this.#diesAt || (number === this.#diesAt && !this.#diesAfter)) throw dead();
      return number;
    };
    let number: number | undefined;
    async function* counted(): AsyncGenerator<Uint8Array> {
      yield* parts;
      number = begin();
    }
    const outcome = await this.#store.createFromParts(name, counted(), signal, options);
    number ??= begin();
    if (number === this.#diesAt) throw dead();
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
  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredBlob> {
    await this.#run(async () => undefined);
    yield* this.#store.list(prefix, signal);
  }
}

function dead(): HoldfastError {
  return new HoldfastError("Dead", "The process has died.");
}
