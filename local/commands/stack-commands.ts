import { spawn } from "node:child_process";
import { mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startStack } from "#local/stack.ts";
import { callStack, findStack } from "#local/stack/control-client.ts";
import type { VerbOutput } from "#local/stack/control-protocol.ts";
import { repositorySecretName } from "#local/stack/secrets.ts";
import { isRunning } from "#local/stack/state-lock.ts";
import { requireCount, UsageError, type Command, type CommandContext } from "./command-line.ts";

const mainProgram = fileURLToPath(new URL("../main.ts", import.meta.url));
const detachedStartTimeoutMs = 180_000;
const stopTimeoutMs = 60_000;
const pollMs = 200;
const logTailLines = 40;
const logNames = ["functions", "storage", "stack"] as const;

export const stackCommands: readonly Command[] = [
  {
    name: "up",
    usage: "[--detach] [--port-base PORT]",
    summary:
      "Starts the simulated Azure with the product in it, and prints its addresses.\n" +
      "State that `down` left behind is taken up again; without --detach, Ctrl+C stops it.\n" +
      "--detach: in the background; returns when everything answers. Does nothing when it runs already.\n" +
      "--port-base: first of nine ports in a row; free ones are found without it, and kept.",
    options: { detach: { type: "boolean" }, "port-base": { type: "string" } },
    run: (context) => (context.options["detach"] === true ? detach(context) : stayUp(context)),
  },
  {
    name: "down",
    usage: "",
    summary:
      "Stops the stack with its workers; its state stays.\n" +
      "To begin anew, remove the state directory while nothing runs.",
    options: {},
    async run({ stateDirectory, print }) {
      const stack = await findStack(stateDirectory);
      if (stack === undefined) {
        print(`No stack runs on ${stateDirectory}.`);
        return 0;
      }
      await callStack(stateDirectory, "stop", {});
      await until(() => !isRunning(stack.processId), stopTimeoutMs, "The stack does not end.");
      print("Stopped.");
      return 0;
    },
  },
  {
    name: "status",
    usage: "[--json]",
    summary:
      "Shows whether a stack runs, and where.\n" +
      "The exit code is 0 when one runs and 3 when none does.",
    options: { json: { type: "boolean" } },
    async run({ stateDirectory, options, print }) {
      if ((await findStack(stateDirectory)) === undefined) {
        print(`No stack runs on ${stateDirectory}.`);
        return 3;
      }
      const status = await callStack(stateDirectory, "status", {});
      if (options["json"] === true) print(JSON.stringify(status, undefined, 2));
      else describeStatus(status, print);
      return 0;
    },
  },
  {
    name: "token",
    usage: "",
    summary:
      "Prints a bearer token for the product's API, valid for an hour.\n" +
      "For a script: TOKEN=$(npm run --silent local -- token)",
    options: {},
    async run({ stateDirectory, print }) {
      print((await callStack(stateDirectory, "token", {})).token);
      return 0;
    },
  },
  {
    name: "logs",
    usage: "[--name functions|storage|stack] [--lines N]",
    summary:
      "Prints the end of a log.\n" +
      "--name: functions (the app and its host, the default), storage (the storage emulator),\n" +
      "stack (a detached stack's own output).\n" +
      `--lines: how many, ${logTailLines} unless told.`,
    options: { name: { type: "string" }, lines: { type: "string" } },
    async run({ stateDirectory, options, print }) {
      const name = options["name"] ?? "functions";
      const known = logNames.find((candidate) => candidate === name);
      if (known === undefined) throw new UsageError(`--name takes ${logNames.join(", ")}.`);
      const count = options["lines"] === undefined ? logTailLines : requireCount(options, "lines");
      print(await readTail(join(stateDirectory, "logs", `${known}.log`), count));
      return 0;
    },
  },
];

async function stayUp({ stateDirectory, options, print }: CommandContext): Promise<number> {
  const stopAsked = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => stopAsked.resolve());
  }
  const stack = await startStack({
    stateDirectory,
    ...(options["port-base"] === undefined ? {} : { portBase: requireCount(options, "port-base") }),
    onStopAsked: () => stopAsked.resolve(),
  });
  describeStatus(stack.status(), print);
  await stopAsked.promise;
  print("Stopping ...");
  await stack.stop();
  return 0;
}

async function detach({ stateDirectory, options, print }: CommandContext): Promise<number> {
  if ((await findStack(stateDirectory)) === undefined) {
    await mkdir(join(stateDirectory, "logs"), { recursive: true });
    const logFile = join(stateDirectory, "logs", "stack.log");
    const log = await open(logFile, "a");
    const portBase = options["port-base"];
    const child = spawn(
      process.execPath,
      [
        mainProgram,
        "up",
        "--state",
        stateDirectory,
        ...(typeof portBase === "string" ? ["--port-base", portBase] : []),
      ],
      { detached: true, stdio: ["ignore", log.fd, log.fd] },
    );
    await log.close();
    let ended = false;
    child.once("exit", () => (ended = true));
    child.once("error", () => (ended = true));
    const isUp = async () => {
      if (ended) {
        throw new Error(`The stack did not start:\n${await readTail(logFile, logTailLines)}`);
      }
      return (await findStack(stateDirectory)) !== undefined;
    };
    await until(isUp, detachedStartTimeoutMs, `The stack does not start; see ${logFile}`);
    child.unref();
  }
  describeStatus(await callStack(stateDirectory, "status", {}), print);
  return 0;
}

function describeStatus(status: VerbOutput<"status">, print: (line: string) => void): void {
  const { addresses } = status;
  print(`API               ${addresses.api}`);
  print(`Resource Manager  ${addresses.resourceManager}`);
  print(`Backups go to     ${addresses.blob} (secret "${repositorySecretName}")`);
  print(`State, logs       ${status.stateDirectory}`);
  print(`Functions host    ${status.functionsHost}`);
  print("");
  print('A call:  curl -H "Authorization: Bearer $(npm run -s local -- token)" \\');
  print(`           ${addresses.api}/protected-vms`);
}

async function until(
  isDone: () => boolean | Promise<boolean>,
  timeoutMs: number,
  complaint: string,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new Error(complaint);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

async function readTail(file: string, lineCount: number): Promise<string> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.trimEnd().split("\n").slice(-lineCount).join("\n");
}
