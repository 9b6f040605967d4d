import { describe, expect, test } from "vitest";
import {
  eventBase,
  eventTypes,
  type HistoryEvent,
} from "#local/functions-host/durable/history-events.ts";
import { replayOrchestration } from "#local/functions-host/durable/orchestration-replay.ts";
import {
  actionTypes,
  type OrchestratorAction,
  type OrchestratorState,
} from "#local/functions-host/durable/orchestrator-state.ts";

const at = new Date("2026-03-01T00:00:00.000Z");
const known = {
  activities: new Set(["work"]),
  orchestrators: new Set(["child"]),
  entities: new Set(["counter"]),
};

const started: HistoryEvent[] = [
  { ...eventBase(at), EventType: eventTypes.orchestratorStarted },
  {
    ...eventBase(at),
    EventType: eventTypes.executionStarted,
    Name: "program",
    Version: "",
    Input: null,
    OrchestrationInstance: { InstanceId: "i", ExecutionId: "e" },
    ParentInstance: null,
    Tags: null,
  },
];

function replay(
  actions: OrchestratorAction[],
  history: HistoryEvent[] = [],
  state: Partial<OrchestratorState> = {},
) {
  return replayOrchestration({
    instanceId: "i",
    executionId: "e",
    name: "program",
    history: [...started, ...history],
    reply: {
      kind: "state",
      stack: "",
      state: { isDone: false, actions: [actions], schemaVersion: 2, ...state },
    },
    known,
  });
}

const work = {
  actionType: actionTypes.callActivity,
  functionName: "work",
} satisfies OrchestratorAction;
const timer = (seconds: number, isCanceled = false): OrchestratorAction => ({
  actionType: actionTypes.createTimer,
  fireAt: new Date(at.getTime() + seconds * 1000).toISOString(),
  isCanceled,
});
const retried = (attempts: number): OrchestratorAction => ({
  actionType: actionTypes.callActivityWithRetry,
  functionName: "work",
  retryOptions: {
    firstRetryIntervalInMilliseconds: 1000,
    maxNumberOfAttempts: attempts,
    backoffCoefficient: 3,
  },
});

const scheduled = (id: number, name = "work"): HistoryEvent => ({
  ...eventBase(at, id),
  EventType: eventTypes.taskScheduled,
  Name: name,
  Version: "",
  Input: null,
});
const completed = (id: number): HistoryEvent => ({
  ...eventBase(at),
  EventType: eventTypes.taskCompleted,
  TaskScheduledId: id,
  Result: "1",
});
const failed = (id: number): HistoryEvent => ({
  ...eventBase(at),
  EventType: eventTypes.taskFailed,
  TaskScheduledId: id,
  Reason: "broke",
  Details: "",
  FailureDetails: null,
});
const timerCreated = (id: number): HistoryEvent => ({
  ...eventBase(at, id),
  EventType: eventTypes.timerCreated,
  FireAt: at.toISOString(),
});
const timerFired = (id: number): HistoryEvent => ({
  ...eventBase(at),
  EventType: eventTypes.timerFired,
  TimerId: id,
  FireAt: at.toISOString(),
});
const suspended: HistoryEvent = {
  ...eventBase(at),
  EventType: eventTypes.executionSuspended,
  Reason: "",
};
const resumed: HistoryEvent = {
  ...eventBase(at),
  EventType: eventTypes.executionResumed,
  Reason: "",
};

