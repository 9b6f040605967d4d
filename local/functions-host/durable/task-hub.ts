/**
 * A task hub: instances (orchestrations and entities) that move on when control messages arrive,
 * and activities that run when work messages arrive. Invariants: an instance changes only by a
 * commit that holds history and outbox together; input messages are removed after that commit was
 * delivered; so every step happens at least once and is decided exactly once.
 */
import { messageOf } from "#core/lib/errors.ts";
import type { Clock } from "../clock.ts";
import { durableLogCategory, type Log } from "../log.ts";
import {
  batchMessages,
  emptyEntity,
  type EntityBatchResult,
  entityRequests,
} from "./entity-batch.ts";
import { isEntityInstanceId } from "./entity-messages.ts";
import type { EpisodeTools } from "./episode.ts";
import type { FunctionCalls } from "./function-calls.ts";
import { eventBase, eventTypes, type HistoryEvent } from "./history-events.ts";
import { InstanceGuard } from "./instance-guard.ts";
import {
  type ControlMessage,
  newInstanceRecord,
  type OutboxEntry,
  rememberMessages,
  type WorkMessage,
} from "./instance-record.ts";
import { OrchestrationDispatch } from "./orchestration-dispatch.ts";
import type { LeasedMessage, TaskStore } from "./task-store.ts";

export interface TaskHubOptions {
  readonly store: TaskStore;
  readonly calls: FunctionCalls;
  readonly clock: Clock;
  readonly newId: () => string;
  readonly log: Log;
  /** Calls every orchestrator twice and fails the instance when the answers differ. */
  readonly validatesReplay: boolean;
  readonly onSent: (queue: OutboxEntry["queue"], visibleAt: Date | undefined) => void;
}

export class TaskHub {
  readonly guard: InstanceGuard;
  readonly #options: TaskHubOptions;
  readonly #orchestrations: OrchestrationDispatch;

  constructor(options: TaskHubOptions) {
    this.#options = options;
    this.guard = new InstanceGuard(options);
    this.#orchestrations = new OrchestrationDispatch({
      ...options,
      guard: this.guard,
      tools: () => this.tools(),
    });
  }

  get store(): TaskStore {
    return this.#options.store;
  }

  get calls(): FunctionCalls {
    return this.#options.calls;
  }

  tools(): EpisodeTools {
    return { now: this.#options.clock.now(), newId: this.#options.newId };
  }

  /** To be called once at start, before messages are handled. */
  async recover(): Promise<void> {
    const recoveredCount = await this.guard.recover();
    if (recoveredCount === 0) return;
    const message = `sent the outbox of ${recoveredCount} instance(s) again after a crash`;
    this.#options.log("warning", durableLogCategory, message);
  }

  /** Handles messages of one instance and removes them. Safe to repeat after any failure. */
  async handleControl(
    instanceId: string,
    messages: readonly LeasedMessage<ControlMessage>[],
  ): Promise<void> {
    const bodies = messages.map((message) => message.body);
    if (isEntityInstanceId(instanceId)) await this.#runEntity(instanceId, bodies);
    else await this.#orchestrations.run(instanceId, bodies);
    await Promise.all(messages.map(async (message) => message.complete()));
  }

  /** Runs an activity and sends its result. */
  async handleWork(message: LeasedMessage<WorkMessage>): Promise<void> {
    const { instanceId, executionId, taskId, name } = message.body;
    const result = await this.#options.calls.callActivity(message.body);
    const base = { ...eventBase(this.#options.clock.now()), TaskScheduledId: taskId };
    const event: HistoryEvent =
      result.kind === "completed"
        ? { ...base, EventType: eventTypes.taskCompleted, Result: result.result }
        : {
            ...base,
            EventType: eventTypes.taskFailed,
            Reason: `Activity function '${name}' failed: ${result.message}`,
            Details: serializedException(result.message),
            FailureDetails: null,
          };
    // The same id for every run of this task: the first answer counts.
    const messageId = `answer-${executionId}-${taskId}`;
    await this.guard.send({
      queue: "control",
      message: { messageId, instanceId, executionId, event },
    });
    await message.complete();
  }

  async #runEntity(instanceId: string, messages: readonly ControlMessage[]): Promise<void> {
    await this.guard.withInstance(instanceId, async (previous) => {
      const tools = this.tools();
      const record = previous?.record ?? this.#newEntity(instanceId);
      const seen = new Set(record.seenMessageIds);
      const fresh = messages.filter(({ messageId }) => {
        const isFresh = !seen.has(messageId);
        seen.add(messageId);
        return isFresh;
      });
      if (fresh.length === 0) return;
      const requests = entityRequests(fresh.map((message) => message.event));
      const before = record.entity ?? emptyEntity;
      const result = await this.#callEntity(instanceId, before, requests);
      const entity = { exists: result.entityExists, state: result.entityState ?? null };
      const outbox = batchMessages(requests, result, tools);
      const seenMessageIds = rememberMessages(
        record.seenMessageIds,
        fresh.map((message) => message.messageId),
      );
      const updatedAt = tools.now.toISOString();
      await this.guard.commit({ ...record, entity, outbox, seenMessageIds, updatedAt }, previous);
    });
  }

  #newEntity(instanceId: string) {
    const { now, newId } = this.tools();
    return newInstanceRecord(
      {
        instanceId,
        executionId: newId(),
        name: instanceId.split("@")[1] ?? "",
        input: null,
        createdAt: now.toISOString(),
      },
      { status: "Running", entity: emptyEntity },
    );
  }

  /** An entity function that breaks fails its operations and keeps its state. */
  async #callEntity(
    instanceId: string,
    entity: Parameters<FunctionCalls["callEntity"]>[1],
    operations: Parameters<FunctionCalls["callEntity"]>[2],
  ): Promise<EntityBatchResult> {
    const { calls, log } = this.#options;
    let result: EntityBatchResult;
    try {
      result = await calls.callEntity(instanceId, entity, operations);
    } catch (error) {
      const text = JSON.stringify(messageOf(error));
      result = {
        entityExists: entity.exists,
        entityState: entity.state,
        results: operations.map(() => ({ isError: true, result: text })),
        signals: [],
      };
    }
    for (const [index, { isError, result: text }] of result.results.entries()) {
      if (!isError) continue;
      const operation = operations[index]?.op ?? "";
      log("error", durableLogCategory, `entity operation '${operation}' failed: ${text ?? ""}`, {
        instanceId,
      });
    }
    return result;
  }
}

/** The form in which .NET serialises an exception; the library shows it after the reason. */
function serializedException(message: string): string {
  return JSON.stringify({
    $type: "System.Exception, System.Private.CoreLib",
    ClassName: "System.Exception",
    Message: message,
    Data: null,
    InnerException: null,
    StackTraceString: null,
  });
}
