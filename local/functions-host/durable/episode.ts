/**
 * One episode of an orchestration, as pure steps: which messages count, what the history becomes,
 * which record and outbox follow from the decisions. The hub does the I/O between them.
 */
import type { Completion, Decision, ReplayOutcome } from "./decisions.ts";
import { eventBase, type EventOf, eventTypes, type HistoryEvent } from "./history-events.ts";
import {
  type ControlMessage,
  type InstanceRecord,
  newInstanceRecord,
  type OutboxEntry,
  rememberMessages,
} from "./instance-record.ts";

type ExecutionStarted = EventOf<typeof eventTypes.executionStarted>;

export interface EpisodeTools {
  readonly now: Date;
  readonly newId: () => string;
}

/** The event that begins an execution; also the message that starts an instance. */
export function executionStartedEvent(record: InstanceRecord, at: Date): ExecutionStarted {
  const { parent } = record;
  return {
    ...eventBase(at),
    EventType: eventTypes.executionStarted,
    OrchestrationInstance: { InstanceId: record.instanceId, ExecutionId: record.executionId },
    ParentInstance:
      parent === null
        ? null
        : {
            Name: parent.name,
            OrchestrationInstance: {
              InstanceId: parent.instanceId,
              ExecutionId: parent.executionId,
            },
            TaskScheduleId: parent.taskId,
            Version: "",
          },
    Name: record.name,
    Version: record.version,
    Input: record.input,
    Tags: null,
  };
}

/** The record of a sub-orchestration that its parent's message starts. */
export function recordOfStart(message: ControlMessage, event: ExecutionStarted): InstanceRecord {
  const parent = event.ParentInstance;
  return newInstanceRecord(
    {
      instanceId: message.instanceId,
      executionId: event.OrchestrationInstance.ExecutionId,
      name: event.Name,
      input: event.Input,
      createdAt: event.Timestamp,
    },
    {
      version: event.Version,
      parent:
        parent === null
          ? null
          : {
              instanceId: parent.OrchestrationInstance.InstanceId,
              executionId: parent.OrchestrationInstance.ExecutionId,
              name: parent.Name,
              taskId: parent.TaskScheduleId,
            },
    },
  );
}

/**
 * The messages that are new to this instance, in order. Duplicates, answers to an earlier
 * execution and a second answer to the same task are left out. The library would keep a second
 * answer for later and give it to the wrong task.
 */
export function selectFreshMessages(
  record: InstanceRecord,
  messages: readonly ControlMessage[],
): ControlMessage[] {
  const seen = new Set(record.seenMessageIds);
  const unanswered = unansweredIds(record.history);
  return messages.filter((message) => {
    if (seen.has(message.messageId)) return false;
    seen.add(message.messageId);
    if (message.executionId !== undefined && message.executionId !== record.executionId) {
      return false;
    }
    const answered = answeredId(message.event);
    if (answered !== undefined) return unanswered.delete(answered);
    return message.event.EventType !== eventTypes.executionStarted;
  });
}

/** Kind and id, so that a late answer of one kind never completes another one's task. */
function unansweredIds(history: readonly HistoryEvent[]): Set<string> {
  const unanswered = new Set<string>();
  for (const event of history) {
    const asked = askedKinds.get(event.EventType);
    if (asked !== undefined) unanswered.add(`${asked} ${event.EventId}`);
    const answered = answeredId(event);
    if (answered !== undefined) unanswered.delete(answered);
  }
  return unanswered;
}

const askedKinds: ReadonlyMap<number, string> = new Map([
  [eventTypes.taskScheduled, "task"],
  [eventTypes.subOrchestrationCreated, "sub-orchestration"],
  [eventTypes.timerCreated, "timer"],
]);
const answerKinds: ReadonlyMap<number, string> = new Map([
  [eventTypes.taskCompleted, "task"],
  [eventTypes.taskFailed, "task"],
  [eventTypes.subOrchestrationCompleted, "sub-orchestration"],
  [eventTypes.subOrchestrationFailed, "sub-orchestration"],
]);

function answeredId(event: HistoryEvent): string | undefined {
  if (event.EventType === eventTypes.timerFired) return `timer ${event.TimerId}`;
  const kind = answerKinds.get(event.EventType);
  return kind !== undefined && "TaskScheduledId" in event
    ? `${kind} ${event.TaskScheduledId}`
    : undefined;
}

/** The record with the episode's opening appended; earlier events become replayed ones. */
export function openEpisode(
  record: InstanceRecord,
  incoming: readonly HistoryEvent[],
  now: Date,
): InstanceRecord {
  const last = record.history.at(-1);
  // Time never runs backwards inside an instance, whatever the machine's clock does.
  const at =
    last !== undefined && Date.parse(last.Timestamp) > now.getTime()
      ? new Date(last.Timestamp)
      : now;
  const start = record.history.length === 0 ? [executionStartedEvent(record, at)] : [];
  return {
    ...record,
    history: [
      ...record.history.map((event) => ({ ...event, IsPlayed: true })),
      { ...eventBase(at), EventType: eventTypes.orchestratorStarted },
      ...start,
      ...incoming,
    ],
  };
}

export interface ClosedEpisode {
  readonly record: InstanceRecord;
  /** Events with which the next execution of the same instance begins at once. */
  readonly nextExecution: readonly HistoryEvent[] | undefined;
}

const orchestrationStatusNumbers = {
  Completed: 1,
  ContinuedAsNew: 2,
  Failed: 3,
  Terminated: 5,
} as const;

