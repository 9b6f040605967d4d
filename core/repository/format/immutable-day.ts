/**
 * Until when an object is immutable, as a day number from 1970-01-01: the object cannot be deleted
 * before 00:00 UTC of that day. Days are rounded up to *generations* of ten days, so that the
 * backups of ten days ask for the same day and an object that they share is extended only once.
 */
const DAY_MS = 24 * 60 * 60 * 1000;
const GENERATION_DAYS = 10;

/** The first day of a generation at or after `until`. */
export function immutableDayOf(until: Date): number {
  return Math.ceil(until.getTime() / (GENERATION_DAYS * DAY_MS)) * GENERATION_DAYS;
}

export function startOfDay(day: number): Date {
  return new Date(day * DAY_MS);
}
