import { setTimeout as delay } from "node:timers/promises";

/**
 * Time as the host sees it. Everything that reads the time or waits takes a clock, so that a
 * simulation can make days pass in milliseconds.
 */
export interface Clock {
  now(): Date;
  /** Resolves after `delayMs`, or at once when the signal aborts. Never rejects. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** `setTimeout` counts in 32 bits; longer waits are made of several. */
const longestTimeoutMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => new Date(),
  async sleep(delayMs, signal) {
    let leftMs = delayMs;
    while (leftMs > 0) {
      if (signal?.aborted === true) return;
      const stepMs = Math.min(leftMs, longestTimeoutMs);
      try {
        await delay(stepMs, undefined, signal === undefined ? {} : { signal });
      } catch {
        return; // aborted: the caller asked to be woken
      }
      leftMs -= stepMs;
    }
  },
};
