/**
 * Steps: how orchestrators call. They are generators that are replayed: time comes from the
 * context, waiting is a durable timer, and what fails is an outcome, not an exception, until `must`
 * turns it into one that the top of the orchestrator catches. No task is ever part of two
 * `Task.any` or `Task.all`: the extension would schedule it a second time.
 */
import { EntityId, type OrchestrationContext, type Task } from "durable-functions";
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import { fail, succeed, type Outcome, type StepError } from "#core/model/outcome.ts";
import type { RunSettings } from "#core/model/run-settings.ts";
import { NO_ANSWER } from "#core/network/network-errors.ts";
import type {
  ActivityInput,
  ActivityName,
  ActivityOutcome,
  ActivityValues,
  Readiness,
} from "../activities/activity-contract.ts";
import type { OrchestratorName } from "./names.ts";

export type Steps<Value> = Generator<Task, Value, unknown>;

/** What the steps of one orchestration share. */
export interface Run {
  readonly context: OrchestrationContext;
  readonly settings: RunSettings;
  readonly sessionId: string | undefined;
  /** Numbers the log's lines; the same on every replay. */
  logNumber: number;
  /** Begins each line of one of several jobs of a session. */
  readonly logPrefix: string;
}

export function createRun(
  context: OrchestrationContext,
  settings: RunSettings,
  sessionId?: string,
  logPrefix = "",
): Run {
  return { context, settings, sessionId, logNumber: 0, logPrefix };
}

/** Calls of one step, first included. */
const ATTEMPTS_MAX = 6;
/** Longest pause between two attempts or two polls. */
const PAUSE_SECONDS_MAX = 60;
/** Longest `Retry-After` that is believed. */
const RETRY_AFTER_SECONDS_MAX = 900;
const PAUSE_GROWTH = 1.5;

/** Milliseconds since the epoch, from the history. */
export function nowOf(run: Run): number {
  return run.context.df.currentUtcDateTime.getTime();
}

export function* wait(run: Run, seconds: number): Steps<void> {
  yield run.context.df.createTimer(new Date(nowOf(run) + seconds * 1000));
}

/** Pause number `index` (from 0): begins with the poll interval and grows to a minute. */
export function pauseSeconds(settings: RunSettings, index: number): number {
  const longest = Math.max(PAUSE_SECONDS_MAX, settings.pollSeconds);
  return Math.min(longest, settings.pollSeconds * PAUSE_GROWTH ** index);
}

/** Calls an activity, again after a pause when its error may pass and has not cost its repeats yet. */
export function* attempt<Name extends ActivityName>(
  run: Run,
  name: Name,
  input: ActivityInput<Name>,
): Steps<ActivityOutcome<Name>> {
  for (let tries = 0; ; tries++) {
    const outcome = yield* callActivity(run, name, input);
    if (outcome.ok || outcome.error.retry === "never" || tries + 1 >= ATTEMPTS_MAX) return outcome;
    // Sent again and again for most of a minute: six times that and a session outlives its deadline.
    if (outcome.error.code === NO_ANSWER) return outcome;
    yield* wait(run, pauseBeforeRetry(run, tries, outcome.error));
  }
}

/** Azure's own `Retry-After` wins over a shorter pause of ours. */
function pauseBeforeRetry(run: Run, tries: number, { retryAfterSeconds = 0 }: StepError): number {
  const asked = Math.min(retryAfterSeconds, RETRY_AFTER_SECONDS_MAX);
  return Math.max(pauseSeconds(run.settings, tries), asked);
}

function* callActivity<Name extends ActivityName>(
  run: Run,
  name: Name,
  input: ActivityInput<Name>,
): Steps<ActivityOutcome<Name>> {
  try {
    const answer: unknown = yield run.context.df.callActivity(name, input);
    return answer as ActivityOutcome<Name>;
  } catch (error) {
    // The host could not run it (a crash, the function's timeout): running it again is safe.
    return fail("ActivityCrashed", `${name}: ${messageOf(error)}`, "backoff");
  }
}

