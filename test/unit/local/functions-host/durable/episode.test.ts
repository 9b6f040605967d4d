import { describe, expect, test } from "vitest";
import { openEpisode, selectFreshMessages } from "#local/functions-host/durable/episode.ts";
import {
  eventBase,
  eventTypes,
  type HistoryEvent,
} from "#local/functions-host/durable/history-events.ts";
import {
  type ControlMessage,
  newInstanceRecord,
} from "#local/functions-host/durable/instance-record.ts";

const at = new Date("2026-03-01T00:00:00.000Z");
const record = {
  ...newInstanceRecord({
    instanceId: "i",
    executionId: "e2",
    name: "program",
    input: null,
    createdAt: at.toISOString(),
  }),
  history: [
    {
      ...eventBase(at, 4),
      EventType: eventTypes.taskScheduled,
      Name: "work",
      Version: "",
      Input: null,
    } satisfies HistoryEvent,
  ],
  seenMessageIds: ["seen"],
};

const taskDone: HistoryEvent = {
  ...eventBase(at),
  EventType: eventTypes.taskCompleted,
  TaskScheduledId: 4,
  Result: null,
};
const timerFired: HistoryEvent = {
  ...eventBase(at),
  EventType: eventTypes.timerFired,
  TimerId: 4,
  FireAt: at.toISOString(),
};

function message(messageId: string, event: HistoryEvent, executionId = "e2"): ControlMessage {
  return { messageId, instanceId: "i", executionId, event };
}

describe("messages that count for an instance", () => {
  test("are those it has not seen, for this execution", () => {
    const fresh = selectFreshMessages(record, [
      message("seen", taskDone),
      message("old", taskDone, "e1"),
      message("new", taskDone),
      message("new", taskDone),
    ]);
    expect(fresh.map(({ messageId }) => messageId)).toEqual(["new"]);
  });

  test("answer a task once, and only one of their own kind", () => {
    const fresh = selectFreshMessages(record, [
      message("timer of another life", timerFired),
      message("answer", taskDone),
      message("second answer", { ...taskDone, Result: "2" }),
    ]);
    expect(fresh.map(({ messageId }) => messageId)).toEqual(["answer"]);
  });
});

test("time inside an instance never runs backwards", () => {
  const earlier = new Date(at.getTime() - 60_000);
  const opened = openEpisode(record, [], earlier);
  expect(opened.history.at(-1)).toMatchObject({
    EventType: eventTypes.orchestratorStarted,
    Timestamp: at.toISOString(),
  });
});
