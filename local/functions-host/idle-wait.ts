import type { Clock } from "./clock.ts";

export interface IdleWaitOptions {
  readonly shortestMs: number;
  readonly longestMs: number;
}

/**
 * The pause between two polls of an empty queue: doubles while nothing comes, ends at once when
 * this process itself has enqueued something.
 */
export class IdleWait {
  readonly #clock: Clock;
  readonly #options: IdleWaitOptions;
  #nextDelayMs: number;
  #isWoken = false;
  #pause: AbortController | undefined;

  constructor(clock: Clock, options: IdleWaitOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#nextDelayMs = options.shortestMs;
  }

  /** Something was found: poll quickly again. */
  reset(): void {
    this.#nextDelayMs = this.#options.shortestMs;
  }

  wake(): void {
    this.#isWoken = true;
    this.#pause?.abort();
  }

  /** Wakes at that time, until `signal` aborts. */
  wakeAt(at: Date, signal: AbortSignal): void {
    const delayMs = at.getTime() - this.#clock.now().getTime();
    void this.#clock.sleep(delayMs, signal).then(() => this.wake());
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (!this.#isWoken && !signal.aborted) {
      this.#pause = new AbortController();
      const delayMs = this.#nextDelayMs;
      this.#nextDelayMs = Math.min(delayMs * 2, this.#options.longestMs);
      await this.#clock.sleep(delayMs, AbortSignal.any([signal, this.#pause.signal]));
      this.#pause = undefined;
    }
    if (this.#isWoken) this.reset();
    this.#isWoken = false;
  }
}
