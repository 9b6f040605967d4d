/**
 * The agent's program: settings from the environment, one run until SIGTERM or SIGINT. Started by
 * `agent.service` on a worker VM. Exit code 0 when it was told to stop, 1 otherwise.
 */
import { readFileSync } from "node:fs";
import { codeOf, messageOf } from "#core/lib/errors.ts";
import { parseAgentConfig } from "./config.ts";
import { createAgent } from "./context.ts";
import { redact } from "./redaction.ts";
import { runAgent } from "./run-loop.ts";

try {
  const config = parseAgentConfig(process.env);
  // What this process starts or dumps does not get the secret.
  delete process.env["HOLDFAST_WORKER_SECRET"];
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());
  await runAgent(createAgent(config, readVersion()), stop.signal);
} catch (error) {
  const line = { event: "agent-failed", code: codeOf(error), message: redact(messageOf(error)) };
  process.stdout.write(`${JSON.stringify(line)}\n`);
  process.exitCode = 1;
}

/** `VERSION` lies in the bundle above `lib/`; from a work tree there is none. */
function readVersion(): string {
  try {
    return readFileSync(new URL("../VERSION", import.meta.url), "utf8").trim();
  } catch {
    return "development";
  }
}
