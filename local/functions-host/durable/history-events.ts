/**
 * The history of an orchestration as the durable-functions library reads it: PascalCase fields,
 * numeric `EventType` (the enum `EventType` of DurableTask.Core). A history is append-only within
 * one execution; each episode is OrchestratorStarted, what came in, what was decided,
 * OrchestratorCompleted.
 */
import { z } from "zod";

export const eventTypes = {
  executionStarted: 0,
  executionCompleted: 1,
  executionTerminated: 3,
  taskScheduled: 4,
  taskCompleted: 5,
  taskFailed: 6,
  subOrchestrationCreated: 7,
  subOrchestrationCompleted: 8,
  subOrchestrationFailed: 9,
  timerCreated: 10,
  timerFired: 11,
  orchestratorStarted: 12,
  orchestratorCompleted: 13,
  eventSent: 14,
  eventRaised: 15,
  executionSuspended: 19,
  executionResumed: 20,
} as const;

/** Names as the management API shows them (`EventType` in `historyEvents`). */
export const eventTypeNames: ReadonlyMap<number, string> = new Map([
  [eventTypes.executionStarted, "ExecutionStarted"],
  [eventTypes.executionCompleted, "ExecutionCompleted"],
  [eventTypes.executionTerminated, "ExecutionTerminated"],
  [eventTypes.taskScheduled, "TaskScheduled"],
  [eventTypes.taskCompleted, "TaskCompleted"],
  [eventTypes.taskFailed, "TaskFailed"],
  [eventTypes.subOrchestrationCreated, "SubOrchestrationInstanceCreated"],
  [eventTypes.subOrchestrationCompleted, "SubOrchestrationInstanceCompleted"],
  [eventTypes.subOrchestrationFailed, "SubOrchestrationInstanceFailed"],
  [eventTypes.timerCreated, "TimerCreated"],
  [eventTypes.timerFired, "TimerFired"],
  [eventTypes.orchestratorStarted, "OrchestratorStarted"],
  [eventTypes.orchestratorCompleted, "OrchestratorCompleted"],
  [eventTypes.eventSent, "EventSent"],
  [eventTypes.eventRaised, "EventRaised"],
  [eventTypes.executionSuspended, "ExecutionSuspended"],
  [eventTypes.executionResumed, "ExecutionResumed"],
]);

const nullableText = z.string().nullable();
const common = { EventId: z.int(), IsPlayed: z.boolean(), Timestamp: z.string() };
const orchestrationInstance = z.object({ InstanceId: z.string(), ExecutionId: z.string() });
const parentInstance = z.object({
  Name: z.string(),
  OrchestrationInstance: orchestrationInstance,
  TaskScheduleId: z.int(),
  Version: z.string(),
});
const completed = { ...common, TaskScheduledId: z.int(), Result: nullableText };
const failed = {
  ...common,
  TaskScheduledId: z.int(),
  Reason: z.string(),
  Details: z.string(),
  FailureDetails: z.unknown().optional(),
};
const named = { ...common, Name: z.string() };
const timer = { ...common, FireAt: z.string() };

export const historyEventSchema = z.discriminatedUnion("EventType", [
  z.object({
    ...named,
    EventType: z.literal(eventTypes.executionStarted),
    Version: z.string(),
    Input: nullableText,
    OrchestrationInstance: orchestrationInstance,
    ParentInstance: parentInstance.nullable(),
    Tags: z.null(),
  }),
  z.object({
    ...common,
    EventType: z.literal(eventTypes.executionCompleted),
    OrchestrationStatus: z.int(),
    Result: nullableText,
    FailureDetails: z.unknown().optional(),
  }),
  z.object({
    ...common,
    EventType: z.literal(eventTypes.executionTerminated),
    Input: nullableText,
  }),
  z.object({
    ...named,
    EventType: z.literal(eventTypes.taskScheduled),
    Version: z.string(),
    Input: z.null(),
  }),
  z.object({ ...completed, EventType: z.literal(eventTypes.taskCompleted) }),
  z.object({ ...failed, EventType: z.literal(eventTypes.taskFailed) }),
  z.object({
    ...named,
    EventType: z.literal(eventTypes.subOrchestrationCreated),
    Version: z.string(),
    InstanceId: z.string(),
    Input: z.null(),
  }),
  z.object({ ...completed, EventType: z.literal(eventTypes.subOrchestrationCompleted) }),
  z.object({ ...failed, EventType: z.literal(eventTypes.subOrchestrationFailed) }),
  z.object({ ...timer, EventType: z.literal(eventTypes.timerCreated) }),
  z.object({ ...timer, EventType: z.literal(eventTypes.timerFired), TimerId: z.int() }),
  z.object({ ...common, EventType: z.literal(eventTypes.orchestratorStarted) }),
  z.object({ ...common, EventType: z.literal(eventTypes.orchestratorCompleted) }),
  z.object({
    ...named,
    EventType: z.literal(eventTypes.eventSent),
    InstanceId: z.string(),
    Input: z.string(),
  }),
  z.object({ ...named, EventType: z.literal(eventTypes.eventRaised), Input: z.string() }),
  z.object({ ...common, EventType: z.literal(eventTypes.executionSuspended), Reason: z.string() }),
  z.object({ ...common, EventType: z.literal(eventTypes.executionResumed), Reason: z.string() }),
]);

export type HistoryEvent = z.infer<typeof historyEventSchema>;

/** The event of one type, e.g. `EventOf<typeof eventTypes.timerFired>`. */
export type EventOf<Type extends HistoryEvent["EventType"]> = Extract<
  HistoryEvent,
  { EventType: Type }
>;

/** Fields every event has. `eventId` is -1 for all but the events that schedule something. */
export function eventBase(
  at: Date,
  eventId = -1,
): { EventId: number; IsPlayed: boolean; Timestamp: string } {
  return { EventId: eventId, IsPlayed: false, Timestamp: at.toISOString() };
}
