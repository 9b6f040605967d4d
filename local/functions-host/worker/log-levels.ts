import { type LogLevel, logLevels } from "../log.ts";

/** A level as the worker names it; what is unknown counts as information. */
export function logLevelOf(text: string): LogLevel {
  return logLevels.find((level) => level === text.toLowerCase()) ?? "information";
}
