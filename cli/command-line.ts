/**
 * The command line `holdfast repo COMMAND`: reads a repository with nothing but its objects and one
 * secret. A *command* has a name, positional arguments and options of its own; all share those that
 * say where the repository lies and what opens it.
 *
 * Invariants: standard output holds results only, everything else goes to standard error; secrets
 * come from files, the environment or a prompt, never from arguments; nothing is written but the
 * file that was asked for.
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { HoldfastError, codeOf, messageOf } from "#core/lib/errors.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import type { KeyWrapper } from "#core/ports/key-wrapper.ts";
import type { Repository, ThreadCodec } from "#core/repository/index.ts";
import { parseLocation, type RepositoryLocation } from "./location.ts";
import { SECRET_OPTIONS, openWithSecret } from "./secret.ts";
import type { Terminal } from "./terminal.ts";
import { UsageError } from "./usage-error.ts";

/** What the program's exit code says. */
export const EXIT_CODES = {
  ok: 0,
  /** Something failed, or the repository is not as it should be. */
  findings: 1,
  /** The command line is wrong. */
  usage: 2,
} as const;
export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

export interface OptionValues {
  readonly [name: string]: string | boolean | readonly (string | boolean)[] | undefined;
}

export interface Command {
  /** One word, or two: `key list`. */
  readonly name: string;
  /** Positional arguments and options, as the help shows them. */
  readonly usage: string;
  readonly summary: string;
  /** Further lines of the command's own help. */
  readonly details: readonly string[];
  readonly options: NonNullable<ParseArgsConfig["options"]>;
  /** Numbers of positional arguments that make sense. */
  readonly positionalCounts: readonly number[];
  run(context: CommandContext): Promise<ExitCode>;
}

export interface CommandContext {
  readonly openVault: () => KeyWrapper;
  readonly startCodec: () => ThreadCodec | undefined;
  readonly repository: Repository;
  readonly positionals: readonly string[];
  readonly options: OptionValues;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

export interface CommandLineTools {
  readonly commands: readonly Command[];
  readonly terminal: Terminal;
  readonly openStore: (
    location: RepositoryLocation,
    environment: Terminal["environment"],
  ) => BlobStore;
  /** Key vaults, reached with the operator's identity. */
  readonly openVault: () => KeyWrapper;
  /** Threads that decode blocks, for commands that read many. Whoever starts them ends them. */
  readonly startCodec: () => ThreadCodec | undefined;
  readonly signal: AbortSignal;
}

const SHARED_OPTIONS = {
  ...SECRET_OPTIONS,
  repository: { type: "string" },
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

/** Runs what the arguments name. Never throws: what failed is said on standard error. */
export async function runCommandLine(
  args: readonly string[],
  tools: CommandLineTools,
): Promise<ExitCode> {
  const { terminal, commands, signal } = tools;
  const command = commands.find(({ name }) =>
    ["repo", ...name.split(" ")].every((word, index) => args[index] === word),
  );
  if (command === undefined) {
    const isAsked = args.length === 0 || args.some((arg) => arg === "--help" || arg === "-h");
    if (isAsked) {
      terminal.print(describeCommands(commands));
      return EXIT_CODES.ok;
    }
    const words = args.slice(0, 2).filter((word) => !word.startsWith("-"));
    terminal.complain(`holdfast: there is no command "${words.join(" ")}". See holdfast --help.`);
    return EXIT_CODES.usage;
  }
  try {
    return await runCommand(command, args.slice(1 + command.name.split(" ").length), tools);
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.complain(`holdfast: ${error.message} See holdfast repo ${command.name} --help.`);
      return EXIT_CODES.usage;
    }
    // Who reads the output has gone: there is nobody to tell.
    if (!isClosedPipe(error)) terminal.complain(`holdfast: ${describeError(error, signal)}`);
    return EXIT_CODES.findings;
  }
}

async function runCommand(
  command: Command,
  args: readonly string[],
  { terminal, openStore, openVault, startCodec, signal }: CommandLineTools,
): Promise<ExitCode> {
  const { values: options, positionals } = parse(command, args);
  if (options["help"] === true) {
    terminal.print(describeCommand(command));
    return EXIT_CODES.ok;
  }
  if (!command.positionalCounts.includes(positionals.length)) {
    throw new UsageError(`It takes: ${command.name} ${command.usage}.`);
  }
  const place = textOf(options, "repository") ?? terminal.environment["HOLDFAST_REPOSITORY"];
  if (place === undefined || place === "") {
    throw new UsageError("Say where the repository is: --repository FOLDER or URL.");
  }
  const store = openStore(parseLocation(place, terminal.directory), terminal.environment);
  const repository = await openWithSecret(store, { options, terminal, openVault }, signal);
  return command.run({
    repository,
    positionals,
    options,
    terminal,
    openVault,
    startCodec,
    signal,
  });
}

function parse(command: Command, args: readonly string[]) {
  try {
    const options = { ...command.options, ...SHARED_OPTIONS };
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${messageOf(error).split(". ", 1)[0]}.`);
  }
}

/** The value of a text option; undefined when it was not given. */
export function textOf(options: OptionValues, name: string): string | undefined {
  const value = options[name];
  return typeof value === "string" ? value : undefined;
}

/** A whole number of 0 or more; undefined when it was not given. */
export function countOf(options: OptionValues, name: string): number | undefined {
  const text = textOf(options, name);
  if (text === undefined) return undefined;
  const count = Number(text);
  if (/^[0-9]+$/.test(text) && Number.isSafeInteger(count)) return count;
  throw new UsageError(`--${name} takes a whole number of 0 or more, not "${text}".`);
}

function isClosedPipe(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EPIPE";
}

/** One line: what failed, on what, what to do. */
function describeError(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return "Stopped. Nothing was left behind; run the command again.";
  const line = messageOf(error)
    .trim()
    .replaceAll(/\s*\n\s*/g, "; ");
  if (error instanceof HoldfastError) return line;
  return `It failed unexpectedly (${codeOf(error)}): ${line}`;
}

const SHARED_HELP = [
  "--repository PLACE      folder, or https://ACCOUNT.blob.core.windows.net/CONTAINER/FOLDER;",
  "                        HOLDFAST_REPOSITORY when it is not given",
  "--password-file FILE    else HOLDFAST_REPOSITORY_PASSWORD, else a prompt",
  "--recovery-key-file FILE",
  "                        else HOLDFAST_REPOSITORY_RECOVERY_KEY",
  "--key-vault-key URL     a key of Azure Key Vault that wraps the repository's key",
  "--json                  for programs (where there is a table)",
  "",
  "A container is reached with your Azure identity (az login, managed identity, environment), or",
  "with a SAS in HOLDFAST_REPOSITORY_SAS. Exit codes: 0 ok, 1 findings or an error, 2 wrong usage.",
];

function describeCommand({ name, usage, summary, details }: Command): string {
  return [
    `usage: holdfast repo ${name} ${usage}`.trimEnd(),
    "",
    summary,
    ...details,
    "",
    ...SHARED_HELP,
  ].join("\n");
}

function describeCommands(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name, usage }) => `${name} ${usage}`.length));
  return [
    "usage: holdfast repo COMMAND [ARGUMENT]... [OPTION]...",
    "",
    "Reads a backup repository with nothing but its objects and one of its secrets.",
    "",
    ...commands.map(
      ({ name, usage, summary }) => `  ${`${name} ${usage}`.padEnd(width)}  ${summary}`,
    ),
    "",
    ...SHARED_HELP,
  ].join("\n");
}
