/**
 * Storage accounts of the simulated Azure. An *account* is a name and a key; its data lives in one
 * Azurite that all accounts of a stack share. A name that was never made, or was deleted, is refused
 * by all three services; an account made again under a name that was deleted is empty.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { deleteAccountData } from "./account-data.ts";
import { AzuriteProcess, type AzuriteOptions } from "./azurite-process.ts";
import type { StorageBackend, StorageEndpoints } from "./storage-backend.ts";

const keySizeBytes = 64;
const accountsSchema = z.array(z.object({ name: z.string(), key: z.string() }));
type Accounts = z.infer<typeof accountsSchema>;

export interface AzuriteBackendOptions {
  /** Accounts and data; survives a restart. */
  readonly stateDirectory: string;
  readonly logFile: string;
  readonly ports: AzuriteOptions["ports"];
  readonly tls: AzuriteOptions["tls"];
}

export class AzuriteBackend implements StorageBackend {
  readonly #options: AzuriteBackendOptions;
  readonly #azurite: AzuriteProcess;
  readonly #accounts: Map<string, string>;
  #change: Promise<void> = Promise.resolve();

  private constructor(options: AzuriteBackendOptions, azurite: AzuriteProcess, known: Accounts) {
    this.#options = options;
    this.#azurite = azurite;
    this.#accounts = new Map(known.map(({ name, key }) => [name, key]));
  }

  static async start(options: AzuriteBackendOptions): Promise<AzuriteBackend> {
    await mkdir(options.stateDirectory, { recursive: true });
    const accounts = await readAccounts(options.stateDirectory);
    const azurite = await AzuriteProcess.start({
      stateDirectory: join(options.stateDirectory, "azurite"),
      logFile: options.logFile,
      ports: options.ports,
      tls: options.tls,
      accounts,
    });
    return new AzuriteBackend(options, azurite, accounts);
  }

  get processId(): number | undefined {
    return this.#azurite.processId;
  }

  async createAccount(name: string): Promise<{ key: string }> {
    return this.#serially(async () => {
      const existing = this.#accounts.get(name);
      if (existing !== undefined) return { key: existing };
      const key = randomBytes(keySizeBytes).toString("base64");
      this.#accounts.set(name, key);
      await this.#publish();
      return { key };
    });
  }

  async deleteAccount(name: string): Promise<void> {
    await this.#serially(async () => {
      const key = this.#accounts.get(name);
      if (key === undefined) return;
      await deleteAccountData({ name, key }, this.endpoints(name));
      this.#accounts.delete(name);
      await this.#publish();
    });
  }

  endpoints(name: string): StorageEndpoints {
    if (!this.#accounts.has(name)) throw new Error(`There is no storage account ${name}.`);
    const { ports } = this.#options;
    return {
      blob: `https://127.0.0.1:${ports.blob}/${name}/`,
      queue: `https://127.0.0.1:${ports.queue}/${name}/`,
      table: `https://127.0.0.1:${ports.table}/${name}/`,
    };
  }

  /** As the Functions host's own storage setting takes it. */
  connectionString(name: string): string {
    const { blob, queue, table } = this.endpoints(name);
    const key = this.#accounts.get(name);
    return (
      `DefaultEndpointsProtocol=https;AccountName=${name};AccountKey=${key};` +
      `BlobEndpoint=${blob};QueueEndpoint=${queue};TableEndpoint=${table};`
    );
  }

  async stop(): Promise<void> {
    await this.#change;
    await this.#azurite.stop();
  }

  async #publish(): Promise<void> {
    const accounts = [...this.#accounts].map(([name, key]) => ({ name, key }));
    await writeAccounts(this.#options.stateDirectory, accounts);
    await this.#azurite.setAccounts(accounts);
  }

  #serially<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#change.then(work);
    this.#change = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }
}

async function readAccounts(stateDirectory: string): Promise<Accounts> {
  try {
    return accountsSchema.parse(
      JSON.parse(await readFile(join(stateDirectory, "accounts.json"), "utf8")),
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

async function writeAccounts(stateDirectory: string, accounts: Accounts): Promise<void> {
  const file = join(stateDirectory, "accounts.json");
  await writeFile(`${file}.new`, JSON.stringify(accounts), { mode: 0o600 });
  await rename(`${file}.new`, file);
}
