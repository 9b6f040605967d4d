import { spawn } from "node:child_process";
import { mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { fileExists } from "./guest-directory.ts";
import { sendSignal } from "./guest-processes.ts";

/**
 * One run of a script in a guest, as the Linux Run Command agent does it
 * (Azure/run-command-handler-linux, internal/exec/exec.go and internal/cmds/cmds.go):
 * the script is saved as `script.sh` in a folder of its run, made executable and started through
 * `/bin/bash -c`, with stdout and stderr going to files beside it; *named* parameters are environment
 * variables, parameters without a name are appended to the command line, parameters with an empty
 * value are left out, protected ones come after the others. The run outlives the simulator: its
 * exit code is written to a file too.
 */
export interface ScriptParameter {
  readonly name: string;
  readonly value: string;
}

type ScriptState = "Succeeded" | "Failed" | "TimedOut" | "Canceled";

interface ScriptResult {
  readonly state: ScriptState;
  /** Undefined when the script did not end by itself. */
  readonly exitCode: number | undefined;
  readonly startedAt: Date;
  readonly endedAt: Date;
}

export interface ScriptRun {
  readonly startedAt: Date;
  /** Never rejects because of what the script does. */
  readonly finished: Promise<ScriptResult>;
  /** The last 4,096 bytes of each stream, now. */
  readTail(): Promise<ScriptOutput>;
  /** Ends the script's process group; the run is then `Canceled`. */
  cancel(): void;
}

interface ScriptOutput {
  readonly output: string;
  readonly error: string;
}

export interface ScriptStart {
  readonly folder: string;
  readonly script: string;
  readonly parameters: readonly ScriptParameter[];
  readonly protectedParameters: readonly ScriptParameter[];
  readonly environment: Readonly<Record<string, string>>;
  /** Zero or absent: no limit. */
  readonly timeoutSeconds?: number | undefined;
  /** Words before the shell's command line. */
  readonly commandPrefix: readonly string[];
}

/** `maxTailLen` of the Run Command agent; the action run command has the same limit. */
const outputTailBytes = 4_096;
const adoptedPollMs = 200;
/** Bounds the wait for a file that appears together with the end of the process. */
const exitFileAttempts = 25;

const recordSchema = z.object({
  processId: z.number(),
  startedAt: z.string(),
  deadline: z.string().nullable(),
});
const recordFile = "run.json";
const exitFile = "exit-code";

/** Starts the script and resolves as soon as its process exists. */
export async function startScript(start: ScriptStart): Promise<ScriptRun> {
  const { folder } = start;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const scriptFile = join(folder, "script.sh");
  await writeFile(scriptFile, start.script.replaceAll("\r\n", "\n"), { mode: 0o500 });

  const given = [...start.parameters, ...start.protectedParameters].filter(
    ({ value }) => value !== "",
  );
  const named = given.filter(({ name }) => name !== "");
  const positional = given.filter(({ name }) => name === "").map(({ value }) => ` ${value}`);
  const stdout = await open(join(folder, "stdout"), "w", 0o600);
  const stderr = await open(join(folder, "stderr"), "w", 0o600);
  try {
    const shell = ["/bin/bash", "-c", commandLine(folder, scriptFile, positional.join(""))];
    const [program = "", ...words] = [...start.commandPrefix, ...shell];
    const child = spawn(program, words, {
      cwd: folder,
      env: {
        ...start.environment,
        ...Object.fromEntries(named.map(({ name, value }) => [name, value])),
      },
      stdio: ["ignore", stdout.fd, stderr.fd],
      // A group of its own, so that a timeout ends the script and what it waits for.
      detached: true,
    });
    const exited = new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", () => resolve());
    });
    exited.catch(() => undefined);
    const processId = child.pid;
    if (processId === undefined) {
      await exited;
      throw new Error("the shell did not start");
    }
    child.unref();
    const startedAt = new Date();
    const deadline =
      start.timeoutSeconds === undefined || start.timeoutSeconds === 0
        ? undefined
        : new Date(startedAt.getTime() + start.timeoutSeconds * 1000);
    const record = {
      processId,
      startedAt: startedAt.toISOString(),
      deadline: deadline?.toISOString() ?? null,
    };
    await writeFile(join(folder, `${recordFile}.new`), JSON.stringify(record));
    await rename(join(folder, `${recordFile}.new`), join(folder, recordFile));
    return watchRun({ folder, processId, startedAt, deadline, exited });
  } finally {
    await stdout.close();
    await stderr.close();
  }
}

