/**
 * Single-writer access to instances: one piece of work at a time per instance in this process, and
 * a commit that fails when another process was faster. Records are cached between episodes; the
 * version in the store tells when a cached one is stale.
 */
import { codeOf } from "#core/lib/errors.ts";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { KeyedLock } from "../keyed-lock.ts";
import type { InstanceRecord, OutboxEntry } from "./instance-record.ts";
import type { TaskStore, VersionedRecord } from "./task-store.ts";

const cachedInstanceLimit = 200;
const parallelSendLimit = 16;

export interface InstanceGuardOptions {
  readonly store: TaskStore;
  /** Called after each message that was sent, so that pollers in this process wake up. */
  readonly onSent: (queue: OutboxEntry["queue"], visibleAt: Date | undefined) => void;
}

export class InstanceGuard {
  readonly #options: InstanceGuardOptions;
  readonly #lock = new KeyedLock();
  readonly #cache = new Map<string, VersionedRecord>();

  constructor(options: InstanceGuardOptions) {
    this.#options = options;
  }

  /** Runs alone for this instance. A failure drops what was cached. */
  async withInstance<Result>(
    instanceId: string,
    work: (current: VersionedRecord | undefined) => Promise<Result>,
  ): Promise<Result> {
    return this.#lock.run(instanceId, async () => {
      try {
        const cached = this.#cache.get(instanceId);
        return await work(cached ?? (await this.#options.store.load(instanceId)));
      } catch (error) {
        this.#cache.delete(instanceId);
        throw error;
      }
    });
  }

  /** Commit point, then delivery, then settlement. Call inside `withInstance`. */
  async commit(record: InstanceRecord, previous: VersionedRecord | undefined): Promise<void> {
    const version = await this.#options.store.commit(record, previous);
    await this.#deliver({ record, version });
  }

  async purge(instanceId: string): Promise<boolean> {
    return this.#lock.run(instanceId, async () => {
      this.#cache.delete(instanceId);
      return this.#options.store.purge(instanceId);
    });
  }

  /** Sends what a crash may have left in outboxes. Returns how many instances there were. */
  async recover(): Promise<number> {
    const unsettled = await this.#options.store.listUnsettled();
    for (const stored of unsettled) {
      await this.#lock.run(stored.record.instanceId, async () => {
        try {
          await this.#deliver(stored);
        } catch (error) {
          if (codeOf(error) !== "CommitConflict") throw error;
        }
      });
    }
    return unsettled.length;
  }

  async send(entry: OutboxEntry): Promise<void> {
    const { store, onSent } = this.#options;
    if (entry.queue === "work") {
      await store.work.send(entry.message);
      onSent("work", undefined);
      return;
    }
    const visibleAt = entry.visibleAt === undefined ? undefined : new Date(entry.visibleAt);
    await store.control.send(entry.message, visibleAt);
    onSent("control", visibleAt);
  }

  async #deliver(committed: VersionedRecord): Promise<void> {
    const { record } = committed;
    // Committed as settled.
    if (record.outbox.length === 0) return this.#remember(committed);
    await mapBounded(record.outbox, parallelSendLimit, async (entry) => this.send(entry));
    const version = await this.#options.store.settle(record, committed.version);
    this.#remember({ record: { ...record, outbox: [] }, version });
  }

  #remember(stored: VersionedRecord): void {
    const { instanceId } = stored.record;
    this.#cache.delete(instanceId);
    this.#cache.set(instanceId, stored);
    const [oldestId] = this.#cache.keys();
    if (this.#cache.size > cachedInstanceLimit && oldestId !== undefined) {
      this.#cache.delete(oldestId);
    }
  }
}
