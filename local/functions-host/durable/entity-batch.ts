/** One batch of an entity's operations, as pure functions: requests in, replies and signals out. */
import {
  entityOperationEvent,
  type EntityReply,
  type EntityRequest,
  entityRequestSchema,
  entityInstanceId,
} from "./entity-messages.ts";
import { z } from "zod";
import type { EpisodeTools } from "./episode.ts";
import { eventBase, type HistoryEvent, eventTypes } from "./history-events.ts";
import type { EntityState, OutboxEntry } from "./instance-record.ts";

/** What the library answers to a batch. Source: `EntityState` of durable-functions 3.5.0. */
export const entityBatchResultSchema = z.object({
  entityExists: z.boolean(),
  entityState: z.string().nullish(),
  results: z.array(z.object({ isError: z.boolean(), result: z.string().nullish() })),
  signals: z.array(
    z.object({
      target: z.object({ name: z.string(), key: z.string() }),
      name: z.string(),
      input: z.string().nullish(),
    }),
  ),
});
export type EntityBatchResult = z.infer<typeof entityBatchResultSchema>;

export const emptyEntity: EntityState = { exists: false, state: null };

/** The operations that messages ask for, in the order of their arrival. */
export function entityRequests(events: readonly HistoryEvent[]): EntityRequest[] {
  return events.flatMap((event) =>
    event.EventType === eventTypes.eventRaised && event.Name === entityOperationEvent
      ? [entityRequestSchema.parse(JSON.parse(event.Input))]
      : [],
  );
}

/** Replies to the callers and signals to other entities. */
export function batchMessages(
  operations: readonly EntityRequest[],
  result: EntityBatchResult,
  tools: EpisodeTools,
): OutboxEntry[] {
  const replies = operations.flatMap((request, index) => {
    const each = result.results[index];
    if (request.signal === true || each === undefined) return [];
    const reply: EntityReply = {
      result: each.result ?? null,
      ...(each.isError ? { exceptionType: "Error" as const } : {}),
    };
    return replyTo(request, reply, tools);
  });
  const signals = result.signals.map((signal) => {
    const targetId = entityInstanceId(signal.target.name, signal.target.key);
    const input = typeof signal.input === "string" ? { input: signal.input } : {};
    const request = { op: signal.name, signal: true, ...input, id: tools.newId() };
    return requestEntry(targetId, request, tools);
  });
  return [...replies, ...signals];
}

function replyTo(request: EntityRequest, reply: EntityReply, tools: EpisodeTools): OutboxEntry[] {
  if (request.parent === undefined) return [];
  const event = {
    ...eventBase(tools.now),
    EventType: eventTypes.eventRaised,
    Name: request.id,
    Input: JSON.stringify(reply),
  };
  const message = {
    messageId: tools.newId(),
    instanceId: request.parent,
    ...(request.parentExecution === undefined ? {} : { executionId: request.parentExecution }),
    event,
  };
  return [{ queue: "control", message }];
}

/** The message that asks an entity for an operation. */
export function requestEntry(
  targetId: string,
  request: EntityRequest,
  { now, newId }: EpisodeTools,
): Extract<OutboxEntry, { queue: "control" }> {
  const event = {
    ...eventBase(now),
    EventType: eventTypes.eventRaised,
    Name: entityOperationEvent,
    Input: JSON.stringify(request),
  };
  return { queue: "control", message: { messageId: newId(), instanceId: targetId, event } };
}