/** Writes the decisions into history and outbox. `outbox` of the record is appended to. */
export function closeEpisode(
  record: InstanceRecord,
  outcome: ReplayOutcome,
  tools: EpisodeTools,
): ClosedEpisode {
  const { completion } = outcome;
  const { now } = tools;
  const history = [...record.history];
  const outbox = [...record.outbox];
  for (const decision of outcome.decisions) {
    history.push(decisionEvent(decision, now));
    outbox.push(decisionMessage(decision, record, tools));
  }
  const updatedAt = now.toISOString();
  if (completion?.status === "ContinuedAsNew") {
    return {
      record: {
        ...record,
        executionId: tools.newId(),
        input: completion.result,
        status: "Running",
        history: [],
        outbox,
        updatedAt,
      },
      nextExecution: completion.carriedEvents,
    };
  }
  if (completion !== undefined) {
    history.push({
      ...eventBase(now, completion.id),
      EventType: eventTypes.executionCompleted,
      OrchestrationStatus: orchestrationStatusNumbers[completion.status],
      Result: completion.result,
      FailureDetails: completion.failureDetails,
    });
    outbox.push(...parentMessages(record, completion, tools));
  }
  history.push({ ...eventBase(now), EventType: eventTypes.orchestratorCompleted });
  const status = completion?.status ?? (outcome.isSuspended ? "Suspended" : "Running");
  const output = completion === undefined ? record.output : completion.result;
  return {
    record: { ...record, history, outbox, status, output, updatedAt },
    nextExecution: undefined,
  };
}

function decisionEvent(decision: Decision, now: Date): HistoryEvent {
  const base = eventBase(now, decision.id);
  switch (decision.kind) {
    case "activity":
      return {
        ...base,
        EventType: eventTypes.taskScheduled,
        Name: decision.name,
        Version: "",
        Input: null,
      };
    case "timer":
      return { ...base, EventType: eventTypes.timerCreated, FireAt: decision.fireAt };
    case "sub-orchestration":
      return {
        ...base,
        EventType: eventTypes.subOrchestrationCreated,
        Name: decision.name,
        Version: decision.version,
        InstanceId: decision.instanceId,
        Input: null,
      };
    case "event":
      return {
        ...base,
        EventType: eventTypes.eventSent,
        InstanceId: decision.targetId,
        Name: decision.name,
        Input: decision.data,
      };
  }
}

function decisionMessage(
  decision: Decision,
  record: InstanceRecord,
  { now, newId }: EpisodeTools,
): OutboxEntry {
  const { instanceId, executionId } = record;
  const messageId = newId();
  switch (decision.kind) {
    case "activity": {
      const { id: taskId, name, input } = decision;
      return { queue: "work", message: { instanceId, executionId, taskId, name, input } };
    }
    case "timer": {
      const { id: TimerId, fireAt } = decision;
      const event = {
        ...eventBase(new Date(fireAt)),
        EventType: eventTypes.timerFired,
        TimerId,
        FireAt: fireAt,
      };
      const message = { messageId, instanceId, executionId, event };
      return { queue: "control", message, visibleAt: fireAt };
    }
    case "sub-orchestration": {
      const child = newInstanceRecord(
        {
          instanceId: decision.instanceId,
          executionId: newId(),
          name: decision.name,
          input: decision.input === undefined ? null : JSON.stringify(decision.input),
          createdAt: now.toISOString(),
        },
        {
          version: decision.version,
          parent: { instanceId, executionId, name: record.name, taskId: decision.id },
        },
      );
      const message = {
        messageId,
        instanceId: child.instanceId,
        executionId: child.executionId,
        event: executionStartedEvent(child, now),
      };
      return { queue: "control", message };
    }
    case "event": {
      const event = {
        ...eventBase(now),
        EventType: eventTypes.eventRaised,
        Name: decision.name,
        Input: decision.data,
      };
      return { queue: "control", message: { messageId, instanceId: decision.targetId, event } };
    }
  }
}

function parentMessages(
  record: InstanceRecord,
  completion: Completion,
  tools: EpisodeTools,
): OutboxEntry[] {
  if (record.parent === null) return [];
  return [subOrchestrationAnswer(record.parent, completion, tools)];
}

/** Tells a parent how its sub-orchestration ended. */
export function subOrchestrationAnswer(
  parent: NonNullable<InstanceRecord["parent"]>,
  completion: Pick<Completion, "status" | "result" | "details" | "failureDetails">,
  { now, newId }: EpisodeTools,
): OutboxEntry {
  const base = { ...eventBase(now), TaskScheduledId: parent.taskId };
  const event: HistoryEvent =
    completion.status === "Completed"
      ? { ...base, EventType: eventTypes.subOrchestrationCompleted, Result: completion.result }
      : {
          ...base,
          EventType: eventTypes.subOrchestrationFailed,
          Reason: completion.result ?? "",
          Details: completion.details,
          FailureDetails: completion.failureDetails,
        };
  const { instanceId, executionId } = parent;
  return {
    queue: "control",
    message: { messageId: newId(), instanceId, executionId, event },
  };
}

/** The record that remembers all these messages, fresh or not. */
export function withSeenMessages(
  record: InstanceRecord,
  messages: readonly ControlMessage[],
): InstanceRecord {
  const ids = messages.map((message) => message.messageId);
  return { ...record, seenMessageIds: rememberMessages(record.seenMessageIds, ids) };
}
