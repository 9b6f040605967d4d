/** Runs several processes on one store, one storage operation at a time, in a seeded order. */
import { setImmediate as microtasksDone } from "node:timers/promises";
import type { BlobStore, StoredBlob } from "#core/ports/blob-store.ts";

/** Far more than any run takes: a run that is not done by then hangs. */
const MAX_STEPS = 20_000;
/** Turns of the event loop, seconds at least. */
const MAX_IDLE_TURNS = 1_000_000;

/** Small and good enough to choose who goes next (mulberry32). */
function seededDice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Interleaving {
  readonly dice: () => number;
  readonly #waiting: (() => void)[] = [];
  steps = 0;

  constructor(seed: number) {
    this.dice = seededDice(seed);
  }

  /** Resolves when it is this caller's turn. */
  async turn(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** All operations of the store wait for their turn. */
  store(store: BlobStore): BlobStore {
    const turn = (): Promise<void> => this.turn();
    return {
      readCapabilities: async (...call) => turn().then(() => store.readCapabilities(...call)),
      create: async (...call) => turn().then(() => store.create(...call)),
      createFromParts: async (...call) => turn().then(() => store.createFromParts(...call)),
      read: async (...call) => turn().then(() => store.read(...call)),
      readProperties: async (...call) => turn().then(() => store.readProperties(...call)),
      delete: async (...call) => turn().then(() => store.delete(...call)),
      extendImmutability: async (...call) => turn().then(() => store.extendImmutability(...call)),
      startRetrieval: async (...call) => turn().then(() => store.startRetrieval(...call)),
      lock: async (...call) => turn().then(() => store.lock(...call)),
      async *list(prefix: string, signal: AbortSignal): AsyncGenerator<StoredBlob> {
        await turn();
        yield* store.list(prefix, signal);
      },
    };
  }

  /** Runs the processes to their ends; the first failure is thrown, and so is a deadlock. */
  async run(processes: readonly (() => Promise<unknown>)[]): Promise<void> {
    const running = new Set(processes);
    const ends = processes.map((start) => start().finally(() => running.delete(start)));
    const all = Promise.allSettled(ends);
    let idleTurns = 0;
    for (;;) {
      await microtasksDone();
      if (running.size === 0) break;
      const chosen = Math.floor(this.dice() * this.#waiting.length);
      const [resolve] = this.#waiting.splice(chosen, 1);
      if (resolve === undefined) {
        // Somebody may be deriving a key on another thread; nothing else takes real time.
        if (++idleTurns > MAX_IDLE_TURNS) throw new Error("deadlock: nobody waits for a turn");
        continue;
      }
      idleTurns = 0;
      if (++this.steps > MAX_STEPS) throw new Error(`no end after ${MAX_STEPS} operations`);
      resolve();
    }
    await all;
    await Promise.all(ends);
  }
}
