/**
 * The developer's command line. A *command* is a name of one or two words with options; it works on
 * the stack of a state directory. Whoever reads its output in a program asks for `--json`.
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, type ParseArgsConfig } from "node:util";

/** Wrong use of the command line: shown with the command's usage, exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export interface OptionValues {
  readonly [name: string]: string | boolean | readonly (string | boolean)[] | undefined;
}

export interface Command {
  /** e.g. `vm create` */
  readonly name: string;
  /** What follows the name. */
  readonly usage: string;
  readonly summary: string;
  readonly options: NonNullable<ParseArgsConfig["options"]>;
  run(context: CommandContext): Promise<number>;
}

export interface CommandContext {
  readonly stateDirectory: string;
  readonly options: OptionValues;
  readonly print: (line: string) => void;
}

const projectDirectory = fileURLToPath(new URL("../..", import.meta.url));
const stateHelp = "--state: the directory of the stack's state; .holdfast/local unless told.";
const sharedOptions = {
  state: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

/** Where a stack keeps everything unless it is told otherwise. */
export const defaultStateDirectory = resolve(projectDirectory, ".holdfast", "local");

/** Runs what the arguments name; resolves to the exit code. */
export async function runCommandLine(
  args: readonly string[],
  commands: readonly Command[],
  output: { readonly print: (line: string) => void; readonly complain: (line: string) => void },
): Promise<number> {
  const command = findCommand(args, commands);
  if (command === undefined) {
    const asked = args.length === 0 || args.some((arg) => arg === "--help" || arg === "-h");
    if (!asked) output.complain(`There is no command "${args.slice(0, 2).join(" ")}".\n`);
    (asked ? output.print : output.complain)(describeCommands(commands));
    return asked ? 0 : 2;
  }
  try {
    const options = parseOptions(command, args.slice(command.name.split(" ").length));
    if (options["help"] === true) {
      output.print(describeCommand(command));
      return 0;
    }
    const state = options["state"];
    const stateDirectory =
      typeof state === "string" ? resolve(callerDirectory(), state) : undefined;
    return await command.run({
      stateDirectory: stateDirectory ?? defaultStateDirectory,
      options,
      print: output.print,
    });
  } catch (error) {
    output.complain(error instanceof Error ? error.message : String(error));
    if (!(error instanceof UsageError)) return 1;
    output.complain(describeCommand(command));
    return 2;
  }
}

/** Where the user stands: npm runs scripts in the project's directory. */
export function callerDirectory(): string {
  return process.env["INIT_CWD"] ?? process.cwd();
}

/** A file that the user named. */
export function absolutePath(file: string): string {
  return resolve(callerDirectory(), file);
}

export function requireText(options: OptionValues, name: string): string {
  const value = options[name];
  if (typeof value !== "string" || value === "") throw new UsageError(`--${name} is missing.`);
  return value;
}

export function textList(options: OptionValues, name: string): string[] {
  const value = options[name];
  return Array.isArray(value) ? value.map(String) : [];
}

export function requireCount(options: OptionValues, name: string): number {
  const text = requireText(options, name);
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count)) {
    throw new UsageError(`--${name} takes a whole number of 0 or more, not "${text}".`);
  }
  return count;
}

/** `k=v` pairs; a value may contain `=`. */
export function parseTags(pairs: readonly string[]): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const pair of pairs) {
    const separator = pair.indexOf("=");
    if (separator < 1) throw new UsageError(`--tag takes NAME=VALUE, not "${pair}".`);
    tags[pair.slice(0, separator)] = pair.slice(separator + 1);
  }
  return tags;
}

function findCommand(args: readonly string[], commands: readonly Command[]): Command | undefined {
  return commands.find(({ name }) => name.split(" ").every((word, index) => args[index] === word));
}

function parseOptions(command: Command, args: readonly string[]): OptionValues {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...command.options, ...sharedOptions },
      strict: true,
    });
    return values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function describeCommand(command: Command): string {
  const usage = `usage: npm run local -- ${command.name} ${command.usage}`.trimEnd();
  return `${usage} [--state DIR]\n\n${command.summary}\n${stateHelp}`;
}

function describeCommands(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    "usage: npm run local -- COMMAND [OPTIONS]",
    "",
    "A whole simulated Azure on this machine, with the product in it.",
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary.split("\n")[0]}`),
    "",
    "Every command takes --state DIR (default: .holdfast/local) and --help.",
  ].join("\n");
}
