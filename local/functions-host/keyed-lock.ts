/** One holder per key at a time, in the order of asking. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  async run<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const released = Promise.withResolvers<void>();
    this.#tails.set(key, released.promise);
    await before;
    try {
      return await work();
    } finally {
      if (this.#tails.get(key) === released.promise) this.#tails.delete(key);
      released.resolve();
    }
  }
}
