import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";

/** The account and key that every Azurite knows; published in its documentation. */
const accountName = "devstoreaccount1";
const accountKey =
  "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

const preload = import.meta.resolve("#local/storage/without-telemetry.ts");

/** An Azurite in memory on free ports, for one test file. */
export class AzuriteProcess implements AsyncDisposable {
  readonly connectionString: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, ports: ReadonlyMap<string, string>) {
    this.#child = child;
    const endpoint = (service: string): string =>
      `${service}Endpoint=http://127.0.0.1:${ports.get(service)}/${accountName}`;
    this.connectionString = `DefaultEndpointsProtocol=http;AccountName=${accountName};AccountKey=${accountKey};${endpoint("Blob")};${endpoint("Queue")};${endpoint("Table")};`;
  }

  static async start(): Promise<AzuriteProcess> {
    const require = createRequire(import.meta.url);
    const program = join(dirname(require.resolve("azurite/package.json")), "dist/src/azurite.js");
    const flags = [
      "--inMemoryPersistence",
      "--skipApiVersionCheck",
      "--disableTelemetry",
      "--silent",
    ];
    const ports = ["blob", "queue", "table"].flatMap((service) => [`--${service}Port`, "0"]);
    const child = spawn(process.execPath, ["--import", preload, program, ...flags, ...ports], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const found = new Map<string, string>();
    for await (const line of createInterface({ input: child.stdout })) {
      const match =
        /Azurite (Blob|Queue|Table) service .*listening (?:at|on) http:\/\/[^:]+:(\d+)/.exec(line);
      const [, service, port] = match ?? [];
      if (service !== undefined && port !== undefined) found.set(service, port);
      if (found.size === 3) break;
    }
    return new AzuriteProcess(child, found);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      await once(this.#child, "exit");
    }
  }
}
