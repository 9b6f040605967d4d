/**
 * Runs one timer function on its schedule: at most one run at a time among all hosts, a missed run
 * is made up once at start, the status is written after the run (so a run that a crash cut off is
 * repeated).
 */
import type { BlobLeaseClient } from "@azure/storage-blob";
import { messageOf } from "#core/lib/errors.ts";
import { z } from "zod";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { AppSettings } from "../settings.ts";
import type { RegisteredFunction } from "../worker/rpc-types.ts";
import type { FunctionRunner } from "./function-runner.ts";
import { parseSchedule, type TimerSchedule } from "./timer-schedule.ts";
import {
  statusFields,
  timerLeaseSeconds,
  type TimerStatus,
  type TimerStatusStore,
} from "./timer-status.ts";

export interface TimerTriggerOptions {
  readonly target: RegisteredFunction;
  readonly settings: AppSettings;
  readonly statuses: TimerStatusStore;
  readonly runner: FunctionRunner;
  readonly clock: Clock;
  readonly log: Log;
}

const timerBindingSchema = z.looseObject({
  schedule: z.string(),
  runOnStartup: z.boolean().optional(),
  useMonitor: z.boolean().optional(),
});
const busyRetryMs = 1000;
const failureRetryMs = 5000;
const logCategory = "Host.Triggers.Timer";

export class TimerTrigger {
  readonly #options: TimerTriggerOptions;
  readonly #schedule: TimerSchedule;
  readonly #runsOnStartup: boolean;
  readonly #stopping = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  /** @throws HoldfastError `InvalidSchedule`, `SettingMissing` */
  constructor(options: TimerTriggerOptions) {
    this.#options = options;
    const { schedule, runOnStartup = false } = timerBindingSchema.parse(options.target.trigger);
    this.#runsOnStartup = runOnStartup;
    const timeZone = options.settings.get("WEBSITE_TIME_ZONE");
    this.#schedule = parseSchedule(options.settings.expand(schedule), timeZone);
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** No further run; waits for the current one, at most `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort();
    const enough = new AbortController();
    await Promise.race([this.#loop, this.#options.clock.sleep(graceMs, enough.signal)]);
    enough.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let isFirst = true;
    while (!signal.aborted) {
      try {
        const status = await this.#readStatus();
        const isForced = isFirst && this.#runsOnStartup;
        const waitMs = status.nextRunAt.getTime() - this.#now().getTime();
        if (!isForced && waitMs > 0) {
          isFirst = false;
          await this.#options.clock.sleep(waitMs, signal);
          continue;
        }
        // What was due before this process began is a missed run.
        await this.#runOnce(status, isFirst && waitMs <= 0);
        isFirst = false;
      } catch (error) {
        const { log, target, clock } = this.#options;
        log("error", logCategory, messageOf(error), { functionName: target.name });
        await clock.sleep(failureRetryMs, signal);
      }
    }
  }

  /** The stored status; a new one when there is none or the schedule was changed since. */
  async #readStatus(): Promise<TimerStatus> {
    const { statuses, target } = this.#options;
    const stored = await statuses.read(target.name);
    if (stored !== undefined) {
      const planned = this.#schedule.next(stored.updatedAt);
      if (planned.getTime() === stored.nextRunAt.getTime()) return stored;
      return { ...stored, nextRunAt: planned };
    }
    const now = this.#now();
    const first = { lastRunAt: undefined, nextRunAt: this.#schedule.next(now), updatedAt: now };
    await statuses.write(target.name, first);
    return first;
  }

  async #runOnce(status: TimerStatus, isPastDue: boolean): Promise<void> {
    const { statuses, target, clock } = this.#options;
    const lease = await statuses.acquireLease(target.name);
    if (lease === undefined) {
      await clock.sleep(busyRetryMs, this.#stopping.signal);
      return;
    }
    try {
      const current = await statuses.read(target.name);
      // Another host was faster: it has moved the status on.
      if (current !== undefined && current.updatedAt.getTime() > status.updatedAt.getTime()) return;
      await this.#invoke(status, isPastDue, lease);
      const now = this.#now();
      await statuses.write(target.name, {
        lastRunAt: now,
        nextRunAt: this.#schedule.next(now),
        updatedAt: now,
      });
    } finally {
      await lease.releaseLease().catch((error: unknown) => {
        this.#options.log("warning", logCategory, `lease not released: ${messageOf(error)}`);
      });
    }
  }

  async #invoke(status: TimerStatus, isPastDue: boolean, lease: BlobLeaseClient): Promise<void> {
    const { clock, log, runner, target } = this.#options;
    const info = {
      Schedule: { AdjustForDST: true },
      ScheduleStatus: statusFields(status),
      IsPastDue: isPastDue,
    };
    const finished = new AbortController();
    const renewal = (async () => {
      for (;;) {
        await clock.sleep((timerLeaseSeconds * 1000) / 3, finished.signal);
        if (finished.signal.aborted) return;
        await lease.renewLease().catch((error: unknown) => {
          log("warning", logCategory, `lease not renewed: ${messageOf(error)}`);
        });
      }
    })();
    try {
      await runner.run(target, { json: JSON.stringify(info) });
    } catch {
      // Logged by the runner. A failed run is not repeated before the next occurrence, as in Azure.
    } finally {
      finished.abort();
      await renewal;
    }
  }

  #now(): Date {
    return this.#options.clock.now();
  }
}
