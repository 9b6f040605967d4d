/** Least recently used results of asynchronous loads; concurrent requests share one load. */
export class PromiseCache<Value> {
  readonly #capacity: number;
  readonly #entries = new Map<number, Promise<Value>>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** A load that fails is forgotten, so that the next request tries again. */
  async get(key: number, load: () => Promise<Value>): Promise<Value> {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known;
    }
    const loading = load();
    this.#entries.set(key, loading);
    loading.catch(() => {
      if (this.#entries.get(key) === loading) this.#entries.delete(key);
    });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity) break;
      this.#entries.delete(oldest);
    }
    return loading;
  }

  has(key: number): boolean {
    return this.#entries.has(key);
  }
}
