/**
 * Random small orchestrations: each is a list of steps in JSON, run by one real durable-functions
 * orchestrator, with a result that can be told in advance.
 */
import * as df from "durable-functions";
import type { ActivityHandler, OrchestrationContext, Task } from "durable-functions";
import type { SeededRandom } from "./seeded-random.ts";

export type Step =
  | { kind: "activity"; value: number }
  | { kind: "flaky"; value: number; failures: number; key: string }
  | { kind: "exhausted"; attempts: number }
  | { kind: "fan-out"; values: number[] }
  | { kind: "timer"; seconds: number }
  | { kind: "race"; value: number }
  | { kind: "sub"; instanceId: string; steps: Step[] }
  | { kind: "failing-sub" }
  | { kind: "event"; name: string; value: number }
  | { kind: "entity"; key: string; amount: number }
  | { kind: "signal"; key: string; amount: number };

export interface Program {
  steps: Step[];
  /** How often the program continues as new after its steps. */
  rounds: number;
  total: number;
}

const failureMark = { exhausted: 1000, sub: 5000 } as const;
const longTimerSeconds = 20 * 86_400;

export function randomProgram(random: SeededRandom, instanceId: string, depth = 0): Program {
  const steps = Array.from({ length: random.integer(1, 5) }, (_, index) =>
    randomStep(random, `${instanceId}.${index}`, depth),
  );
  // Continue-as-new drops events that came early (as in Azure), so the two are kept apart.
  const mayContinue = depth === 0 && awaitedEvents(instanceId, steps).length === 0;
  return { steps, rounds: mayContinue && random.chance(0.5) ? random.integer(1, 3) : 0, total: 0 };
}

function randomStep(random: SeededRandom, path: string, depth: number): Step {
  const value = random.integer(1, 9);
  const makers: (() => Step)[] = [
    () => ({ kind: "activity", value }),
    () => ({ kind: "flaky", value, failures: random.integer(1, 3), key: path }),
    () => ({ kind: "exhausted", attempts: random.integer(1, 3) }),
    () => ({
      kind: "fan-out",
      values: Array.from({ length: random.integer(1, 8) }, () => random.integer(1, 9)),
    }),
    () => ({ kind: "timer", seconds: random.integer(0, 600) }),
    () => ({ kind: "timer", seconds: longTimerSeconds }),
    () => ({ kind: "race", value }),
    () => ({ kind: "failing-sub" }),
    () => ({ kind: "event", name: `event-${path}`, value }),
    () => ({ kind: "entity", key: random.pick(["a", "b"]), amount: value }),
    () => ({ kind: "signal", key: random.pick(["a", "b"]), amount: value }),
  ];
  if (depth < 2) {
    makers.push(() => ({
      kind: "sub",
      instanceId: path,
      steps: randomProgram(random, path, depth + 1).steps,
    }));
  }
  return random.pick(makers)();
}

/** What one pass over the steps adds to the total. */
function sumOf(steps: readonly Step[]): number {
  return steps.reduce((sum, step) => sum + worthOf(step), 0);
}

function worthOf(step: Step): number {
  switch (step.kind) {
    case "activity":
    case "flaky":
    case "race":
    case "event":
      return step.value;
    case "fan-out":
      return step.values.reduce((sum, value) => sum + value, 0);
    case "exhausted":
      return failureMark.exhausted;
    case "failing-sub":
      return failureMark.sub;
    case "sub":
      return sumOf(step.steps);
    case "timer":
    case "entity":
    case "signal":
      return 0;
  }
}

export function expectedTotal(program: Program): number {
  return sumOf(program.steps) * (program.rounds + 1);
}

export interface AwaitedEvent {
  readonly instanceId: string;
  readonly name: string;
  readonly value: number;
}

/** Events that somebody has to raise, with the instance that waits for each. */
export function awaitedEvents(instanceId: string, steps: readonly Step[]): AwaitedEvent[] {
  return steps.flatMap((step) => {
    if (step.kind === "event") return [{ instanceId, name: step.name, value: step.value }];
    return step.kind === "sub" ? awaitedEvents(step.instanceId, step.steps) : [];
  });
}

