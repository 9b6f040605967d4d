import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "#core/lib/errors.ts";
import type { Command } from "#local/commands/command-line.ts";
import { Narration } from "./narration.ts";
import { runDemo } from "./run-demo.ts";

const plainColumns = 120;

export const demoCommands: readonly Command[] = [
  {
    name: "demo",
    usage: "[--keep]",
    summary:
      "Backs up two sample machines, changes them, backs up again, restores and compares.\n" +
      "Needs no running stack: it makes its own in a temporary directory and removes it.\n" +
      "--keep: keeps the directory, to look at with --state.",
    options: { keep: { type: "boolean" } },
    async run({ options, print }) {
      const stateDirectory = await mkdtemp(join(tmpdir(), "holdfast-demo-"));
      const startedAt = performance.now();
      const narration = new Narration({
        isTerminal: process.stdout.isTTY,
        columns: process.stdout.columns ?? plainColumns,
        write: (text) => process.stdout.write(text),
        nowMs: () => performance.now(),
      });
      try {
        await runDemo({ stateDirectory, narration });
      } catch (error) {
        narration.say(`\nThe demo failed: ${messageOf(error)}`);
        print(`Its logs are in ${join(stateDirectory, "logs")}`);
        return 1;
      }
      if (options["keep"] === true) print(`Its state is in ${stateDirectory}`);
      else await rm(stateDirectory, { recursive: true, force: true });
      print(`\nThe demo succeeded in ${((performance.now() - startedAt) / 1000).toFixed(0)} s.`);
      return 0;
    },
  },
];
