import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  azuriteReportSchema,
  type AzuriteOrder,
  type AzuriteReport,
  type AzuriteSettings,
} from "./azurite-messages.ts";

export interface AzuriteOptions {
  /** Azurite's data; created when missing. */
  readonly stateDirectory: string;
  readonly logFile: string;
  readonly ports: { readonly blob: number; readonly queue: number; readonly table: number };
  /** PEM files; one certificate for all three services. */
  readonly tls: {
    readonly certificateFile: string;
    readonly keyFile: string;
    /** Who signed it: Azurite asks itself whether a SAS of a copy's source is good. */
    readonly authorityFile?: string;
  };
  /** What the first request may use already. */
  readonly settings: AzuriteSettings;
}

const startTimeoutMs = 60_000;
const program = fileURLToPath(new URL("azurite-program.ts", import.meta.url));

/** One Azurite with blob, queue and table service on 127.0.0.1, over TLS. */
export class AzuriteProcess {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #logFile: string;
  #revision = 0;

  private constructor(child: ChildProcess, logFile: string) {
    this.#child = child;
    this.#logFile = logFile;
    this.#exited = new Promise((resolve) => {
      child.once("exit", () => resolve());
    });
  }

  /** Resolves when all three services listen and know the accounts. */
  static async start(options: AzuriteOptions): Promise<AzuriteProcess> {
    await mkdir(options.stateDirectory, { recursive: true });
    const { authorityFile } = options.tls;
    const log = await open(options.logFile, "a");
    try {
      const child = spawn(process.execPath, [program, ...argumentsOf(options)], {
        stdio: ["ignore", log.fd, log.fd, "ipc"],
        // Its own group: Ctrl-C in a terminal reaches the stack only, which then stops Azurite last.
        detached: true,
        env: {
          PATH: process.env["PATH"] ?? "",
          NODE_NO_WARNINGS: "1",
          ...(authorityFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: authorityFile }),
        },
      });
      const started = new AzuriteProcess(child, options.logFile);
      const ready = started.#next((report) => report.kind === "ready");
      await Promise.all([ready, started.setSettings(options.settings)]);
      return started;
    } finally {
      await log.close();
    }
  }

  get processId(): number | undefined {
    return this.#child.pid;
  }

  /** What holds from now on; resolves when requests see it. */
  async setSettings(settings: AzuriteSettings): Promise<void> {
    await this.#order((revision) => ({ kind: "settings", revision, settings }));
  }

  /** The next `requestCount` requests to the account's blobs are answered 503 `ServerBusy`. */
  async makeBusy(account: string, requestCount: number): Promise<void> {
    await this.#order((revision) => ({ kind: "busy", revision, account, requestCount }));
  }

  /** Saves and ends. Never SIGKILL: Azurite would lose what it has acknowledged in its last minute. */
  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill("SIGTERM");
    }
    await this.#exited;
  }

  async #order(make: (revision: number) => AzuriteOrder): Promise<void> {
    const revision = ++this.#revision;
    const taken = this.#next((report) => report.kind === "taken" && report.revision === revision);
    this.#child.send(make(revision));
    await taken;
  }

  async #next(isWanted: (report: AzuriteReport) => boolean): Promise<void> {
    const deadline = AbortSignal.timeout(startTimeoutMs);
    const wanted = Promise.withResolvers<void>();
    const onMessage = (message: unknown) => {
      const report = azuriteReportSchema.safeParse(message);
      if (report.success && isWanted(report.data)) wanted.resolve();
    };
    const onExit = () => wanted.reject(new Error(`Azurite ended; see ${this.#logFile}`));
    this.#child.on("message", onMessage).on("exit", onExit).on("error", wanted.reject);
    const late = once(deadline, "abort").then(() => {
      throw new Error(`Azurite did not answer within ${startTimeoutMs} ms; see ${this.#logFile}`);
    });
    late.catch(() => undefined); // the race below reports it when it matters
    try {
      await Promise.race([wanted.promise, late]);
    } finally {
      this.#child.off("message", onMessage).off("exit", onExit).off("error", wanted.reject);
    }
  }
}

function argumentsOf({ stateDirectory, ports, tls }: AzuriteOptions): string[] {
  return [
    "--location",
    join(stateDirectory),
    "--blobPort",
    String(ports.blob),
    "--queuePort",
    String(ports.queue),
    "--tablePort",
    String(ports.table),
    "--cert",
    tls.certificateFile,
    "--key",
    tls.keyFile,
    "--oauth",
    "basic",
    "--silent",
    "--skipApiVersionCheck",
    "--disableTelemetry",
  ];
}
