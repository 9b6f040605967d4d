/** The program `holdfast`: `npm run holdfast -- repo ...` from the tree, `bin/holdfast` in a bundle. */
import { ALL_COMMANDS } from "./commands/all-commands.ts";
import { runCommandLine } from "./command-line.ts";
import { openStore, openVault, startCodec } from "./context.ts";
import { processTerminal } from "./terminal.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => stop.abort());
}
// Who read the output has gone: the write that finds out fails, and the command with it.
process.stdout.on("error", () => undefined);

process.exitCode = await runCommandLine(process.argv.slice(2), {
  commands: ALL_COMMANDS,
  terminal: processTerminal(),
  openStore,
  openVault,
  startCodec,
  signal: stop.signal,
});
