import { HoldfastError } from "#core/lib/errors.ts";

const timeSpanPattern = /^(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,7}))?$/;

/** Milliseconds of a .NET TimeSpan such as `00:10:00` or `1.12:00:00`; the form host.json uses. */
export function parseTimeSpanMs(text: string): number {
  const match = timeSpanPattern.exec(text);
  if (match === null) {
    throw new HoldfastError("InvalidTimeSpan", `"${text}" is not a time span like 00:05:00.`);
  }
  const [, days = "0", hours = "0", minutes = "0", seconds = "0", fraction = "0"] = match;
  const wholeSeconds =
    ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds);
  return wholeSeconds * 1000 + Math.floor(Number(`0.${fraction}`) * 1000);
}

/** The inverse, always with days: `3.00:00:00`. Below a second is cut off. */
export function formatTimeSpan(durationMs: number): string {
  const seconds = Math.floor(durationMs / 1000);
  const two = (value: number): string => String(value).padStart(2, "0");
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor(seconds / 3600) % 24;
  return `${days}.${two(hours)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
