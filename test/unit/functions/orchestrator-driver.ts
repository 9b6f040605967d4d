/**
 * Runs the real orchestrators without a host: feeds results to the generators, moves a clock of its
 * own from timer to timer (when no call of any orchestration is under way), keeps entities in memory,
 * and checks that every orchestration, replayed from its history, asks for exactly the same things in
 * the same order.
 */
import { createHash } from "node:crypto";
import { DummyOrchestrationContext } from "durable-functions";
import type { OrchestrationContext, Task } from "durable-functions";
import { ORCHESTRATOR_HANDLERS } from "#functions/orchestrators/all-orchestrators.ts";
import { applySlotsOperation } from "#functions/entities/disk-access-slots.ts";
import { applyTurnOperation } from "#functions/entities/region-turn.ts";
import { applyPoolOperation } from "#functions/entities/worker-pool.ts";
import { EMPTY_DISK_SLOTS, type DiskSlots } from "#core/network/disk-slots.ts";
import { FREE_TURN, type RegionTurn } from "#core/network/region-turn.ts";
import { EMPTY_WORK_LIST, takeNext, type WorkList } from "#core/schedule/work-list.ts";
import { EMPTY_POOL, type PoolState } from "#core/workers/pool-state.ts";
import { ENTITIES, type OrchestratorName } from "#functions/orchestrators/names.ts";

interface Call {
  readonly kind: "activity" | "child" | "entity" | "timer" | "event" | "any" | "all";
  readonly name: string;
  readonly input?: unknown;
  readonly instanceId?: string;
  readonly fireAt?: number;
  readonly parts?: FakeTask[];
}

interface FakeTask extends Task {
  readonly call: Call;
  isCanceled: boolean;
  cancel(): void;
}

/** What was asked and what was answered; `chosen` is the index of the part that won a race. */
interface HistoryEntry {
  readonly asked: string;
  readonly at: number;
  readonly answer: unknown;
  readonly failed: boolean;
  readonly chosen?: number;
}

export interface Driver {
  now: number;
  readonly pools: Map<string, PoolState>;
  /** By `<region>~<subscription>`. */
  readonly diskSlots: Map<string, DiskSlots>;
  /** By region. */
  readonly regionTurns: Map<string, RegionTurn>;
  /** Names of the activities that were called, in order. */
  readonly calls: { readonly name: string; readonly input: unknown }[];
  /** Everything that would rest in a history, as text. */
  readonly recorded: string[];
  run(name: OrchestratorName, instanceId: string, input: unknown): Promise<unknown>;
  raise(instanceId: string, eventName: string): void;
  /** Does something when so much time has passed on its clock. */
  later(milliseconds: number, action: () => Promise<void>): void;
}

/** A timer that is waited for, perhaps beside an event of its orchestration. */
interface Sleeper {
  readonly fireAt: number;
  readonly instanceId: string | undefined;
  readonly wake: (by: "timer" | "event") => void;
}

const STEPS_MAX = 20_000;

/** Thrown by an activity: the orchestration and those above it are terminated at this call. */
export class Terminated extends Error {
  override readonly name = "Terminated";
}

