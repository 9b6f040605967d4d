import { resolve } from "node:path";
import { expect, test } from "vitest";
import {
  defaultStateDirectory,
  parseTags,
  requireCount,
  runCommandLine,
  UsageError,
  type Command,
  type CommandContext,
} from "#local/commands/command-line.ts";
import { diskCommands } from "#local/commands/disk-commands.ts";
import { resourceCommands } from "#local/commands/resource-commands.ts";
import { vmCommands } from "#local/commands/vm-commands.ts";

async function run(args: readonly string[], commands: readonly Command[]) {
  const printed: string[] = [];
  const complaints: string[] = [];
  const exitCode = await runCommandLine(args, commands, {
    print: (line) => printed.push(line),
    complain: (line) => complaints.push(line),
  });
  return { exitCode, printed: printed.join("\n"), complaints: complaints.join("\n") };
}

const seen: CommandContext[] = [];
const probe: Command = {
  name: "probe this",
  usage: "--name NAME",
  summary: "Looks at something.\nIn detail.",
  options: { name: { type: "string" }, tag: { type: "string", multiple: true } },
  async run(context) {
    seen.push(context);
    return 7;
  },
};
const realCommands = [...vmCommands, ...diskCommands, ...resourceCommands];

test("a command of two words gets its options and gives the exit code", async () => {
  const { exitCode } = await run(
    ["probe", "this", "--name", "x", "--state", "/some/where"],
    [probe],
  );
  expect(exitCode).toBe(7);
  expect(seen.at(-1)).toMatchObject({ stateDirectory: "/some/where", options: { name: "x" } });
});

test("state is in the project unless the user says otherwise", async () => {
  await run(["probe", "this"], [probe]);
  expect(seen.at(-1)?.stateDirectory).toBe(defaultStateDirectory);
  expect(defaultStateDirectory).toBe(resolve(".holdfast/local"));
});

test("no arguments show every command and its first line", async () => {
  const { exitCode, printed } = await run([], [probe]);
  expect(exitCode).toBe(0);
  expect(printed).toContain("probe this  Looks at something.");
  expect(printed).not.toContain("In detail.");
});

test("an unknown command is named, with the ones that exist", async () => {
  const { exitCode, complaints } = await run(["fly", "away"], [probe]);
  expect(exitCode).toBe(2);
  expect(complaints).toContain('There is no command "fly away"');
  expect(complaints).toContain("probe this");
});

test("an unknown option shows how the command is used", async () => {
  const { exitCode, complaints } = await run(["probe", "this", "--nam", "x"], [probe]);
  expect(exitCode).toBe(2);
  expect(complaints).toContain("--nam");
  expect(complaints).toContain("usage: npm run local -- probe this --name NAME");
});

test("--help of a command shows its usage and all of its summary", async () => {
  const { exitCode, printed } = await run(["probe", "this", "--help"], [probe]);
  expect(exitCode).toBe(0);
  expect(printed).toContain("probe this --name NAME");
  expect(printed).toContain("In detail.");
});

test.each([
  { args: ["vm", "create", "--region", "westeurope"], missing: "--name is missing" },
  { args: ["vm", "create", "--name", "web"], missing: "--region is missing" },
  { args: ["vm", "create", "--name", "w", "--region", "r"], missing: "--os-disk is missing" },
  { args: ["disk", "write", "--disk", "d"], missing: "--offset is missing" },
  { args: ["disk", "write", "--disk", "d", "--offset", "0"], missing: "--file is missing" },
  { args: ["disk", "export", "--disk", "d"], missing: "--out is missing" },
])("$args asks for what is missing", async ({ args, missing }) => {
  const { exitCode, complaints } = await run(args, realCommands);
  expect(exitCode).toBe(2);
  expect(complaints).toContain(missing);
});

test.each(["-1", "1.5", "0x10", "ten", "99999999999999999999"])("%s is no count", (text) => {
  expect(() => requireCount({ offset: text }, "offset")).toThrow(UsageError);
});

test("tags are NAME=VALUE, and a value may hold what it likes", () => {
  expect(parseTags(["a=1", "b=x=y", "c="])).toEqual({ a: "1", b: "x=y", c: "" });
  expect(() => parseTags(["novalue"])).toThrow(UsageError);
  expect(() => parseTags(["=v"])).toThrow(UsageError);
});
