/** What clients may ask of a task hub; the management API and the tests stand on this. */
import { HoldfastError } from "#core/lib/errors.ts";
import { requestEntry } from "./entity-batch.ts";
import { entityInstanceId } from "./entity-messages.ts";
import { executionStartedEvent } from "./episode.ts";
import { eventBase, eventTypes, type HistoryEvent } from "./history-events.ts";
import {
  type InstanceHeader,
  type InstanceRecord,
  isTerminal,
  newInstanceRecord,
} from "./instance-record.ts";
import type { TaskHub } from "./task-hub.ts";
import type { InstanceFilter } from "./task-store.ts";

const instanceIdLimit = 256;
// oxlint-disable-next-line no-control-regex -- control characters are what is refused
const refusedInInstanceIds = /[/\\?#\u0000-\u001f\u007f-\u009f]/;

/** Whether an instance took a request. */
export type RequestOutcome = "accepted" | "not-found" | "ended";

export class HubClient {
  readonly #hub: TaskHub;

  constructor(hub: TaskHub) {
    this.#hub = hub;
  }

  /**
   * Starts an orchestration; ended instances of the same id are replaced.
   * @param input JSON text
   * @throws HoldfastError `InvalidArgument` (unknown function, bad id), `InstanceExists`
   */
  async start(options: {
    name: string;
    instanceId?: string | undefined;
    input: string | null;
    version?: string | undefined;
  }): Promise<string> {
    const { name, input, version } = options;
    const { known } = this.#hub.calls;
    if (!known.orchestrators.has(name.toLowerCase())) {
      throw invalidArgument(
        `The function '${name}' doesn't exist, is disabled, or is not an orchestrator function. Known orchestrator functions: ${[...known.orchestrators].join(", ")}.`,
      );
    }
    const { newId } = this.#hub.tools();
    const instanceId = options.instanceId ?? newId();
    assertInstanceId(instanceId);
    await this.#hub.guard.withInstance(instanceId, async (previous) => {
      if (previous !== undefined && !isTerminal(previous.record.status)) {
        throw new HoldfastError(
          "InstanceExists",
          `An Orchestration instance with the status ${previous.record.status} already exists.`,
        );
      }
      const { now } = this.#hub.tools();
      const record = newInstanceRecord(
        { instanceId, executionId: newId(), name, input, createdAt: now.toISOString() },
        {
          version: version ?? "",
          seenMessageIds: previous?.record.seenMessageIds ?? [],
        },
      );
      const message = {
        messageId: newId(),
        instanceId,
        executionId: record.executionId,
        event: executionStartedEvent(record, now),
      };
      await this.#hub.guard.commit(
        { ...record, outbox: [{ queue: "control", message }] },
        previous,
      );
    });
    return instanceId;
  }

  /** @param input JSON text */
  async raiseEvent(instanceId: string, name: string, input: string): Promise<RequestOutcome> {
    return this.#post(instanceId, (now) => ({
      ...eventBase(now),
      EventType: eventTypes.eventRaised,
      Name: name,
      Input: input,
    }));
  }

  async terminate(instanceId: string, reason: string): Promise<RequestOutcome> {
    return this.#post(instanceId, (now) => ({
      ...eventBase(now),
      EventType: eventTypes.executionTerminated,
      Input: JSON.stringify(reason),
    }));
  }

  /** @throws HoldfastError `InvalidState` when it is suspended already */
  async suspend(instanceId: string, reason: string): Promise<RequestOutcome> {
    return this.#post(instanceId, (now, record) => {
      assertState(record, "suspend", record.status !== "Suspended");
      return { ...eventBase(now), EventType: eventTypes.executionSuspended, Reason: reason };
    });
  }

  /** @throws HoldfastError `InvalidState` when it is not suspended */
  async resume(instanceId: string, reason: string): Promise<RequestOutcome> {
    return this.#post(instanceId, (now, record) => {
      assertState(record, "resume", record.status === "Suspended");
      return { ...eventBase(now), EventType: eventTypes.executionResumed, Reason: reason };
    });
  }

  /** Runs the same orchestration with the same input again; undefined when there is none. */
  async restart(instanceId: string, withNewId: boolean): Promise<string | undefined> {
    const record = await this.load(instanceId);
    if (record === undefined || record.entity !== null) return undefined;
    const { name, input, version } = record;
    return this.start({ name, input, version, ...(withNewId ? {} : { instanceId }) });
  }

  /** @param input JSON text @throws HoldfastError `InvalidArgument` for an unknown entity */
  async signalEntity(
    target: { name: string; key: string },
    operation: string,
    input: string | undefined,
  ): Promise<void> {
    if (!this.#hub.calls.known.entities.has(target.name.toLowerCase())) {
      throw invalidArgument(
        `The function '${target.name}' doesn't exist, is disabled, or is not an entity function.`,
      );
    }
    const tools = this.#hub.tools();
    const request = {
      op: operation,
      signal: true,
      id: tools.newId(),
      ...(input === undefined ? {} : { input }),
    };
    await this.#hub.guard.send(
      requestEntry(entityInstanceId(target.name, target.key), request, tools),
    );
  }

  async load(instanceId: string): Promise<InstanceRecord | undefined> {
    return (await this.#hub.store.load(instanceId))?.record;
  }

  async list(filter: InstanceFilter): Promise<InstanceHeader[]> {
    return this.#hub.store.list(filter);
  }

  async purge(instanceId: string): Promise<boolean> {
    return this.#hub.guard.purge(instanceId);
  }

  async #post(
    instanceId: string,
    eventOf: (now: Date, record: InstanceRecord) => HistoryEvent,
  ): Promise<RequestOutcome> {
    const record = await this.load(instanceId);
    if (record === undefined || record.entity !== null) return "not-found";
    if (isTerminal(record.status)) return "ended";
    const { now, newId } = this.#hub.tools();
    const message = { messageId: newId(), instanceId, event: eventOf(now, record) };
    await this.#hub.guard.send({ queue: "control", message });
    return "accepted";
  }
}

function invalidArgument(message: string): HoldfastError {
  return new HoldfastError("InvalidArgument", message);
}

function assertInstanceId(instanceId: string): void {
  if (instanceId.startsWith("@")) {
    throw invalidArgument("Orchestration instance ids must not start with @.");
  }
  if (refusedInInstanceIds.test(instanceId)) {
    throw invalidArgument(
      "Orchestration instance ids must not contain /, \\, #, ?, or control characters.",
    );
  }
  if (instanceId.length === 0 || instanceId.length > instanceIdLimit) {
    throw invalidArgument(`Instance ID lengths must be 1 to ${instanceIdLimit} characters.`);
  }
}

function assertState(record: InstanceRecord, verb: string, isAllowed: boolean): void {
  if (isAllowed) return;
  throw new HoldfastError(
    "InvalidState",
    `Cannot ${verb} the orchestration instance ${record.instanceId} because instance is in the ${record.status} state.`,
  );
}