describe("the replay of an orchestration", () => {
  test("decides only what the history does not hold yet", () => {
    expect(replay([work]).decisions).toMatchObject([{ kind: "activity", id: 0, name: "work" }]);
    expect(replay([work], [scheduled(0)]).decisions).toEqual([]);
    const next = replay([work, timer(5)], [scheduled(0), completed(0)]);
    expect(next.decisions).toMatchObject([{ kind: "timer", id: 1 }]);
  });

  test("waits with backoff between attempts, and with one more timer after the last", () => {
    const first = replay([retried(2)], [scheduled(0), failed(0)]);
    expect(first.decisions).toEqual([{ kind: "timer", id: 1, fireAt: "2026-03-01T00:00:01.000Z" }]);
    const history = [
      scheduled(0),
      failed(0),
      timerCreated(1),
      timerFired(1),
      scheduled(2),
      failed(2),
    ];
    const last = replay([retried(2)], history);
    expect(last.decisions).toEqual([{ kind: "timer", id: 3, fireAt: at.toISOString() }]);
  });

  test("waits for all children of Task.all, even after one failed", () => {
    const all: OrchestratorAction = {
      actionType: actionTypes.whenAll,
      compoundActions: [work, work],
    };
    const history = [scheduled(0), scheduled(1), failed(0)];
    expect(replay([all, work], history).decisions).toEqual([]);
    expect(replay([all, work], [...history, completed(1)]).decisions).toMatchObject([{ id: 2 }]);
  });

  test("ends only when nothing is open any more", () => {
    const done = { isDone: true, output: "ok" };
    const any = (isCanceled: boolean): OrchestratorAction => ({
      actionType: actionTypes.whenAny,
      compoundActions: [work, timer(60, isCanceled)],
    });
    const history = [scheduled(0), timerCreated(1), completed(0)];
    expect(replay([any(false)], history, done).completion).toBeUndefined();
    expect(replay([any(true)], history, done).completion).toMatchObject({
      status: "Completed",
      result: '"ok"',
    });
  });

  test("cuts a timer longer than six days into steps", () => {
    const { decisions } = replay([timer(7 * 86_400)]);
    expect(decisions).toEqual([{ kind: "timer", id: 0, fireAt: "2026-03-04T00:00:00.000Z" }]);
  });

  test("fails an instance whose code no longer fits its history", () => {
    for (const history of [[scheduled(0, "other")], [timerCreated(0)], [scheduled(5)]]) {
      expect(replay([work], history).completion).toMatchObject({
        status: "Failed",
        result: expect.stringContaining("Non-Deterministic workflow detected") as string,
      });
    }
  });

  test("holds events and decisions back while suspended", () => {
    const held = replay([work, work], [scheduled(0), suspended, completed(0)]);
    expect(held).toMatchObject({ decisions: [], isSuspended: true });
    const released = replay([work, work], [scheduled(0), suspended, completed(0), resumed]);
    expect(released).toMatchObject({ decisions: [{ id: 1 }], isSuspended: false });
  });

  test("carries events that come after continue-as-new to the next execution", () => {
    const event: HistoryEvent = {
      ...eventBase(at),
      EventType: eventTypes.eventRaised,
      Name: "late",
      Input: "1",
    };
    const renew: OrchestratorAction = { actionType: actionTypes.continueAsNew, input: { n: 2 } };
    expect(replay([renew], [event], { isDone: true }).completion).toMatchObject({
      status: "ContinuedAsNew",
      result: '{"n":2}',
      carriedEvents: [event],
    });
  });

  test("gives an entity call the same id on each replay", () => {
    const call: OrchestratorAction = {
      actionType: actionTypes.callEntity,
      instanceId: "@counter@a",
      operation: "add",
      input: 1,
    };
    const { decisions } = replay([call]);
    expect(decisions).toEqual(replay([call]).decisions);
    expect(decisions).toMatchObject([{ kind: "event", targetId: "@counter@a", name: "op" }]);
  });

  test("refuses functions that do not exist, and callHttp", () => {
    const failure = (action: OrchestratorAction) => replay([action]).completion?.result;
    expect(failure({ ...work, functionName: "nobody" })).toContain("'nobody'");
    expect(
      failure({ actionType: actionTypes.callSubOrchestrator, functionName: "nobody" }),
    ).toContain("'nobody'");
    expect(failure({ actionType: actionTypes.callHttp })).toContain("callHttp is not supported");
  });
});
