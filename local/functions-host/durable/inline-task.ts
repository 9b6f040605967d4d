/**
 * A promise whose continuations run at once, inside the call that settles it, as tasks do in
 * DurableTask.Core's single-threaded scheduler. Native promises would interleave differently and
 * give other sequence numbers than the library counts.
 */
type Outcome<Value> =
  | { readonly kind: "succeeded"; readonly value: Value }
  | { readonly kind: "failed"; readonly error: unknown };

export class InlineTask<Value> {
  #outcome: Outcome<Value> | undefined;
  #continuations: ((outcome: Outcome<Value>) => void)[] = [];

  static succeeded<Value>(value: Value): InlineTask<Value> {
    const task = new InlineTask<Value>();
    task.succeed(value);
    return task;
  }

  get outcome(): Outcome<Value> | undefined {
    return this.#outcome;
  }

  /** The first settlement counts; later ones are ignored. */
  succeed(value: Value): void {
    this.#settle({ kind: "succeeded", value });
  }

  fail(error: unknown): void {
    this.#settle({ kind: "failed", error });
  }

  whenSettled(continuation: (outcome: Outcome<Value>) => void): void {
    if (this.#outcome === undefined) this.#continuations.push(continuation);
    else continuation(this.#outcome);
  }

  #settle(outcome: Outcome<Value>): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    const continuations = this.#continuations;
    this.#continuations = [];
    for (const continuation of continuations) continuation(outcome);
  }
}

/** Waits for all, even when one failed already (.NET `Task.WhenAll`); then the first failure. */
export function whenAll(tasks: readonly InlineTask<unknown>[]): InlineTask<unknown> {
  const all = new InlineTask<unknown>();
  let leftCount = tasks.length;
  if (leftCount === 0) all.succeed(null);
  for (const task of tasks) {
    task.whenSettled(() => {
      leftCount -= 1;
      if (leftCount > 0) return;
      const failure = tasks.find((each) => each.outcome?.kind === "failed")?.outcome;
      if (failure?.kind === "failed") all.fail(failure.error);
      else all.succeed(null);
    });
  }
  return all;
}

/** Succeeds as soon as one is settled, whether well or not (.NET `Task.WhenAny`). */
export function whenAny(tasks: readonly InlineTask<unknown>[]): InlineTask<unknown> {
  const any = new InlineTask<unknown>();
  for (const task of tasks) task.whenSettled(() => any.succeed(null));
  return any;
}

/** A generator that yields the tasks it waits for; a failed task is thrown into it. */
export type InlineSteps<Result> = Generator<InlineTask<unknown>, Result, unknown>;

/** Runs the steps until they end. Comparable to an async function, but without a microtask. */
export function runInline<Result>(steps: InlineSteps<Result>): InlineTask<Result> {
  const result = new InlineTask<Result>();
  function advance(resume: () => IteratorResult<InlineTask<unknown>, Result>): void {
    let step: IteratorResult<InlineTask<unknown>, Result>;
    try {
      step = resume();
    } catch (error) {
      result.fail(error);
      return;
    }
    if (step.done === true) {
      result.succeed(step.value);
      return;
    }
    step.value.whenSettled((outcome) => {
      advance(() =>
        outcome.kind === "succeeded" ? steps.next(outcome.value) : steps.throw(outcome.error),
      );
    });
  }
  advance(() => steps.next());
  return result;
}
