import type { Command } from "../command-line.ts";
import { catCommand } from "./cat.ts";
import { checkCommand } from "./check.ts";
import { exportCommand } from "./export.ts";
import { infoCommand } from "./info.ts";
import { keyCommands } from "./key.ts";
import { listCommand } from "./list.ts";
import { serveCommand } from "./serve.ts";

/** In the order of the help. */
export const ALL_COMMANDS: readonly Command[] = [
  listCommand,
  infoCommand,
  checkCommand,
  catCommand,
  exportCommand,
  serveCommand,
  ...keyCommands,
];
