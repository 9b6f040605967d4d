import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { FixtureBuild } from "./fixture-build.ts";

export interface HostProcessOptions {
  readonly build: FixtureBuild;
  readonly connectionString: string;
  readonly settings?: Readonly<Record<string, string>>;
}

const pollMs = 25;
const patienceMs = 30_000;

/** Waits until `probe` gives something. */
export async function eventually<Value>(
  what: string,
  probe: () => Promise<Value | undefined> | Value | undefined,
): Promise<Value> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(pollMs);
  }
}

export interface InstanceStatus {
  readonly name: string;
  readonly runtimeStatus: string;
  readonly output: unknown;
  readonly customStatus: unknown;
  readonly input: unknown;
  readonly historyEvents?: { readonly EventType: string; readonly Result?: unknown }[];
}

/** The host program with the fixture app. */
export class HostProcess implements AsyncDisposable {
  readonly url: string;
  readonly logLines: string[];
  readonly #child: ChildProcess;
  readonly #journalFile: string;

  private constructor(child: ChildProcess, url: string, logLines: string[], journalFile: string) {
    this.#child = child;
    this.url = url;
    this.logLines = logLines;
    this.#journalFile = journalFile;
  }

  static async start(options: HostProcessOptions): Promise<HostProcess> {
    const { build, connectionString, settings = {} } = options;
    const program = join(import.meta.dirname, "../../../local/functions-host/main.ts");
    const child = spawn(process.execPath, [program, "--app", build.directory, "--port", "0"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        PATH: process.env["PATH"],
        AzureWebJobsStorage: connectionString,
        WorkStorage: connectionString,
        WORK_QUEUE: "work-items",
        HUB_NAME: "FixtureHub",
        TICK_SCHEDULE: "0 0 0 1 1 *",
        JOURNAL_FILE: build.journalFile,
        HOLDFAST_LOCAL_DURABLE_VISIBILITY_SECONDS: "1",
        ...settings,
      },
    });
    const logLines: string[] = [];
    const ready = Promise.withResolvers<string>();
    createInterface({ input: child.stdout }).on("line", (line) => {
      logLines.push(line);
      const url = /^functions host ready on (.*)$/.exec(line)?.[1];
      if (url !== undefined) ready.resolve(url);
    });
    child.once("exit", (code) =>
      ready.reject(new Error(`host ended (${code}): ${logLines.join("\n")}`)),
    );
    return new HostProcess(child, await ready.promise, logLines, build.journalFile);
  }

  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, init);
  }

  async post(path: string, body?: unknown): Promise<Response> {
    return this.fetch(path, {
      method: "POST",
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
  }

  /** Starts an orchestration through the app; gives the management addresses. */
  async start(name: string, id: string, input?: unknown): Promise<Record<string, string>> {
    const response = await this.post(`/api/start/${name}/${id}`, input);
    if (response.status !== 202) throw new Error(`start ${name}: ${await response.text()}`);
    return (await response.json()) as Record<string, string>;
  }

  async status(urls: Record<string, string>, query = ""): Promise<InstanceStatus> {
    const response = await fetch(`${urls["statusQueryGetUri"]}${query}`);
    return (await response.json()) as InstanceStatus;
  }

  async untilEnded(urls: Record<string, string>): Promise<InstanceStatus> {
    return eventually(`the end of ${urls["id"]}`, async () => {
      const status = await this.status(urls);
      const isEnded = ["Completed", "Failed", "Terminated"].includes(status.runtimeStatus);
      return isEnded ? status : undefined;
    });
  }

  async run(name: string, id: string, input?: unknown): Promise<InstanceStatus> {
    return this.untilEnded(await this.start(name, id, input));
  }

  /** What the app wrote down of these kinds, in order. */
  journal(...kinds: string[]): Record<string, unknown>[] {
    let text: string;
    try {
      text = readFileSync(this.#journalFile, "utf8");
    } catch {
      return []; // nothing written yet
    }
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter((entry) => kinds.includes(String(entry["kind"])));
  }

  /** Ends it with a signal; the exit code, null when the signal killed it. */
  async end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null> {
    this.#child.kill(signal);
    return this.untilExit();
  }

  async untilExit(): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      await once(this.#child, "exit");
    }
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end("SIGKILL");
  }
}
