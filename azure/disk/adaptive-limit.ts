/**
 * How many requests one SAS may have in flight: grows by one per round of successes, halves when
 * Azure pushes back (additive increase, multiplicative decrease). What one exported disk bears is not
 * documented, so it is found out while reading.
 */
export interface AdaptiveLimitOptions {
  readonly initial: number;
  readonly max: number;
}

export interface Slot {
  /** Give back; `congested` when the answer was a throttle or a timeout. */
  release(outcome: "ok" | "congested" | "failed"): void;
}

export class AdaptiveLimit {
  readonly #max: number;
  readonly #waiting: (() => void)[] = [];
  #limit: number;
  #inFlightCount = 0;
  #startedCount = 0;
  /** Requests started before this one saw the old limit: their push-back counts only once. */
  #lastDecreaseAt = 0;

  constructor({ initial, max }: AdaptiveLimitOptions) {
    this.#max = max;
    this.#limit = Math.min(initial, max);
  }

  /** Whole number of requests that may run now. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** Waits for a slot; rejects with the signal's reason when it aborts first. */
  async acquire(signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted();
    if (this.#inFlightCount < this.limit) this.#inFlightCount++;
    else await this.#wait(signal);
    const startedAt = ++this.#startedCount;
    return { release: (outcome) => this.#release(startedAt, outcome) };
  }

  /** Resolves when `#release` has counted the caller in. */
  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const start = (): void => {
        signal.removeEventListener("abort", abort);
        resolve();
      };
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(start), 1);
        reject(signal.reason);
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.push(start);
    });
  }

  #release(startedAt: number, outcome: "ok" | "congested" | "failed"): void {
    this.#inFlightCount--;
    if (outcome === "ok") this.#limit = Math.min(this.#max, this.#limit + 1 / this.#limit);
    if (outcome === "congested" && startedAt > this.#lastDecreaseAt) {
      this.#limit = Math.max(1, this.#limit / 2);
      this.#lastDecreaseAt = this.#startedCount;
    }
    const free = Math.max(0, this.limit - this.#inFlightCount);
    for (const start of this.#waiting.splice(0, free)) {
      this.#inFlightCount++;
      start();
    }
  }
}
