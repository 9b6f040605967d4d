/**
 * Turns the actions that the library returned into decisions, in the order and with the numbers
 * of the extension's `OutOfProcOrchestrationShim`. Where the shim does something that looks odd
 * (a timer after the last retry), the library counts on it.
 */
import { createHash } from "node:crypto";
import type { DecisionLedger } from "./decision-ledger.ts";
import { OrchestrationFailure } from "./decisions.ts";
import { entityOperationEvent, type EntityRequest } from "./entity-messages.ts";
import type { ExternalEvents } from "./external-events.ts";
import { type InlineSteps, InlineTask, runInline, whenAll, whenAny } from "./inline-task.ts";
import { actionTypes, type OrchestratorAction, type RetryOptions } from "./orchestrator-state.ts";

/** Lower-case names of the functions of the app. */
export interface KnownFunctions {
  readonly activities: ReadonlySet<string>;
  readonly orchestrators: ReadonlySet<string>;
  readonly entities: ReadonlySet<string>;
}

/** Longest wait of one queue message, and the step of longer timers. Defaults of the extension. */
export const timerLimits = { longestMs: 6 * 86_400_000, stepMs: 3 * 86_400_000 } as const;

export interface InterpreterContext {
  readonly instanceId: string;
  readonly executionId: string;
  readonly known: KnownFunctions;
  /** Time of the episode that is being replayed. */
  readonly now: () => Date;
}

type EntityCall = Extract<
  OrchestratorAction,
  { actionType: typeof actionTypes.callEntity | typeof actionTypes.signalEntity }
>;

export class ActionInterpreter {
  readonly #context: InterpreterContext;
  readonly #ledger: DecisionLedger;
  readonly #events: ExternalEvents;
  #guidCount = 0;
  #nextGeneration: { readonly input: unknown } | undefined;

  constructor(context: InterpreterContext, ledger: DecisionLedger, events: ExternalEvents) {
    this.#context = context;
    this.#ledger = ledger;
    this.#events = events;
  }

  /** Set once the function asked to continue as new. */
  get nextGeneration(): { readonly input: unknown } | undefined {
    return this.#nextGeneration;
  }

  invoke(action: OrchestratorAction): InlineTask<unknown> {
    switch (action.actionType) {
      case actionTypes.callActivity:
        return this.#callActivity(action.functionName, action.input);
      case actionTypes.callActivityWithRetry:
        // Before the first attempt: retrying does not make a function exist.
        this.#assertKnown(this.#context.known.activities, action.functionName, "activity");
        return runInline(
          this.#retry(action.retryOptions, () =>
            this.#callActivity(action.functionName, action.input),
          ),
        );
      case actionTypes.callSubOrchestrator:
        return this.#callSubOrchestrator(action);
      case actionTypes.callSubOrchestratorWithRetry:
        this.#assertKnown(this.#context.known.orchestrators, action.functionName, "orchestrator");
        return runInline(this.#retry(action.retryOptions, () => this.#callSubOrchestrator(action)));
      case actionTypes.continueAsNew:
        this.#nextGeneration = { input: action.input };
        return InlineTask.succeeded<unknown>(null);
      case actionTypes.createTimer:
        return runInline(this.#timer(new Date(action.fireAt), action.isCanceled));
      case actionTypes.waitForExternalEvent:
        return this.#events.wait(action.externalEventName);
      case actionTypes.callEntity:
      case actionTypes.signalEntity:
        return this.#callEntity(action);
      case actionTypes.whenAll:
        return whenAll(action.compoundActions.map((each) => this.invoke(each)));
      case actionTypes.whenAny:
        return whenAny(action.compoundActions.map((each) => this.invoke(each)));
      case actionTypes.callHttp:
        throw new Error("callHttp is not supported by this host: call an activity instead.");
    }
  }

  #callActivity(name: string, input: unknown): InlineTask<unknown> {
    this.#assertKnown(this.#context.known.activities, name, "activity");
    return this.#ledger.open({ kind: "activity", name, input });
  }

