import { spawn, type ChildProcess } from "node:child_process";
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";

export interface FunctionsProcessOptions {
  /** Folder with host.json and package.json. */
  readonly appDirectory: string;
  readonly port: number;
  /** The app's settings: its whole environment beside PATH. */
  readonly settings: Readonly<Record<string, string>>;
  readonly logFile: string;
  /** Words before the command line, for an app in a network of its own. */
  readonly commandPrefix?: readonly string[] | undefined;
}

const program = fileURLToPath(new URL("../functions-host/main.ts", import.meta.url));
const preload = new URL("end-with-parent.ts", import.meta.url).href;
const readyTimeoutMs = 60_000;
const readyPollMs = 100;
const restartDelayMs = 1000;
/** An app that ends this often in a row without ever being ready is broken, not unlucky. */
const failedStartsMax = 3;

/**
 * The Functions host with the app, as a child process. It is started again when it ends by itself, as
 * Azure does; not when `kill` ended it.
 */
export class FunctionsProcess {
  readonly #options: FunctionsProcessOptions;
  #child: ChildProcess | undefined;
  #wanted = false;
  #failedStarts = 0;
  #restart: NodeJS.Timeout | undefined;

  constructor(options: FunctionsProcessOptions) {
    this.#options = options;
  }

  get processId(): number | undefined {
    return this.#child?.pid;
  }

  get state(): "running" | "stopped" {
    return this.#child === undefined ? "stopped" : "running";
  }

  /** Starts it unless it runs; resolves when it answers requests. */
  async start(): Promise<void> {
    this.#wanted = true;
    this.#failedStarts = 0;
    if (this.#child === undefined) await this.#spawn();
    await this.#waitUntilReady();
  }

  /** Sends the signal, waits for its end and leaves it stopped. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    this.#wanted = false;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  async #spawn(): Promise<void> {
    const { appDirectory, port, settings, logFile, commandPrefix = [] } = this.#options;
    const log = await open(logFile, "a");
    try {
      const node = [process.execPath, "--import", preload, program];
      const [command = "", ...words] = [...commandPrefix, ...node];
      const child = spawn(command, [...words, "--app", appDirectory, "--port", String(port)], {
        stdio: ["ignore", log.fd, log.fd, "ipc"],
        // Its own group: Ctrl-C reaches the stack only, which then stops its parts in order.
        detached: true,
        env: { PATH: process.env["PATH"] ?? "", NODE_NO_WARNINGS: "1", ...settings },
      });
      this.#child = child;
      child.once("exit", () => this.#onExit());
    } finally {
      await log.close();
    }
  }

  #onExit(): void {
    this.#child = undefined;
    this.#failedStarts++;
    if (!this.#wanted || this.#failedStarts > failedStartsMax) return;
    this.#restart = setTimeout(() => void this.#spawn(), restartDelayMs);
  }

  async #waitUntilReady(): Promise<void> {
    const deadline = Date.now() + readyTimeoutMs;
    while (Date.now() < deadline && this.#failedStarts <= failedStartsMax) {
      if (await answers(this.#options.port)) {
        this.#failedStarts = 0;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, readyPollMs));
    }
    await this.kill("SIGKILL");
    throw new Error(`The functions host does not start; see ${this.#options.logFile}`);
  }
}

/** Whether the host has the app loaded: before, it answers 503. */
async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, { redirect: "manual" });
    await response.arrayBuffer();
    return response.status !== 503;
  } catch {
    return false;
  }
}