export function createDriver(
  callActivity: (name: string, input: unknown) => Promise<unknown>,
  start: number,
): Driver {
  const pools = new Map<string, PoolState>();
  const diskSlots = new Map<string, DiskSlots>();
  const regionTurns = new Map<string, RegionTurn>();
  const workLists = new Map<string, WorkList>();
  const raised = new Map<string, number>();
  const finished = new Map<string, unknown>();
  const sleepers: Sleeper[] = [];
  let callsUnderWay = 0;

  /** The clock goes to the next timer when nobody has anything else to do. */
  function wakeNext(): void {
    setImmediate(() => {
      if (callsUnderWay > 0 || sleepers.length === 0) return;
      sleepers.sort((one, other) => one.fireAt - other.fireAt);
      const next = sleepers.shift()!;
      driver.now = Math.max(driver.now, next.fireAt);
      next.wake("timer");
    });
  }
  function sleep(fireAt: number, instanceId?: string): Promise<"timer" | "event"> {
    return new Promise((wake) => {
      sleepers.push({ fireAt, instanceId, wake });
      wakeNext();
    });
  }
  async function underWay<Value>(call: () => Value | Promise<Value>): Promise<Value> {
    callsUnderWay++;
    try {
      return await call();
    } finally {
      callsUnderWay--;
      wakeNext();
    }
  }

  function callEntity(call: Call): unknown {
    const [entity = "", key = ""] = call.name.split("@");
    if (entity === ENTITIES.workerPool) {
      const before = pools.get(key) ?? EMPTY_POOL;
      const { state, answer } = applyPoolOperation(before, call.instanceId, call.input);
      pools.set(key, state);
      return answer;
    }
    if (entity === ENTITIES.diskAccessSlots) {
      const before = diskSlots.get(key) ?? EMPTY_DISK_SLOTS;
      const { state, answer } = applySlotsOperation(before, call.instanceId, call.input);
      diskSlots.set(key, state);
      return answer;
    }
    if (entity === ENTITIES.regionTurn) {
      const before = regionTurns.get(key) ?? FREE_TURN;
      const { state, answer } = applyTurnOperation(before, call.instanceId, call.input);
      regionTurns.set(key, state);
      return answer;
    }
    if (call.instanceId === "clear") return workLists.delete(key);
    const taken = takeNext(workLists.get(key) ?? EMPTY_WORK_LIST, call.input as never);
    workLists.set(key, taken.list);
    return { index: taken.index };
  }

  async function perform(
    instanceId: string,
    call: Call,
  ): Promise<{ answer: unknown; chosen?: number }> {
    switch (call.kind) {
      case "activity":
        driver.calls.push({ name: call.name, input: call.input });
        return { answer: await underWay(() => callActivity(call.name, call.input)) };
      case "child":
        return {
          answer: await driver.run(
            call.name as OrchestratorName,
            call.instanceId ?? "",
            call.input,
          ),
        };
      case "entity":
        return { answer: await underWay(() => callEntity(call)) };
      case "timer":
        await sleep(call.fireAt ?? 0);
        return { answer: undefined };
      case "all": {
        const parts = (call.parts ?? []).map((part) => perform(instanceId, part.call));
        return { answer: (await Promise.all(parts)).map(({ answer }) => answer) };
      }
      case "any": {
        const parts = call.parts ?? [];
        const events = raised.get(instanceId) ?? 0;
        const event = parts.findIndex((part) => part.call.kind === "event");
        if (event >= 0 && events > 0) {
          raised.set(instanceId, events - 1);
          return { answer: undefined, chosen: event };
        }
        const timer = parts.findIndex((part) => part.call.kind === "timer");
        const fireAt = parts[timer]!.call.fireAt ?? 0;
        const first = await sleep(fireAt, event >= 0 ? instanceId : undefined);
        return { answer: undefined, chosen: first === "event" ? event : timer };
      }
      case "event":
        throw new Error("an orchestrator waits for an event without a timer");
    }
  }

  const driver: Driver = {
    now: start,
    pools,
    diskSlots,
    regionTurns,
    calls: [],
    recorded: [],
    later(milliseconds, action) {
      void sleep(driver.now + milliseconds).then(() => underWay(action));
    },
    raise(instanceId) {
      const waiting = sleepers.findIndex((each) => each.instanceId === instanceId);
      const [sleeper] = waiting < 0 ? [] : sleepers.splice(waiting, 1);
      if (sleeper !== undefined) return sleeper.wake("event");
      raised.set(instanceId, (raised.get(instanceId) ?? 0) + 1);
    },
    async run(name, instanceId, input) {
      if (finished.has(instanceId)) return finished.get(instanceId);
      const history: HistoryEntry[] = [];
      const context = createContext(instanceId, input, () => driver.now);
      const generator = ORCHESTRATOR_HANDLERS[name](context);
      let step = generator.next();
      for (let steps = 0; step.done !== true; steps++) {
        if (steps > STEPS_MAX) throw new Error(`${name} does not come to an end`);
        const task = step.value as FakeTask;
        const asked = describe(task);
        let entry: HistoryEntry;
        try {
          const { answer, chosen } = await perform(instanceId, task.call);
          const kept = answer === undefined ? undefined : JSON.parse(JSON.stringify(answer));
          entry = {
            asked,
            at: driver.now,
            answer: kept,
            failed: false,
            ...(chosen === undefined ? {} : { chosen }),
          };
        } catch (error) {
          if (error instanceof Terminated) throw error;
          entry = { asked, at: driver.now, answer: String(error), failed: true };
        }
        history.push(entry);
        driver.recorded.push(asked, JSON.stringify(entry.answer) ?? "");
        step = feed(generator, task, entry);
      }
      replay(name, instanceId, input, history, start);
      const output: unknown = JSON.parse(JSON.stringify(step.value));
      driver.recorded.push(JSON.stringify(output));
      finished.set(instanceId, output);
      return output;
    },
  };
  return driver;
}

