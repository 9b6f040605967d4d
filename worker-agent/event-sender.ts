import type { WorkerChannel } from "#core/ports/worker-channel.ts";
import { signEvent } from "#core/protocol/event-authentication.ts";
import { PROTOCOL_VERSION } from "#core/protocol/job.ts";
import type { WorkerEventBody } from "#core/protocol/worker-event.ts";
import type { AgentEvents } from "./events.ts";
import type { Clock } from "./clock.ts";

export interface EventSenderOptions {
  readonly workerId: string;
  readonly workerSecret: Uint8Array;
  readonly channel: WorkerChannel;
  readonly clock: Clock;
  readonly events: AgentEvents;
}

const RETRY_DELAY_MS = 1_000;
const RETRY_DELAY_MAX_MS = 30_000;

/** Signs what the worker tells the control plane and puts it into the event queue. */
export class EventSender {
  readonly #options: EventSenderOptions;
  #sequence: number;

  constructor(options: EventSenderOptions) {
    this.#options = options;
    // Ascending over restarts of the agent too, which forget how far they had counted.
    this.#sequence = options.clock.now().getTime();
  }

  /** One try; a failure is logged and answered as false: the next heartbeat or progress follows. */
  async trySend(body: WorkerEventBody, signal: AbortSignal): Promise<boolean> {
    const { workerId, workerSecret, channel, clock, events } = this.#options;
    this.#sequence += 1;
    const event = {
      version: PROTOCOL_VERSION,
      workerId,
      sequence: this.#sequence,
      sentAt: clock.now().toISOString(),
      body,
    } as const;
    try {
      await channel.sendEvent(JSON.stringify(signEvent(event, workerSecret)), signal);
      return true;
    } catch (error) {
      if (!signal.aborted) events.eventNotSent(body.kind, error);
      return false;
    }
  }

  /** For results: again and again until the queue has taken it or the signal aborts. */
  async sendUntilAccepted(body: WorkerEventBody, signal: AbortSignal): Promise<boolean> {
    let delayMs = RETRY_DELAY_MS;
    while (!signal.aborted) {
      if (await this.trySend(body, signal)) return true;
      await this.#options.clock.sleep(delayMs, signal);
      delayMs = Math.min(delayMs * 2, RETRY_DELAY_MAX_MS);
    }
    return false;
  }
}
