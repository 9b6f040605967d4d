import { InlineTask } from "./inline-task.ts";

/**
 * Waiters and early events of one execution. Names match without case and the youngest waiter is
 * served first, as in the Durable extension; the library compares names with case, so an app that
 * mixes cases hangs there and here.
 */
export class ExternalEvents {
  readonly #waiters = new Map<string, InlineTask<unknown>[]>();
  readonly #buffered = new Map<string, string[]>();

  raise(name: string, input: string): void {
    const key = name.toLowerCase();
    const waiter = this.#waiters.get(key)?.pop();
    if (waiter !== undefined) {
      waiter.succeed(input);
      return;
    }
    const early = this.#buffered.get(key) ?? [];
    early.push(input);
    this.#buffered.set(key, early);
  }

  wait(name: string): InlineTask<unknown> {
    const key = name.toLowerCase();
    const early = this.#buffered.get(key)?.shift();
    if (early !== undefined) return InlineTask.succeeded<unknown>(early);
    const task = new InlineTask<unknown>();
    const waiters = this.#waiters.get(key) ?? [];
    waiters.push(task);
    this.#waiters.set(key, waiters);
    return task;
  }
}
