import { assert } from "./assert.ts";

/**
 * Runs `work` for each item with at most `limit` running at once; the only way that this code base
 * fans out inside one process. Results keep the order of the items. The first failure stops the
 * start of further items, waits for those that run, and is thrown.
 */
export async function mapBounded<Item, Result>(
  items: Iterable<Item>,
  limit: number,
  work: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  assert(Number.isInteger(limit) && limit > 0, `pool limit ${limit} is not a positive integer`);
  const results: Result[] = [];
  const iterator = items[Symbol.iterator]();
  let nextIndex = 0;
  let failure: { error: unknown } | undefined;

  async function lane(): Promise<void> {
    while (failure === undefined) {
      const step = iterator.next();
      if (step.done === true) return;
      const index = nextIndex++;
      try {
        results[index] = await work(step.value, index);
      } catch (error) {
        failure ??= { error };
      }
    }
  }

  await Promise.all(Array.from({ length: limit }, lane));
  if (failure !== undefined) throw failure.error;
  return results;
}
