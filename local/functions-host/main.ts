/**
 * `node local/functions-host/main.ts --app <dir> --port <n> [--rpc-port <n>]`
 *
 * Runs a compiled Functions app; its app settings are the environment of this process. Prints
 * `functions host ready on http://127.0.0.1:<port>` when it takes work. SIGTERM ends it gracefully.
 */
import { parseArgs } from "node:util";
import { HoldfastError, messageOf } from "#core/lib/errors.ts";
import { startFunctionsHost } from "./functions-host.ts";

export {
  type FunctionsHostOptions,
  type RunningHost,
  startFunctionsHost,
} from "./functions-host.ts";

/** Time for the failure of the timed-out function to be written down. */
const timeoutGraceMs = 2000;
/** A supervisor starts the host again after this exit code, as Azure restarts a worker. */
const timedOutExitCode = 86;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      app: { type: "string" },
      port: { type: "string" },
      "rpc-port": { type: "string", default: "0" },
    },
  });
  if (values.app === undefined || values.port === undefined) {
    throw new HoldfastError("Usage", "usage: main.ts --app <dir> --port <n> [--rpc-port <n>]");
  }
  let isEnding = false;
  const end = (graceMs: number | undefined, exitCode: number): void => {
    if (isEnding) return;
    isEnding = true;
    void starting
      .then(async (host) => host.stop(graceMs))
      .catch((error: unknown) => process.stderr.write(`${messageOf(error)}\n`))
      .finally(() => process.exit(exitCode));
  };
  const starting = startFunctionsHost({
    appDirectory: values.app,
    port: Number(values.port),
    rpcPort: Number(values["rpc-port"]),
    onFatal: () => end(timeoutGraceMs, timedOutExitCode),
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.once(signal, () => end(undefined, 0));
  const host = await starting;
  process.stdout.write(`functions host ready on ${host.url}\n`);
}

if (import.meta.main) {
  main().catch((error: unknown) => {
    process.stderr.write(`functions host failed: ${messageOf(error)}\n`);
    process.exit(1);
  });
}
