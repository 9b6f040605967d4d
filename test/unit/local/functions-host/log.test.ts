import { expect, test } from "vitest";
import { createJsonLog, type LogLevel } from "#local/functions-host/log.ts";

test("a log line is JSON, and the longest matching category decides whether it is written", () => {
  const lines: string[] = [];
  const thresholds = new Map<string, LogLevel>([
    ["default", "warning"],
    ["Function", "information"],
    ["Function.noisy", "none"],
  ]);
  const log = createJsonLog(
    (line) => lines.push(line),
    thresholds,
    () => new Date(0),
  );
  log("information", "Host", "hidden");
  log("warning", "Host", "shown");
  log("information", "Function.quiet.User", "shown too", { functionName: "quiet" });
  log("error", "Function.noisy.User", "hidden");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
    { time: "1970-01-01T00:00:00.000Z", level: "warning", category: "Host", message: "shown" },
    {
      time: "1970-01-01T00:00:00.000Z",
      level: "information",
      category: "Function.quiet.User",
      message: "shown too",
      functionName: "quiet",
    },
  ]);
  expect(lines.every((line) => line.endsWith("\n"))).toBe(true);
});