function feed(
  generator: Generator<Task, unknown, unknown>,
  task: FakeTask,
  entry: HistoryEntry,
): IteratorResult<Task, unknown> {
  const winner = entry.chosen === undefined ? undefined : task.call.parts?.[entry.chosen];
  if (winner !== undefined) winner.isCompleted = true;
  task.isCompleted = true;
  if (entry.failed) return generator.throw(new Error(String(entry.answer)));
  const next = generator.next(winner ?? entry.answer);
  for (const part of task.call.parts ?? []) {
    if (part.call.kind === "timer" && !part.isCompleted && !part.isCanceled)
      throw new Error("a timer that lost its race was not cancelled at once");
  }
  return next;
}

/** The same history must lead to the same requests: that is what the host relies on. */
function replay(
  name: OrchestratorName,
  instanceId: string,
  input: unknown,
  history: readonly HistoryEntry[],
  start: number,
): void {
  let now = start;
  const context = createContext(instanceId, input, () => now);
  const generator = ORCHESTRATOR_HANDLERS[name](context);
  now = history[0]?.at ?? now;
  const first = JSON.parse(JSON.stringify(history)) as HistoryEntry[];
  let step = generator.next();
  for (const entry of first) {
    const task = step.value as FakeTask;
    if (step.done === true || kindOf(describe(task)) !== kindOf(entry.asked))
      throw new Error(`${name} is not deterministic: ${entry.asked}`);
    now = entry.at;
    step = feed(generator, task, entry);
  }
  if (step.done !== true) throw new Error(`${name} is not deterministic at its end`);
}

/** Kind, name and id of a request; its times depend on the start of the replay. */
function kindOf(asked: string): string {
  const [kind, name, id] = JSON.parse(asked) as string[];
  return [kind, name, id].join(" ");
}

function describe({ call }: FakeTask): string {
  const { kind, name, instanceId, input, parts, fireAt } = call;
  return JSON.stringify([kind, name, instanceId ?? "", input, parts?.map(describe), fireAt]);
}

function createContext(
  instanceId: string,
  input: unknown,
  now: () => number,
): OrchestrationContext {
  const used = new Set<FakeTask>();
  const task = (call: Call): FakeTask => ({
    call,
    isCompleted: false,
    isFaulted: false,
    isCanceled: false,
    cancel() {
      this.isCanceled = true;
    },
  });
  const compound = (kind: "any" | "all", parts: readonly Task[]): FakeTask => {
    for (const part of parts as FakeTask[]) {
      if (used.has(part)) throw new Error("a task is part of two compound tasks");
      used.add(part);
    }
    return task({ kind, name: kind, parts: [...(parts as FakeTask[])] });
  };
  let guids = 0;
  const df = {
    instanceId,
    getInput: () => JSON.parse(JSON.stringify(input)) as unknown,
    get currentUtcDateTime() {
      return new Date(now());
    },
    callActivity: (name: string, value: unknown) => task({ kind: "activity", name, input: value }),
    callSubOrchestrator: (name: string, value: unknown, id: string) =>
      task({ kind: "child", name, input: value, instanceId: id }),
    callEntity: (id: { name: string; key: string }, operation: string, value: unknown) =>
      task({ kind: "entity", name: `${id.name}@${id.key}`, instanceId: operation, input: value }),
    createTimer: (fireAt: Date) => task({ kind: "timer", name: "timer", fireAt: fireAt.getTime() }),
    waitForExternalEvent: (name: string) => task({ kind: "event", name }),
    newGuid: (text: string) => {
      const digest = createHash("sha256").update(`${instanceId}\n${text}\n${guids++}`);
      return digest.digest("hex").slice(0, 32);
    },
    Task: {
      all: (parts: Task[]) => compound("all", parts),
      any: (parts: Task[]) => compound("any", parts),
    },
  };
  return Object.assign(Object.create(DummyOrchestrationContext.prototype), { df });
}
