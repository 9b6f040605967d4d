/**
 * Least recently used results of asynchronous loads; concurrent requests share one load. It runs
 * under a signal of its own: who gives up leaves the others waiting, and the last one ends it.
 */
export type Load<Value> = (signal: AbortSignal) => Promise<Value>;

export class PromiseCache<Value> {
  readonly #capacity: number;
  readonly #loads = new Map<number, SharedLoad<Value>>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /**
   * A load that fails is forgotten, so that the next request tries again.
   * @param signal of this request only: it ends the load when nobody else waits for it
   */
  async get(key: number, load: Load<Value>, signal: AbortSignal): Promise<Value> {
    signal.throwIfAborted();
    const shared = this.#loads.get(key) ?? new SharedLoad(load);
    // The most recently used ones are last.
    this.#loads.delete(key);
    this.#loads.set(key, shared);
    for (const oldest of this.#loads.keys()) {
      if (this.#loads.size <= this.#capacity) break;
      this.#loads.delete(oldest);
    }
    try {
      return await shared.wait(signal);
    } finally {
      if (shared.isLost && this.#loads.get(key) === shared) this.#loads.delete(key);
    }
  }

  has(key: number): boolean {
    return this.#loads.has(key);
  }
}

class SharedLoad<Value> {
  /** It failed or was given up: nobody may wait for it any more. */
  isLost = false;
  readonly #value: Promise<Value>;
  readonly #stop = new AbortController();
  #isRunning = true;
  #waiterCount = 0;

  constructor(load: Load<Value>) {
    this.#value = this.#run(load);
    // It fails for those who wait; when all gave up there is none.
    this.#value.catch(() => undefined);
  }

  async #run(load: Load<Value>): Promise<Value> {
    try {
      return await load(this.#stop.signal);
    } catch (error) {
      this.isLost = true;
      throw error;
    } finally {
      this.#isRunning = false;
    }
  }

  async wait(signal: AbortSignal): Promise<Value> {
    this.#waiterCount++;
    try {
      return await unlessAborted(this.#value, signal);
    } finally {
      this.#waiterCount--;
      if (this.#waiterCount === 0 && this.#isRunning) {
        this.isLost = true;
        this.#stop.abort(signal.reason);
      }
    }
  }
}

/** The value, or a rejection with the signal's reason, whichever comes first. */
async function unlessAborted<Value>(value: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([value, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
