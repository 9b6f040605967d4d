/** NCRONTAB schedules: six fields from second to day of week, or five without the seconds. */
import { Cron } from "croner";
import { HoldfastError } from "#core/lib/errors.ts";

export interface TimerSchedule {
  /** The first occurrence after `time`. */
  next(time: Date): Date;
}

/** What NCRONTAB knows; croner's own extensions (L, W, #, @daily) do not exist in Azure. */
const atom = String.raw`(\d{1,2}|[a-z]{3})`;
const range = String.raw`(\*|${atom}(-${atom})?)(/\d{1,2})?`;
const fieldPattern = new RegExp(`^${range}(,${range})*$`, "i");

/**
 * @param timeZone IANA name (`WEBSITE_TIME_ZONE`); UTC when undefined
 * @throws HoldfastError `InvalidSchedule`
 */
export function parseSchedule(expression: string, timeZone: string | undefined): TimerSchedule {
  const fields = expression.trim().split(/\s+/);
  const sixFields = fields.length === 5 ? ["0", ...fields] : fields;
  const isValid = sixFields.length === 6 && sixFields.every((field) => fieldPattern.test(field));
  try {
    if (!isValid) throw new Error("it needs 6 fields: second minute hour day month day-of-week");
    const cron = new Cron(sixFields.join(" "), {
      paused: true,
      // NCRONTAB: a day must fit both fields when both are given.
      domAndDow: true,
      timezone: timeZone ?? "UTC",
    });
    if (cron.nextRun() === null) throw new Error("it never occurs");
    return {
      next: (time) => {
        const next = cron.nextRun(time);
        if (next !== null) return next;
        throw new HoldfastError("InvalidSchedule", `The schedule '${expression}' has ended.`);
      },
    };
  } catch (error) {
    throw new HoldfastError(
      "InvalidSchedule",
      `The schedule expression '${expression}' is not valid: ${error instanceof Error ? error.message : ""}.`,
      { cause: error },
    );
  }
}