/** Calls an activity; throws its error. */
export function* step<Name extends ActivityName>(
  run: Run,
  name: Name,
  input: ActivityInput<Name>,
): Steps<ActivityValues[Name]> {
  return must(yield* attempt(run, name, input));
}

export function must<Value>(outcome: Outcome<Value>): Value {
  if (outcome.ok) return outcome.value;
  throw toError(outcome.error);
}

export function toError(error: StepError): HoldfastError {
  return new HoldfastError(error.code, error.message, { retry: error.retry });
}

type PolledActivity = {
  [Name in ActivityName]: ActivityValues[Name] extends Readiness ? Name : never;
}[ActivityName];

/** Asks until it is ready; throws when it fails or the time is over. */
export function* until<Name extends PolledActivity>(
  run: Run,
  name: Name,
  input: ActivityInput<Name>,
  timeoutSeconds: number,
): Steps<void> {
  const deadline = nowOf(run) + timeoutSeconds * 1000;
  for (let polls = 0; ; polls++) {
    const value: Readiness = yield* step(run, name, input);
    if (value.ready) return;
    if (nowOf(run) >= deadline)
      throw new HoldfastError(
        "TimedOut",
        `Waited ${timeoutSeconds} s in vain for ${value.waitingFor ?? name}.`,
        { retry: "backoff" },
      );
    yield* wait(run, pauseSeconds(run.settings, polls));
  }
}

/** Writes a line of the session's log; a line that is lost stops nothing. */
export function* log(run: Run, level: "info" | "warning" | "error", text: string): Steps<void> {
  if (run.sessionId === undefined) return;
  const message = `${run.logPrefix}${text}`;
  const at = run.context.df.currentUtcDateTime.toISOString();
  const number = run.logNumber++;
  yield* attempt(run, "append-log", { sessionId: run.sessionId, at, number, level, message });
}

/** Lines of one moment, written at the same time. */
export function* logAll(
  run: Run,
  level: "info" | "warning" | "error",
  messages: readonly string[],
): Steps<void> {
  const { sessionId, context } = run;
  if (sessionId === undefined || messages.length === 0) return;
  const at = context.df.currentUtcDateTime.toISOString();
  const tasks = messages.map((message) => {
    const number = run.logNumber++;
    return context.df.callActivity("append-log", { sessionId, at, number, level, message });
  });
  try {
    yield context.df.Task.all(tasks);
  } catch {
    // As with one line: what is lost stops nothing.
  }
}

/** Runs a child orchestration; its own outcome, or that it crashed. */
export function* callChild<Value>(
  run: Run,
  name: OrchestratorName,
  input: object,
  instanceId: string,
): Steps<Outcome<Value>> {
  try {
    const answer: unknown = yield run.context.df.callSubOrchestrator(name, input, instanceId);
    return answer as Outcome<Value>;
  } catch (error) {
    return fail("OrchestrationCrashed", `${name}: ${messageOf(error)}`);
  }
}

/** Asks an entity. Entities answer values; an exception of one has lost its text. */
export function* askEntity<Value>(
  run: Run,
  name: string,
  key: string,
  operation: string,
  input: object,
): Steps<Outcome<Value>> {
  try {
    const entity = new EntityId(name, key);
    const answer: unknown = yield run.context.df.callEntity(entity, operation, input);
    return succeed(answer as Value);
  } catch (error) {
    return fail("EntityFailed", `${operation} of ${name}: ${messageOf(error)}`, "backoff");
  }
}

/** What a step left that must not stay when the orchestration fails. */
export interface Undo {
  readonly what: string;
  readonly run: () => Steps<unknown>;
}

/** Latest first; what cannot be undone now is told in the log and left to the sweep. */
export function* undoAll(run: Run, undos: Undo[]): Steps<void> {
  for (let undo = undos.pop(); undo !== undefined; undo = undos.pop()) {
    try {
      yield* undo.run();
    } catch (error) {
      const message = `could not ${undo.what} (${messageOf(error)}); the sweep will`;
      yield* log(run, "warning", message);
    }
  }
}
