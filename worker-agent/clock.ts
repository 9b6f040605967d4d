import { setTimeout as delay } from "node:timers/promises";

/** Time as the agent sees it; tests bring their own. */
export interface Clock {
  now(): Date;
  /** Resolves after the time or as soon as the signal aborts; never rejects. */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => new Date(),
  async sleep(durationMs, signal) {
    try {
      await delay(durationMs, undefined, { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  },
};
