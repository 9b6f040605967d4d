/**
 * Lets the data planes follow the table of resources: runs `enforce` after changes, one run after
 * another, and none without a change.
 */
export class Enforcement {
  readonly #enforce: () => Promise<void>;
  #changeCount = 1;
  #enforcedCount = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(enforce: () => Promise<void>) {
    this.#enforce = enforce;
  }

  noteChange(): void {
    this.#changeCount++;
  }

  /** Resolves when every change so far is in force; rejects when that failed (the next call retries). */
  async settled(): Promise<void> {
    if (this.#enforcedCount !== this.#changeCount) {
      const before = this.#enforcedCount;
      this.#enforcedCount = this.#changeCount;
      this.#running = this.#running
        .catch(() => undefined)
        .then(this.#enforce)
        .catch((error: unknown) => {
          this.#enforcedCount = before;
          throw error;
        });
    }
    await this.#running;
  }
}
