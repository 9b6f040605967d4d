/**
 * A task store that crashes, duplicates and reorders on the whim of a seeded generator, and that
 * watches what is committed.
 */
import { isDeepStrictEqual } from "node:util";
import type { HistoryEvent } from "#local/functions-host/durable/history-events.ts";
import type { MemoryTaskStore } from "#local/functions-host/durable/memory-task-store.ts";
import type {
  ControlMessage,
  InstanceHeader,
  InstanceRecord,
  WorkMessage,
} from "#local/functions-host/durable/instance-record.ts";
import type {
  InstanceFilter,
  LeasedMessage,
  MessageQueue,
  TaskStore,
  VersionedRecord,
} from "#local/functions-host/durable/task-store.ts";
import type { SeededRandom } from "./seeded-random.ts";

/** The process died. */
export class SimulatedCrash extends Error {
  override readonly name = "SimulatedCrash";
}

export interface FaultRates {
  readonly crash: number;
  readonly duplicate: number;
}

export class FaultyTaskStore implements TaskStore {
  readonly control: MessageQueue<ControlMessage>;
  readonly work: MessageQueue<WorkMessage>;
  readonly #inner: MemoryTaskStore;
  readonly #random: SeededRandom;
  readonly #rates: FaultRates;
  readonly #committed: Map<string, InstanceRecord>;
  #isDead = false;

  /** @param committed shared by all stores of one simulation: survives crashes */
  constructor(
    inner: MemoryTaskStore,
    random: SeededRandom,
    rates: FaultRates,
    committed: Map<string, InstanceRecord>,
  ) {
    this.#inner = inner;
    this.#random = random;
    this.#rates = rates;
    this.#committed = committed;
    this.control = this.#faultyQueue(inner.control);
    this.work = this.#faultyQueue(inner.work);
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  async initialize(): Promise<void> {
    await this.#inner.initialize();
  }

  async load(instanceId: string): Promise<VersionedRecord | undefined> {
    return this.#guarded(async () => this.#inner.load(instanceId));
  }

  async commit(record: InstanceRecord, previous: VersionedRecord | undefined): Promise<string> {
    return this.#guarded(async () => {
      const version = await this.#inner.commit(record, previous);
      assertDecidedOnce(this.#committed.get(record.instanceId), record);
      this.#committed.set(record.instanceId, structuredClone(record));
      return version;
    });
  }

  async settle(record: InstanceRecord, version: string): Promise<string> {
    return this.#guarded(async () => this.#inner.settle(record, version));
  }

  async listUnsettled(): Promise<VersionedRecord[]> {
    return this.#guarded(async () => this.#inner.listUnsettled());
  }

  async list(filter: InstanceFilter): Promise<InstanceHeader[]> {
    return this.#inner.list(filter);
  }

  async purge(instanceId: string): Promise<boolean> {
    return this.#guarded(async () => this.#inner.purge(instanceId));
  }

  /** The process may die before the operation and right after it. */
  async #guarded<Result>(operation: () => Promise<Result>): Promise<Result> {
    this.#maybeCrash();
    const result = await operation();
    this.#maybeCrash();
    return result;
  }

  #maybeCrash(): void {
    if (!this.#isDead && this.#random.chance(this.#rates.crash)) this.#isDead = true;
    if (this.#isDead) throw new SimulatedCrash("simulated crash");
  }

  #faultyQueue<Body>(inner: MessageQueue<Body>): MessageQueue<Body> {
    return {
      leaseMs: inner.leaseMs,
      send: async (body, visibleAt) =>
        this.#guarded(async () => {
          await inner.send(body, visibleAt);
          if (this.#random.chance(this.#rates.duplicate)) await inner.send(body, visibleAt);
        }),
      receive: async (maxCount) => this.#receive(inner, maxCount),
    };
  }

  /** Some of what is visible, in any order. */
  async #receive<Body>(
    inner: MessageQueue<Body>,
    maxCount: number,
  ): Promise<LeasedMessage<Body>[]> {
    const all = this.#random.shuffle(await inner.receive(32));
    const taken = all.slice(0, maxCount);
    for (const message of all.slice(maxCount)) await message.abandon();
    return taken.map((message) => ({
      ...message,
      complete: async () => this.#guarded(async () => message.complete()),
    }));
  }
}

/** Inside one execution what was committed is never taken back or decided again. */
function assertDecidedOnce(before: InstanceRecord | undefined, after: InstanceRecord): void {
  if (before === undefined || before.executionId !== after.executionId) return;
  const kept = after.history.slice(0, before.history.length).map(asStored);
  if (!isDeepStrictEqual(kept, before.history.map(asStored))) {
    throw new Error(`history of ${after.instanceId} was rewritten`);
  }
  const decidedIds = after.history.map((event) => event.EventId).filter((id) => id >= 0);
  if (new Set(decidedIds).size !== decidedIds.length) {
    throw new Error(`${after.instanceId} decided twice under one id`);
  }
}

function asStored(event: HistoryEvent): unknown {
  return { ...event, IsPlayed: true };
}
