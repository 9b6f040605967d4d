/**
 * The host's log: one JSON object a line on standard output, with the categories of the real host
 * (`Function.<name>`, `Function.<name>.User`, `Host.Triggers.DurableTask`, ...).
 */
export const logLevels = [
  "trace",
  "debug",
  "information",
  "warning",
  "error",
  "critical",
  "none",
] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogFields {
  readonly functionName?: string;
  readonly invocationId?: string;
  readonly instanceId?: string;
}

export type Log = (level: LogLevel, category: string, message: string, fields?: LogFields) => void;

/** Levels by category as in host.json `logging.logLevel`: the longest matching prefix decides. */
export type LogThresholds = ReadonlyMap<string, LogLevel>;

export function thresholdFor(thresholds: LogThresholds, category: string): LogLevel {
  let prefix = category;
  for (;;) {
    const level = thresholds.get(prefix);
    if (level !== undefined) return level;
    const dot = prefix.lastIndexOf(".");
    if (dot < 0) return thresholds.get("default") ?? "information";
    prefix = prefix.slice(0, dot);
  }
}

export function createJsonLog(
  write: (line: string) => void,
  thresholds: LogThresholds,
  now: () => Date,
): Log {
  return (level, category, message, fields = {}) => {
    const threshold = thresholdFor(thresholds, category);
    if (logLevels.indexOf(level) < logLevels.indexOf(threshold)) return;
    const entry = { time: now().toISOString(), level, category, message, ...fields };
    write(`${JSON.stringify(entry)}\n`);
  };
}

export const durableLogCategory = "Host.Triggers.DurableTask";