/**
 * The run that an earlier life of the simulator started in `folder`, or undefined when it never got
 * as far. @param isAlive tells whether a process of that guest still has this id
 */
export async function adoptScript(
  folder: string,
  isAlive: (processId: number) => Promise<boolean>,
): Promise<ScriptRun | undefined> {
  const file = join(folder, recordFile);
  if (!(await fileExists(file))) return undefined;
  const record = recordSchema.parse(JSON.parse(await readFile(file, "utf8")));
  return watchRun({
    folder,
    processId: record.processId,
    startedAt: new Date(record.startedAt),
    deadline: record.deadline === null ? undefined : new Date(record.deadline),
    exited: waitWhileAlive(record.processId, folder, isAlive),
  });
}

async function waitWhileAlive(
  processId: number,
  folder: string,
  isAlive: (processId: number) => Promise<boolean>,
): Promise<void> {
  while (!(await fileExists(join(folder, exitFile))) && (await isAlive(processId))) {
    await sleep(adoptedPollMs, undefined, { ref: false });
  }
}

function watchRun(run: {
  folder: string;
  processId: number;
  startedAt: Date;
  deadline: Date | undefined;
  exited: Promise<void>;
}): ScriptRun {
  let ending: "TimedOut" | "Canceled" | undefined;
  const endGroup = (reason: "TimedOut" | "Canceled") => {
    ending ??= reason;
    sendSignal(-run.processId, "SIGKILL");
  };
  const timer =
    run.deadline === undefined
      ? undefined
      : setTimeout(() => endGroup("TimedOut"), run.deadline.getTime() - Date.now());
  timer?.unref();
  const finished = run.exited
    .finally(() => clearTimeout(timer))
    .then(async (): Promise<ScriptResult> => {
      const exitCode = await readExitCode(run.folder, ending === undefined);
      const state = ending ?? stateOf(exitCode);
      return { state, exitCode, startedAt: run.startedAt, endedAt: new Date() };
    });
  return {
    startedAt: run.startedAt,
    finished,
    readTail: async () => ({
      output: await readTail(join(run.folder, "stdout")),
      error: await readTail(join(run.folder, "stderr")),
    }),
    cancel: () => endGroup("Canceled"),
  };
}

/** A script whose shell was killed from outside left no exit code. */
function stateOf(exitCode: number | undefined): ScriptState {
  if (exitCode === undefined) return "Canceled";
  return exitCode === 0 ? "Succeeded" : "Failed";
}

async function readExitCode(folder: string, isExpected: boolean): Promise<number | undefined> {
  const file = join(folder, exitFile);
  for (let attempt = 0; attempt < exitFileAttempts; attempt++) {
    if (await fileExists(file)) return Number(await readFile(file, "utf8"));
    // The shell renames the file before it exits: it is there unless the shell was killed.
    if (!isExpected || attempt > 1) return undefined;
    await sleep(adoptedPollMs);
  }
  return undefined;
}

function commandLine(folder: string, scriptFile: string, positional: string): string {
  const exitPath = quote(join(folder, exitFile));
  return [
    `${quote(scriptFile)}${positional}`,
    "status=$?",
    `printf %s "$status" > ${exitPath}.new && mv ${exitPath}.new ${exitPath}`,
    'exit "$status"',
  ].join("\n");
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

async function readTail(file: string): Promise<string> {
  const bytes = await readFile(file).catch(() => Buffer.alloc(0));
  return bytes.subarray(Math.max(0, bytes.byteLength - outputTailBytes)).toString("utf8");
}
