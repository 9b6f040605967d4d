/**
 * Moves messages from a queue to a handler: bounded concurrency, messages of one key together,
 * leases renewed while the handler runs, failed ones back to the queue with a growing delay.
 */
import { messageOf, isRetryable } from "#core/lib/errors.ts";
import type { Clock } from "../clock.ts";
import { IdleWait } from "../idle-wait.ts";
import { durableLogCategory, type Log } from "../log.ts";
import { receiveLimit, type LeasedMessage, type MessageQueue } from "./task-store.ts";

export interface MessagePumpOptions<Body> {
  readonly name: string;
  readonly queue: MessageQueue<Body>;
  /** How many groups are handled at once. */
  readonly groupLimit: number;
  readonly keyOf: (body: Body) => string;
  /** A message that arrives before its time is held back. Queues count whole seconds only. */
  readonly dueAt: (body: Body) => Date | undefined;
  readonly handle: (key: string, messages: readonly LeasedMessage<Body>[]) => Promise<void>;
  readonly longestIdleMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What this process sends wakes the pump; only what others left has to be found by looking. */
const shortestIdleMs = 320;
/** A message further from its time than this goes back to the queue instead of waiting here. */
const longestHoldMs = 1500;
const longestRetryDelayMs = 30_000;

export class MessagePump<Body> {
  readonly #options: MessagePumpOptions<Body>;
  readonly #idle: IdleWait;
  readonly #stopping = new AbortController();
  readonly #running = new Map<Promise<void>, readonly LeasedMessage<Body>[]>();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: MessagePumpOptions<Body>) {
    this.#options = options;
    const { clock, longestIdleMs } = options;
    this.#idle = new IdleWait(clock, { shortestMs: shortestIdleMs, longestMs: longestIdleMs });
  }

  start(): void {
    this.#loop = this.#poll();
  }

  /** Something was sent, to be seen now or at `visibleAt`. */
  notifySent(visibleAt: Date | undefined): void {
    if (visibleAt === undefined) this.#idle.wake();
    else this.#idle.wakeAt(visibleAt, this.#stopping.signal);
  }

  /** Takes no more; waits for what runs, at most `graceMs`; gives back what is left. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    const enough = new AbortController();
    await Promise.race([
      Promise.allSettled(this.#running.keys()),
      this.#options.clock.sleep(graceMs, enough.signal),
    ]);
    enough.abort();
    const left = [...this.#running.values()].flat();
    await Promise.allSettled(left.map((message) => message.abandon()));
  }

  async #poll(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      if (this.#running.size >= this.#options.groupLimit) {
        await Promise.race(this.#running.keys());
        continue;
      }
      const wantedCount = Math.min(this.#options.groupLimit - this.#running.size, receiveLimit);
      const messages = await this.#receive(wantedCount);
      if (messages.length > 0) this.#idle.reset();
      for (const [key, group] of this.#group(messages)) this.#run(key, group);
      // Fewer than wanted: the queue was empty then, and what is sent from now on wakes.
      if (messages.length < wantedCount) await this.#idle.wait(signal);
    }
  }

  async #receive(maxCount: number): Promise<LeasedMessage<Body>[]> {
    const { queue, log, name } = this.#options;
    try {
      return await queue.receive(maxCount);
    } catch (error) {
      log("error", durableLogCategory, `reading ${name} failed: ${messageOf(error)}`);
      return [];
    }
  }

  #group(messages: readonly LeasedMessage<Body>[]): Map<string, LeasedMessage<Body>[]> {
    const { clock, dueAt, keyOf } = this.#options;
    const groups = new Map<string, LeasedMessage<Body>[]>();
    for (const message of messages) {
      const earlyMs = (dueAt(message.body)?.getTime() ?? 0) - clock.now().getTime();
      if (earlyMs > 0) {
        this.#hold(message, earlyMs);
        continue;
      }
      const key = keyOf(message.body);
      groups.set(key, [...(groups.get(key) ?? []), message]);
    }
    return groups;
  }

  #hold(message: LeasedMessage<Body>, earlyMs: number): void {
    const { clock } = this.#options;
    if (earlyMs > longestHoldMs) {
      const delayMs = earlyMs - longestHoldMs / 2;
      this.notifySent(new Date(clock.now().getTime() + delayMs));
      this.#track([message], message.abandon(delayMs));
      return;
    }
    void this.#runWhenDue(message, earlyMs);
  }

  async #runWhenDue(message: LeasedMessage<Body>, earlyMs: number): Promise<void> {
    const { clock, keyOf } = this.#options;
    await clock.sleep(earlyMs, this.#stopping.signal);
    if (this.#stopping.signal.aborted) this.#track([message], message.abandon());
    else this.#run(keyOf(message.body), [message]);
  }

  #run(key: string, messages: readonly LeasedMessage<Body>[]): void {
    this.#track(messages, this.#handle(key, messages));
  }

  #track(messages: readonly LeasedMessage<Body>[], work: Promise<void>): void {
    const { log, name } = this.#options;
    const tracked: Promise<void> = work
      .catch((error: unknown) => {
        log("error", durableLogCategory, `${name}: ${messageOf(error)}`);
      })
      .finally(() => {
        this.#running.delete(tracked);
      });
    this.#running.set(tracked, messages);
  }

  async #handle(key: string, messages: readonly LeasedMessage<Body>[]): Promise<void> {
    const { handle, log, name } = this.#options;
    const finished = new AbortController();
    const renewal = this.#renewLeases(messages, finished.signal);
    try {
      await handle(key, messages);
    } catch (error) {
      const attempt = Math.max(...messages.map((message) => message.dequeueCount));
      const delayMs = isRetryable(error) ? 0 : Math.min(2 ** attempt * 100, longestRetryDelayMs);
      log(
        "error",
        durableLogCategory,
        `${name}: ${key} failed and is tried again in ${delayMs} ms: ${messageOf(error)}`,
        { instanceId: key },
      );
      this.notifySent(new Date(this.#options.clock.now().getTime() + delayMs));
      await Promise.allSettled(messages.map((message) => message.abandon(delayMs)));
    } finally {
      finished.abort();
      await renewal;
    }
  }

  async #renewLeases(
    messages: readonly LeasedMessage<Body>[],
    finished: AbortSignal,
  ): Promise<void> {
    const { clock, queue, log, name } = this.#options;
    for (;;) {
      await clock.sleep(queue.leaseMs / 2, finished);
      if (finished.aborted) return;
      for (const message of messages) {
        try {
          await message.renew();
        } catch (error) {
          log("warning", durableLogCategory, `${name}: lease not renewed: ${messageOf(error)}`);
        }
      }
    }
  }
}
