import type { Clock } from "#local/functions-host/clock.ts";

/** Time that passes only when the simulation says so. */
export class VirtualClock implements Clock {
  #nowMs: number;

  constructor(start: Date) {
    this.#nowMs = start.getTime();
  }

  now(): Date {
    return new Date(this.#nowMs);
  }

  async sleep(): Promise<void> {
    throw new Error("nothing in the engine sleeps: the queues know when a message is due");
  }

  advanceTo(time: Date): void {
    this.#nowMs = Math.max(this.#nowMs, time.getTime());
  }
}
