/**
 * Replays a history against the actions that the library returned for it and finds what is new.
 * Pure: same history and reply, same outcome. Mirrors `TaskOrchestrationExecutor` of
 * DurableTask.Core together with the extension's shim for functions in other processes.
 */
import { ActionInterpreter, type KnownFunctions } from "./action-interpreter.ts";
import { DecisionLedger } from "./decision-ledger.ts";
import {
  type Completion,
  NonDeterminismError,
  OrchestrationFailure,
  type ReplayOutcome,
} from "./decisions.ts";
import { ExternalEvents } from "./external-events.ts";
import { eventTypes, type HistoryEvent } from "./history-events.ts";
import { type InlineSteps, InlineTask, runInline } from "./inline-task.ts";
import type { OrchestratorReply } from "./orchestrator-state.ts";

export interface ReplayInput {
  readonly instanceId: string;
  readonly executionId: string;
  readonly name: string;
  readonly history: readonly HistoryEvent[];
  readonly reply: OrchestratorReply;
  readonly known: KnownFunctions;
}

/** What the instance decides now. Never throws: a bad orchestrator is a failed completion. */
export function replayOrchestration(input: ReplayInput): ReplayOutcome {
  return new OrchestrationReplay(input).run();
}

/** From here on the actions come in one list; older layouts counted differently. */
const firstSingleListSchema = 1;

class OrchestrationReplay {
  readonly #input: ReplayInput;
  readonly #ledger = new DecisionLedger();
  readonly #events = new ExternalEvents();
  readonly #interpreter: ActionInterpreter;
  readonly #carried: HistoryEvent[] = [];
  readonly #heldEvents: HistoryEvent[] = [];
  #now = new Date(0);
  #main: InlineTask<string | null> | undefined;
  #completion: Completion | undefined;
  #isSuspended = false;

  constructor(input: ReplayInput) {
    this.#input = input;
    const { instanceId, executionId, known } = input;
    const context = { instanceId, executionId, known, now: () => this.#now };
    this.#interpreter = new ActionInterpreter(context, this.#ledger, this.#events);
  }

  run(): ReplayOutcome {
    try {
      for (const event of this.#input.history) this.#apply(event);
      this.#completeWhenIdle();
    } catch (error) {
      if (!(error instanceof NonDeterminismError)) throw error;
      this.#fail(error);
    }
    return {
      decisions: this.#ledger.newDecisions(),
      completion: this.#completion,
      isSuspended: this.#isSuspended,
    };
  }

  /** An instance ends when nothing it started is still open: an uncancelled timer delays it. */
  #completeWhenIdle(): void {
    const outcome = this.#main?.outcome;
    if (outcome === undefined || this.#ledger.openCount > 0 || this.#isSuspended) return;
    if (outcome.kind === "failed") this.#fail(outcome.error);
    else this.#complete("Completed", outcome.value);
  }

  #apply(event: HistoryEvent): void {
    if (event.EventType === eventTypes.orchestratorStarted) {
      this.#now = new Date(event.Timestamp);
      return;
    }
    if (this.#isSuspended && this.#waitsForResume(event)) {
      this.#heldEvents.push(event);
      return;
    }
    this.#process(event);
  }

  #waitsForResume(event: HistoryEvent): boolean {
    return (
      event.EventType !== eventTypes.executionResumed &&
      event.EventType !== eventTypes.executionTerminated
    );
  }

  #process(event: HistoryEvent): void {
    switch (event.EventType) {
      case eventTypes.executionStarted:
        this.#main = runInline(this.#runActions());
        return;
      case eventTypes.executionTerminated:
        this.#complete("Terminated", event.Input);
        return;
      case eventTypes.taskScheduled:
        this.#ledger.confirm(event.EventId, "activity", event.Name);
        return;
      case eventTypes.subOrchestrationCreated:
        this.#ledger.confirm(event.EventId, "sub-orchestration", event.Name);
        return;
      case eventTypes.timerCreated:
        this.#ledger.confirm(event.EventId, "timer", undefined);
        return;
      case eventTypes.eventSent:
        this.#ledger.confirm(event.EventId, "event", event.Name);
        return;
      case eventTypes.taskCompleted:
      case eventTypes.subOrchestrationCompleted:
        this.#ledger.close(event.TaskScheduledId)?.succeed(event.Result);
        return;
      case eventTypes.taskFailed:
      case eventTypes.subOrchestrationFailed:
        this.#ledger
          .close(event.TaskScheduledId)
          ?.fail(new OrchestrationFailure(event.Reason, event.Details, event.FailureDetails));
        return;
      case eventTypes.timerFired:
        this.#ledger.close(event.TimerId)?.succeed(null);
        return;
      case eventTypes.eventRaised:
        if (this.#interpreter.nextGeneration === undefined) {
          this.#events.raise(event.Name, event.Input);
        } else this.#carried.push(event);
        return;
      case eventTypes.executionSuspended:
        this.#isSuspended = true;
        this.#ledger.hold();
        return;
      case eventTypes.executionResumed:
        this.#resume();
        return;
      case eventTypes.executionCompleted:
      case eventTypes.orchestratorStarted:
      case eventTypes.orchestratorCompleted:
        return;
    }
  }

  #resume(): void {
    this.#isSuspended = false;
    this.#ledger.release();
    for (const event of this.#heldEvents.splice(0)) this.#apply(event);
  }

  /** Invokes one action after the other; a failed one is the function's own business. */
  *#runActions(): InlineSteps<string | null> {
    const { reply, name } = this.#input;
    if (reply.kind === "crashed") {
      throw new OrchestrationFailure(
        `Orchestrator function '${name}' failed: ${reply.message}`,
        reply.stack,
        null,
      );
    }
    const { state } = reply;
    const [actions = []] = state.actions;
    if ((state.schemaVersion ?? 0) >= firstSingleListSchema && state.actions.length !== 1) {
      throw new Error(`expected one list of actions, got ${state.actions.length}`);
    }
    for (const action of actions) {
      const settled = new InlineTask<unknown>();
      this.#interpreter.invoke(action).whenSettled(() => settled.succeed(null));
      yield settled;
    }
    if (state.error !== undefined) {
      throw new OrchestrationFailure(
        `Orchestrator function '${name}' failed: ${state.error}`,
        `Message: ${state.error}, StackTrace: ${reply.stack}`,
        state.failureDetails ?? null,
      );
    }
    if (!state.isDone) yield new InlineTask<unknown>(); // waits for ever: more history will come
    return JSON.stringify(state.output ?? null);
  }

  #fail(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const isKnown = error instanceof OrchestrationFailure;
    this.#complete("Failed", message, {
      details: isKnown ? error.details : message,
      failureDetails: isKnown ? error.failureDetails : null,
    });
  }

  #complete(
    status: "Completed" | "Failed" | "Terminated",
    result: string | null,
    failure: { details: string; failureDetails: unknown } = { details: "", failureDetails: null },
  ): void {
    if (this.#completion !== undefined) return;
    const next = this.#interpreter.nextGeneration;
    const base = { id: this.#ledger.takeId(), ...failure };
    this.#completion =
      status === "Completed" && next !== undefined
        ? {
            ...base,
            status: "ContinuedAsNew",
            result: next.input === undefined ? null : JSON.stringify(next.input),
            carriedEvents: this.#carried,
          }
        : { ...base, status, result, carriedEvents: [] };
  }
}