  #callSubOrchestrator(action: {
    functionName: string;
    instanceId?: string | undefined;
    input?: unknown;
    version?: string | null | undefined;
  }): InlineTask<unknown> {
    this.#assertKnown(this.#context.known.orchestrators, action.functionName, "orchestrator");
    const given = action.instanceId ?? "";
    return this.#ledger.open({
      kind: "sub-orchestration",
      name: action.functionName,
      instanceId: given === "" ? `${this.#context.executionId}:${this.#ledger.nextId}` : given,
      input: action.input,
      version: action.version ?? "",
    });
  }

  *#timer(fireAt: Date, isCanceled: boolean): InlineSteps<unknown> {
    const { now } = this.#context;
    // A cancelled timer keeps its number, which the library has counted, but nobody waits for it.
    if (isCanceled) {
      this.#ledger.send({ kind: "timer", fireAt: fireAt.toISOString() });
      return null;
    }
    while (fireAt.getTime() - now().getTime() > timerLimits.longestMs) {
      yield this.#innerTimer(new Date(now().getTime() + timerLimits.stepMs));
    }
    yield this.#innerTimer(fireAt);
    return null;
  }

  #innerTimer(fireAt: Date): InlineTask<unknown> {
    return this.#ledger.open({ kind: "timer", fireAt: fireAt.toISOString() });
  }

  *#retry(options: RetryOptions, call: () => InlineTask<unknown>): InlineSteps<unknown> {
    const { now } = this.#context;
    let lastError: unknown;
    for (let attempt = 1; attempt <= options.maxNumberOfAttempts; attempt += 1) {
      try {
        return yield call();
      } catch (error) {
        lastError = error;
      }
      if (attempt === options.maxNumberOfAttempts) {
        // DurableTask.Core keeps this timer for old histories; the library waits for it.
        yield this.#innerTimer(now());
        break;
      }
      const delayMs = Math.min(
        options.firstRetryIntervalInMilliseconds *
          Math.pow(options.backoffCoefficient ?? 1, attempt - 1),
        options.maxRetryIntervalInMilliseconds ?? timerLimits.longestMs,
      );
      yield this.#innerTimer(new Date(now().getTime() + delayMs));
    }
    throw lastError;
  }

  #callEntity(action: EntityCall): InlineTask<unknown> {
    const isSignal = action.actionType === actionTypes.signalEntity;
    this.#assertKnown(
      this.#context.known.entities,
      action.instanceId.split("@")[1] ?? "",
      "entity",
    );
    const id = this.#newGuid();
    const hasInput = action.input !== undefined && action.input !== null;
    const request: EntityRequest = {
      op: action.operation,
      ...(isSignal ? { signal: true } : {}),
      ...(hasInput ? { input: JSON.stringify(action.input) } : {}),
      id,
      parent: this.#context.instanceId,
      parentExecution: this.#context.executionId,
    };
    this.#sendRequest(action.instanceId, request);
    return isSignal ? InlineTask.succeeded<unknown>(null) : this.#events.wait(id);
  }

  #sendRequest(targetId: string, request: EntityRequest): void {
    const data = JSON.stringify(request);
    this.#ledger.send({ kind: "event", targetId, name: entityOperationEvent, data });
  }

  /** The same for each replay: depends on the instance, the episode's time and a counter. */
  #newGuid(): string {
    const { instanceId, now } = this.#context;
    const name = `${instanceId}_${now().toISOString()}_${this.#guidCount++}`;
    const hex = createHash("sha256").update(name).digest("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  }

  #assertKnown(names: ReadonlySet<string>, name: string, kind: string): void {
    if (names.has(name.toLowerCase())) return;
    throw new OrchestrationFailure(
      `The function '${name}' doesn't exist, is disabled, or is not an ${kind} function.`,
      "In Azure a JavaScript orchestration hangs here (azure-functions-durable-js issue 197); the local host fails it.",
      null,
    );
  }
}
