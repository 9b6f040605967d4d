import { eventTypeNames, eventTypes, type HistoryEvent } from "./history-events.ts";
import type { InstanceHeader } from "./instance-record.ts";

/** An instance as the management API shows it; nulls are present, times have no milliseconds. */
export function statusPayload(header: InstanceHeader, showsInput: boolean) {
  return {
    name: header.name,
    instanceId: header.instanceId,
    runtimeStatus: header.status,
    input: showsInput ? jsonOrText(header.input) : null,
    customStatus: jsonOrText(header.customStatus),
    output: jsonOrText(header.output),
    createdTime: wholeSeconds(header.createdAt),
    lastUpdatedTime: wholeSeconds(header.updatedAt),
  };
}

const hiddenFields: readonly string[] = [
  "EventId",
  "IsPlayed",
  "TaskScheduledId",
  "OrchestrationInstance",
  "ParentInstance",
  "Version",
  "Tags",
];

/** The history as `showHistory=true` shows it: names instead of numbers, no bookkeeping. */
export function historyPayload(history: readonly HistoryEvent[], showsOutput: boolean): unknown[] {
  return history
    .filter(
      ({ EventType }) =>
        EventType !== eventTypes.orchestratorStarted &&
        EventType !== eventTypes.orchestratorCompleted,
    )
    .map((event) => {
      const shown = Object.entries(event).filter(
        ([name]) => !hiddenFields.includes(name) && (showsOutput || name !== "Result"),
      );
      return { ...Object.fromEntries(shown), EventType: eventTypeNames.get(event.EventType) };
    });
}

/** A value that is not JSON (the message of a failure) is shown as text. */
export function jsonOrText(text: string | null): unknown {
  if (text === null) return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

export function wholeSeconds(time: string): string {
  return `${time.slice(0, 19)}Z`;
}
