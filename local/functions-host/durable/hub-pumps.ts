import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { eventTypes } from "./history-events.ts";
import type { ControlMessage, OutboxEntry, WorkMessage } from "./instance-record.ts";
import { MessagePump } from "./message-pump.ts";
import type { TaskHub } from "./task-hub.ts";
import type { TaskStore } from "./task-store.ts";

export interface HubPumpsOptions {
  readonly hub: () => TaskHub;
  readonly store: TaskStore;
  readonly maxActivities: number;
  readonly maxOrchestrations: number;
  readonly longestIdleMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** The two loops that drive a task hub. */
export class HubPumps {
  readonly #control: MessagePump<ControlMessage>;
  readonly #work: MessagePump<WorkMessage>;

  constructor(options: HubPumpsOptions) {
    const { hub, store, maxActivities, maxOrchestrations } = options;
    this.#control = new MessagePump<ControlMessage>({
      ...options,
      name: "control queue",
      queue: store.control,
      groupLimit: maxOrchestrations,
      keyOf: (message) => message.instanceId,
      dueAt: ({ event }) =>
        event.EventType === eventTypes.timerFired ? new Date(event.FireAt) : undefined,
      handle: async (instanceId, messages) => hub().handleControl(instanceId, messages),
    });
    let workCount = 0;
    this.#work = new MessagePump<WorkMessage>({
      ...options,
      name: "work item queue",
      queue: store.work,
      groupLimit: maxActivities,
      // Every activity is a group of its own.
      keyOf: ({ instanceId, taskId }) => `${instanceId} task ${taskId} #${workCount++}`,
      dueAt: () => undefined,
      handle: async (_key, messages) => {
        for (const message of messages) await hub().handleWork(message);
      },
    });
  }

  start(): void {
    this.#control.start();
    this.#work.start();
  }

  notifySent(queue: OutboxEntry["queue"], visibleAt: Date | undefined): void {
    if (queue === "work") this.#work.notifySent(visibleAt);
    else this.#control.notifySent(visibleAt);
  }

  async stop(graceMs: number): Promise<void> {
    // Activities first: their answers still find a hub that handles them.
    await this.#work.stop(graceMs);
    await this.#control.stop(graceMs);
  }
}
