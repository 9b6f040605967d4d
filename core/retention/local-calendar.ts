/**
 * Calendar of a time zone: which day, week, month and year an instant lies in, and when the one after
 * so many of them begins. Days have 23 to 25 hours where clocks change; their starts are instants.
 */
const DAY_MS = 24 * 3600 * 1000;
const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  formats.set(timeZone, format);
  return format;
}

/** What a clock on the wall shows, as if it were UTC: milliseconds since the epoch. */
function wallTimeOf(instantMs: number, timeZone: string): number {
  const parts = new Map(
    formatOf(timeZone)
      .formatToParts(instantMs)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const of = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  return Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second"));
}

function dayStart(wallMs: number): number {
  return Math.floor(wallMs / DAY_MS) * DAY_MS;
}

export type Period = "day" | "week" | "month" | "year";

/** Start of the period on the wall, in days or months so that it can be counted on. */
function periodStart(wallMs: number, period: Period, after: number): number {
  const day = dayStart(wallMs);
  const date = new Date(day);
  switch (period) {
    case "day":
      return day + after * DAY_MS;
    case "week": {
      // Sunday is 0 of getUTCDay, and the last day of an ISO week.
      const sinceMonday = (date.getUTCDay() + 6) % 7;
      return day + (after * 7 - sinceMonday) * DAY_MS;
    }
    case "month":
      return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + after, 1);
    case "year":
      return Date.UTC(date.getUTCFullYear() + after, 0, 1);
  }
}

/** Two instants lie in the same period exactly when their keys are equal. */
export function periodKey(instant: Date, period: Period, timeZone: string): number {
  return periodStart(wallTimeOf(instant.getTime(), timeZone), period, 0);
}

/** When the `after`-th period after the instant's own begins: its first instant there. */
export function periodStartAfter(
  instant: Date,
  period: Period,
  after: number,
  timeZone: string,
): Date {
  const wall = periodStart(wallTimeOf(instant.getTime(), timeZone), period, after);
  // The zone's offset at that midnight is one of those of the days around it.
  const candidates = [wall - DAY_MS, wall + DAY_MS].map(
    (around) => wall - (wallTimeOf(around, timeZone) - around),
  );
  // A midnight that a change skips: the offset after the change still shows the day before.
  const [first] = candidates
    .filter((each) => wallTimeOf(each, timeZone) >= wall)
    .sort((left, right) => left - right);
  return new Date(first ?? wall);
}