/** What all entities together must hold in the end, for one pass over the steps. */
export function entityAmounts(steps: readonly Step[]): number {
  return steps.reduce((sum, step) => {
    if (step.kind === "entity" || step.kind === "signal") return sum + step.amount;
    return step.kind === "sub" ? sum + entityAmounts(step.steps) : sum;
  }, 0);
}

/** How often each flaky activity was called. */
const flakyCalls = new Map<string, number>();

/** To be called before each simulation: activities live as long as the process. */
export function forgetCalls(): void {
  flakyCalls.clear();
}

function* runStep(context: OrchestrationContext, step: Step): Generator<Task, number, unknown> {
  switch (step.kind) {
    case "activity":
      return Number(yield context.df.callActivity("echo", { value: step.value }));
    case "flaky": {
      const retry = new df.RetryOptions(5000, step.failures + 1);
      retry.backoffCoefficient = 2;
      return Number(yield context.df.callActivityWithRetry("flaky", retry, step));
    }
    case "exhausted":
      try {
        yield context.df.callActivityWithRetry("broken", new df.RetryOptions(1000, step.attempts));
        return 0;
      } catch {
        return failureMark.exhausted;
      }
    case "fan-out": {
      const tasks = step.values.map((value) => context.df.callActivity("echo", { value }));
      const values = (yield context.df.Task.all(tasks)) as number[];
      return values.reduce((sum, value) => sum + value, 0);
    }
    case "timer": {
      const at = new Date(context.df.currentUtcDateTime.getTime() + step.seconds * 1000);
      yield context.df.createTimer(at);
      return 0;
    }
    case "race":
      return yield* runRace(context, step.value);
    case "sub": {
      const program: Program = { steps: step.steps, rounds: 0, total: 0 };
      return Number(yield context.df.callSubOrchestrator("program", program, step.instanceId));
    }
    case "failing-sub":
      try {
        yield context.df.callSubOrchestrator("failing");
        return 0;
      } catch (error) {
        return String(error).includes("always fails") ? failureMark.sub : -1;
      }
    case "event":
      return Number(yield context.df.waitForExternalEvent(step.name));
    case "entity":
      yield context.df.callEntity(new df.EntityId("sum", step.key), "add", step.amount);
      return 0;
    case "signal":
      context.df.signalEntity(new df.EntityId("sum", step.key), "add", step.amount);
      return 0;
  }
}

function* runRace(context: OrchestrationContext, value: number): Generator<Task, number, unknown> {
  const deadline = new Date(context.df.currentUtcDateTime.getTime() + 86_400_000);
  const timer = context.df.createTimer(deadline);
  const work = context.df.callActivity("echo", { value });
  const winner = yield context.df.Task.any([work, timer]);
  if (winner !== work) return -1;
  timer.cancel();
  return Number(work.result);
}

/** Registers the functions with whatever host the library finds. */
export function registerPrograms(): void {
  df.app.orchestration("program", function* (context) {
    const program = context.df.getInput<Program>();
    if (program === undefined) throw new Error("no program");
    let { total } = program;
    for (const step of program.steps) total += yield* runStep(context, step);
    if (program.rounds === 0) return total;
    context.df.continueAsNew({ ...program, rounds: program.rounds - 1, total });
    return null;
  });
  df.app.orchestration("failing", function* (context) {
    yield context.df.callActivity("echo", { value: 1 });
    throw new Error("always fails");
  });
  const echo: ActivityHandler = (input: { value: number }) => input.value;
  df.app.activity("echo", { handler: echo });
  const flaky: ActivityHandler = (step: { key: string; failures: number; value: number }) => {
    const callCount = (flakyCalls.get(step.key) ?? 0) + 1;
    flakyCalls.set(step.key, callCount);
    if (callCount <= step.failures) throw new Error("not yet");
    return step.value;
  };
  df.app.activity("flaky", { handler: flaky });
  df.app.activity("broken", {
    handler: () => {
      throw new Error("never works");
    },
  });
  df.app.entity<number>("sum", (context) => {
    const before = context.df.getState(() => 0) ?? 0;
    const amount = Number(context.df.getInput());
    context.df.setState(before + amount);
    context.df.return(before + amount);
  });
}
