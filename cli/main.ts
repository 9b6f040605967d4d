/** The program `holdfast`: `npm run holdfast -- repo ...` from the tree, `bin/holdfast` in a bundle. */
import { catCommand } from "./commands/cat.ts";
import { exportCommand } from "./commands/export.ts";
import { infoCommand } from "./commands/info.ts";
import { listCommand } from "./commands/list.ts";
import { runCommandLine } from "./command-line.ts";
import { openStore } from "./context.ts";
import { processTerminal } from "./terminal.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => stop.abort());
}
// Who read the output has gone: the write that finds out fails, and the command with it.
process.stdout.on("error", () => undefined);

process.exitCode = await runCommandLine(process.argv.slice(2), {
  commands: [listCommand, infoCommand, catCommand, exportCommand],
  terminal: processTerminal(),
  openStore,
  signal: stop.signal,
});
