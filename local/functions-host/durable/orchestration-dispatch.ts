/** Runs episodes of orchestrations: call the function, replay, commit. */
import { isDeepStrictEqual } from "node:util";
import { durableLogCategory, type Log } from "../log.ts";
import type { ReplayOutcome } from "./decisions.ts";
import {
  closeEpisode,
  type EpisodeTools,
  openEpisode,
  recordOfStart,
  selectFreshMessages,
  subOrchestrationAnswer,
  withSeenMessages,
} from "./episode.ts";
import type { FunctionCalls } from "./function-calls.ts";
import { eventTypes, type HistoryEvent } from "./history-events.ts";
import type { InstanceGuard } from "./instance-guard.ts";
import { type ControlMessage, type InstanceRecord, isTerminal } from "./instance-record.ts";
import { replayOrchestration } from "./orchestration-replay.ts";
import type { OrchestratorReply } from "./orchestrator-state.ts";
import type { VersionedRecord } from "./task-store.ts";

export interface OrchestrationDispatchOptions {
  readonly guard: InstanceGuard;
  readonly calls: FunctionCalls;
  readonly log: Log;
  readonly validatesReplay: boolean;
  readonly tools: () => EpisodeTools;
}

/** The extension refuses more (UTF-16). */
const customStatusLimitBytes = 16 * 1024;
/** Above this a replay gets slow; the app should continue as new. */
const longHistoryEventCount = 1000;
/** Executions that may follow each other in one episode before the queue gets its turn. */
const generationLimit = 1000;

export class OrchestrationDispatch {
  readonly #options: OrchestrationDispatchOptions;

  constructor(options: OrchestrationDispatchOptions) {
    this.#options = options;
  }

  async run(instanceId: string, messages: readonly ControlMessage[]): Promise<void> {
    await this.#options.guard.withInstance(instanceId, async (previous) => {
      const record = await this.#currentRecord(previous, messages);
      if (record === undefined || isTerminal(record.status)) {
        const text = `dropped ${messages.length} message(s): the instance does not exist or has ended`;
        this.#options.log("debug", durableLogCategory, text, { instanceId });
        return;
      }
      const fresh = selectFreshMessages(record, messages);
      if (fresh.length === 0 && record.history.length > 0) return;
      const next = await this.#runEpisode(
        withSeenMessages({ ...record, outbox: [] }, messages),
        fresh.map((message) => message.event),
      );
      await this.#options.guard.commit(next, previous);
    });
  }

  /** The stored record, or a new one when a parent starts a sub-orchestration. */
  async #currentRecord(
    previous: VersionedRecord | undefined,
    messages: readonly ControlMessage[],
  ): Promise<InstanceRecord | undefined> {
    const stored = previous?.record;
    for (const message of messages) {
      const { event } = message;
      if (event.EventType !== eventTypes.executionStarted || event.ParentInstance === null)
        continue;
      if (stored?.seenMessageIds.includes(message.messageId) === true) continue;
      const started = recordOfStart(message, event);
      if (stored === undefined) return started;
      if (stored.executionId === started.executionId) continue;
      if (isTerminal(stored.status)) return { ...started, seenMessageIds: stored.seenMessageIds };
      await this.#refuseStart(started);
    }
    return stored;
  }

  /** A parent must not wait for ever for a child whose id is taken by a running instance. */
  async #refuseStart(started: InstanceRecord): Promise<void> {
    if (started.parent === null) return;
    const result = `An Orchestration instance with the id ${started.instanceId} is already running.`;
    const answer = subOrchestrationAnswer(
      started.parent,
      { status: "Failed", result, details: result, failureDetails: null },
      this.#options.tools(),
    );
    await this.#options.guard.send(answer);
  }

  async #runEpisode(
    record: InstanceRecord,
    incoming: readonly HistoryEvent[],
  ): Promise<InstanceRecord> {
    let current = record;
    let events = incoming;
    for (let generation = 0; generation < generationLimit; generation += 1) {
      const opened = openEpisode(current, events, this.#options.tools().now);
      const { record: withStatus, outcome } = await this.#decide(opened);
      const closed = closeEpisode(withStatus, outcome, this.#options.tools());
      current = closed.record;
      if (closed.nextExecution === undefined) return current;
      events = closed.nextExecution;
    }
    throw new Error(`${record.name} continued as new ${generationLimit} times without waiting`);
  }

  async #decide(record: InstanceRecord): Promise<{
    record: InstanceRecord;
    outcome: ReplayOutcome;
  }> {
    const { calls, log } = this.#options;
    const { instanceId, executionId, name, history } = record;
    if (history.length > longHistoryEventCount) {
      const text = `${name}: ${history.length} history events; use continue-as-new`;
      log("warning", durableLogCategory, text, { instanceId });
    }
    let reply = await this.#call(record);
    let { customStatus } = record;
    if (reply.kind === "state" && (reply.state.customStatus ?? null) !== null) {
      const text = JSON.stringify(reply.state.customStatus);
      if (text.length * 2 > customStatusLimitBytes) {
        const message = `The UTF-16 size of the JSON-serialized payload must not exceed 16 KB. The current payload is ${Math.ceil((text.length * 2) / 1024)} KB.`;
        reply = { kind: "crashed", message, stack: "" };
      } else customStatus = text;
    }
    const input = { instanceId, executionId, name, history, reply, known: calls.known };
    const outcome = replayOrchestration(input);
    if (outcome.completion?.status === "Failed") {
      log("error", durableLogCategory, `${name} failed: ${outcome.completion.result ?? ""}`, {
        instanceId,
      });
    }
    return { record: { ...record, customStatus }, outcome };
  }

  async #call(record: InstanceRecord): Promise<OrchestratorReply> {
    const { calls, validatesReplay } = this.#options;
    const first = await calls.callOrchestrator(record);
    if (!validatesReplay) return first;
    const second = await calls.callOrchestrator(record);
    if (isDeepStrictEqual(withoutStack(first), withoutStack(second))) return first;
    const message = `Non-Deterministic workflow detected: two replays of the same history gave different actions: ${JSON.stringify(withoutStack(first))} and ${JSON.stringify(withoutStack(second))}`;
    return { kind: "crashed", message, stack: "" };
  }
}

function withoutStack(reply: OrchestratorReply): unknown {
  return { ...reply, stack: "" };
}
