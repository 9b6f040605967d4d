/**
 * One step of an entity, as pure functions: requests join the queue, those that may run form a
 * batch, results become replies. A lock lets only its holder's requests through.
 */
import {
  entityEventNames,
  entityReleaseSchema,
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

export const emptyEntity: EntityState = {
  exists: false,
  state: null,
  waiting: [],
  lockedBy: null,
};

/** Adds requests to the queue; the lock's holder goes before the others. */
export function enqueueRequests(entity: EntityState, events: readonly HistoryEvent[]): EntityState {
  let { lockedBy } = entity;
  const waiting = [...entity.waiting];
  const fromHolder: EntityRequest[] = [];
  for (const event of events) {
    if (event.EventType !== eventTypes.eventRaised) continue;
    const body: unknown = JSON.parse(event.Input);
    if (event.Name === entityEventNames.release) {
      if (lockedBy === entityReleaseSchema.parse(body).parent) lockedBy = null;
      continue;
    }
    const request = entityRequestSchema.parse(body);
    if (lockedBy !== null && lockedBy === request.parent) fromHolder.push(request);
    else waiting.push(request);
  }
  return { ...entity, lockedBy, waiting: [...fromHolder, ...waiting] };
}

export interface EntityStep {
  readonly entity: EntityState;
  readonly operations: readonly EntityRequest[];
  /** Granted after the operations. */
  readonly lock: EntityRequest | undefined;
}

/** Takes what may run now; undefined when nothing may. */
export function takeStep(entity: EntityState): EntityStep | undefined {
  const waiting = [...entity.waiting];
  const operations: EntityRequest[] = [];
  let lock: EntityRequest | undefined;
  while (lock === undefined) {
    const [first] = waiting;
    if (first === undefined) break;
    if (entity.lockedBy !== null && entity.lockedBy !== first.parent) break;
    waiting.shift();
    if (first.lockset === undefined) operations.push(first);
    else lock = first;
  }
  if (operations.length === 0 && lock === undefined) return undefined;
  const lockedBy = lock?.parent ?? entity.lockedBy;
  return { entity: { ...entity, waiting, lockedBy }, operations, lock };
}

/** Replies to the callers and signals to other entities. */
export function stepMessages(
  step: EntityStep,
  result: EntityBatchResult | undefined,
  tools: EpisodeTools,
): OutboxEntry[] {
  const replies = step.operations.flatMap((request, index) => {
    const each = result?.results[index];
    if (request.signal === true || each === undefined) return [];
    const reply: EntityReply = {
      result: each.result ?? null,
      ...(each.isError ? { exceptionType: "Error" as const } : {}),
    };
    return replyTo(request, reply, tools);
  });
  const signals = (result?.signals ?? []).map((signal) => {
    const targetId = entityInstanceId(signal.target.name, signal.target.key);
    const input =
      signal.input === null || signal.input === undefined ? {} : { input: signal.input };
    return requestEntry(
      targetId,
      { op: signal.name, signal: true, ...input, id: tools.newId() },
      tools,
    );
  });
  return [...replies, ...signals, ...lockMessages(step.lock, tools)];
}

/** A grant moves on to the next entity of the set; the last one tells the orchestration. */
function lockMessages(lock: EntityRequest | undefined, tools: EpisodeTools): OutboxEntry[] {
  if (lock === undefined) return [];
  const position = (lock.pos ?? 0) + 1;
  const nextId = lock.lockset?.[position];
  if (nextId === undefined) return replyTo(lock, { result: null }, tools);
  return [requestEntry(nextId, { ...lock, pos: position }, tools)];
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
    Name: entityEventNames.operation,
    Input: JSON.stringify(request),
  };
  return { queue: "control", message: { messageId: newId(), instanceId: targetId, event } };
}
