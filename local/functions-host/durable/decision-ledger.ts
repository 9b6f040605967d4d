/**
 * Numbers decisions, remembers which wait for an answer and which the history already holds.
 * Mirrors `TaskOrchestrationContext` of DurableTask.Core.
 */
import { type Decision, NonDeterminismError } from "./decisions.ts";
import { InlineTask } from "./inline-task.ts";

/** `Omit` over each member of the union. */
type WithoutId<Each> = Each extends Decision ? Omit<Each, "id"> : never;

/** The real extension's default of `maxOrchestrationActions`. */
const maxOrchestrationActions = 100_000;

const changedCode =
  "Was a change made to the orchestrator code after this instance had already started running?";

export class DecisionLedger {
  #nextId = 0;
  #undelivered = new Map<number, Decision>();
  #held: Map<number, Decision> | undefined;
  readonly #open = new Map<number, InlineTask<unknown>>();

  get nextId(): number {
    return this.#nextId;
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Decisions that no event of the history confirms: those of this episode. */
  newDecisions(): Decision[] {
    return [...this.#undelivered.values()].sort((one, other) => one.id - other.id);
  }

  takeId(): number {
    return this.#nextId++;
  }

  /** Schedules work that an event will answer. */
  open(decision: WithoutId<Decision>): InlineTask<unknown> {
    const id = this.#record(decision);
    const task = new InlineTask<unknown>();
    this.#open.set(id, task);
    return task;
  }

  /** Schedules something that nobody answers by its id: a message, or a cancelled timer. */
  send(decision: WithoutId<Decision>): void {
    this.#record(decision);
  }

  #record(decision: WithoutId<Decision>): number {
    const id = this.takeId();
    if (id >= maxOrchestrationActions) {
      throw new Error(
        `Maximum amount of orchestration actions (${maxOrchestrationActions}) has been reached.`,
      );
    }
    this.#undelivered.set(id, { ...decision, id });
    return id;
  }

  /** An event of the history says that this was decided before. */
  confirm(id: number, kind: Decision["kind"], name: string | undefined): void {
    const decision = this.#undelivered.get(id);
    const what = `${kind}${name === undefined ? "" : ` '${name}'`} with sequence number ${id}`;
    const before = `Non-Deterministic workflow detected: A previous execution of this orchestration scheduled ${what}`;
    if (decision === undefined) {
      throw new NonDeterminismError(
        `${before}, but the current replay execution hasn't (yet?) scheduled this task. ${changedCode}`,
      );
    }
    const decidedName = "name" in decision ? decision.name : undefined;
    if (decision.kind !== kind || decidedName?.toLowerCase() !== name?.toLowerCase()) {
      throw new NonDeterminismError(
        `${before}, but the current orchestration replay instead produced a ${decision.kind} '${decidedName ?? ""}' with this sequence number. ${changedCode}`,
      );
    }
    this.#undelivered.delete(id);
  }

  /** The open task of this id, now closed; undefined for a duplicate or a cancelled timer. */
  close(id: number): InlineTask<unknown> | undefined {
    const task = this.#open.get(id);
    this.#open.delete(id);
    return task;
  }

  /** While suspended nothing new leaves the instance. */
  hold(): void {
    this.#held = this.#undelivered;
    this.#undelivered = new Map();
  }

  release(): void {
    for (const [id, decision] of this.#held ?? []) this.#undelivered.set(id, decision);
    this.#held = undefined;
  }
}
