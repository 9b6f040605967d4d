/**
 * Schedule: five-field cron in a time zone. A slot is one due time. Missed slots (the control plane
 * was down) are run once, as the latest of them; a slot before the policy was enabled is not owed.
 * Clock changes: a time that a change skips runs when the gap ends; one that happens twice runs once
 * when it is a fixed time of day.
 */
import { Cron } from "croner";
import type { Policy, Schedule } from "../model/policy.ts";
import { messageOf } from "../lib/errors.ts";

function cronOf(schedule: Schedule): Cron {
  return new Cron(schedule.cron, { mode: "5-part", timezone: schedule.timeZone, paused: true });
}

/** What is wrong with a schedule, with the field that is; nothing when it is right. */
export function findScheduleFault(
  schedule: Schedule,
): { readonly field: "cron" | "timeZone"; readonly reason: string } | undefined {
  try {
    new Intl.DateTimeFormat("en", { timeZone: schedule.timeZone }).format(0);
  } catch {
    return { field: "timeZone", reason: `'${schedule.timeZone}' is no IANA time zone` };
  }
  try {
    if (cronOf(schedule).nextRun() === null) return { field: "cron", reason: "it never comes due" };
    return undefined;
  } catch (error) {
    return { field: "cron", reason: messageOf(error) };
  }
}

/** The first slot after `after`; `undefined` when there is none. */
export function nextSlot(schedule: Schedule, after: Date): Date | undefined {
  return cronOf(schedule).nextRun(after) ?? undefined;
}

/** The latest slot at or before `now`. */
export function latestSlot(schedule: Schedule, now: Date): Date | undefined {
  // Slots are whole seconds and previousRuns excludes its reference: the next whole second is right.
  const nextSecond = new Date((Math.floor(now.getTime() / 1000) + 1) * 1000);
  return cronOf(schedule).previousRuns(1, nextSecond)[0];
}

export interface DueBackup {
  readonly policyId: string;
  readonly slot: Date;
  readonly reasons: readonly string[];
}

/** How many missed slots are counted for the reason; more are told as "more than". */
const COUNTED_SLOTS_MAX = 100;

/**
 * Policies that are due, at most one slot each.
 *
 * @param lastSlots latest slot that was started, by policy id
 */
export function planDueBackups(
  policies: readonly Pick<Policy, "policyId" | "enabled" | "enabledAt" | "schedule">[],
  lastSlots: ReadonlyMap<string, Date>,
  now: Date,
): DueBackup[] {
  const due: DueBackup[] = [];
  for (const policy of policies) {
    if (!policy.enabled) continue;
    const slot = latestSlot(policy.schedule, now);
    if (slot === undefined) continue;
    const enabledAt = new Date(policy.enabledAt);
    const last = lastSlots.get(policy.policyId);
    const owedAfter = last !== undefined && last.getTime() > enabledAt.getTime() ? last : enabledAt;
    if (slot.getTime() <= owedAfter.getTime()) continue;
    due.push({
      policyId: policy.policyId,
      slot,
      reasons: reasonsOf(policy.schedule, owedAfter, slot),
    });
  }
  return due;
}

function reasonsOf(schedule: Schedule, owedAfter: Date, slot: Date): string[] {
  const reasons = [`slot ${slot.toISOString()} is due`];
  const owed = cronOf(schedule)
    .nextRuns(COUNTED_SLOTS_MAX + 1, owedAfter)
    .filter((each) => each.getTime() < slot.getTime()).length;
  if (owed > COUNTED_SLOTS_MAX) {
    reasons.push(
      `more than ${COUNTED_SLOTS_MAX} earlier slots were missed: they run once, as this`,
    );
  } else if (owed > 0) {
    reasons.push(`${owed} earlier slot${owed === 1 ? " was" : "s were"} missed: run once, as this`);
  }
  return reasons;
}
