/** The developer's command line: `npm run local -- COMMAND`, `npm start`, `npm run demo`. */
import { runCommandLine } from "./commands/command-line.ts";
import { diskCommands } from "./commands/disk-commands.ts";
import { resourceCommands } from "./commands/resource-commands.ts";
import { stackCommands } from "./commands/stack-commands.ts";
import { vmCommands } from "./commands/vm-commands.ts";
import { demoCommands } from "./demo/demo-command.ts";

const commands = [
  ...stackCommands,
  ...vmCommands,
  ...diskCommands,
  ...resourceCommands,
  ...demoCommands,
];
process.exitCode = await runCommandLine(process.argv.slice(2), commands, {
  print: (line) => console.log(line),
  complain: (line) => console.error(line),
});
