/**
 * Storage accounts of the simulated Azure. An *account* is a name and a key; its data lives in one
 * Azurite that all accounts of a stack share. A name that was never made, or was deleted, is refused
 * by all three services; an account made again under a name that was deleted is empty.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { deleteAccountData } from "./account-data.ts";
import {
  accountsSchema,
  openNetwork,
  type AccessSettings,
  type Account,
  type AzuriteSettings,
  type NetworkSettings,
} from "./azurite-messages.ts";
import { AzuriteProcess, type AzuriteOptions } from "./azurite-process.ts";
import type { ProtectionChange, StorageBackend, StorageEndpoints } from "./storage-backend.ts";

const keySizeBytes = 64;
/** Hours in Azure; here long enough to be seen waiting, and short enough to be waited for. */
const rehydrationSeconds = { standard: 30, high: 5 };

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
  readonly #accounts: Map<string, Account>;
  #clockAheadMs = 0;
  #network: NetworkSettings = openNetwork;
  #access: AccessSettings | undefined;
  #change: Promise<void> = Promise.resolve();

  private constructor(options: AzuriteBackendOptions, azurite: AzuriteProcess, known: Account[]) {
    this.#options = options;
    this.#azurite = azurite;
    this.#accounts = new Map(known.map((account) => [account.name, account]));
  }

  static async start(options: AzuriteBackendOptions): Promise<AzuriteBackend> {
    await mkdir(options.stateDirectory, { recursive: true });
    const accounts = await readAccounts(options.stateDirectory);
    const azurite = await AzuriteProcess.start({
      stateDirectory: join(options.stateDirectory, "azurite"),
      logFile: options.logFile,
      ports: options.ports,
      tls: options.tls,
      settings: { accounts, clockAheadMs: 0, rehydrationSeconds, network: openNetwork },
    });
    return new AzuriteBackend(options, azurite, accounts);
  }

  get processId(): number | undefined {
    return this.#azurite.processId;
  }

  async createAccount(name: string): Promise<{ key: string }> {
    return this.#serially(async () => {
      const existing = this.#accounts.get(name);
      if (existing !== undefined) return { key: existing.key };
      const key = randomBytes(keySizeBytes).toString("base64");
      const protection = { versioning: false, immutableStorage: false, immutableContainers: [] };
      this.#accounts.set(name, { name, key, protection });
      await this.#publish();
      return { key };
    });
  }

  async deleteAccount(name: string): Promise<void> {
    await this.#serially(async () => {
      const account = this.#accounts.get(name);
      if (account === undefined) return;
      await deleteAccountData(account, this.endpoints(name));
      this.#accounts.delete(name);
      await this.#publish();
    });
  }

  async protectAccount(name: string, change: ProtectionChange): Promise<void> {
    await this.#serially(async () => {
      const account = this.#accounts.get(name);
      if (account === undefined) throw new Error(`There is no storage account ${name}.`);
      const { versioning, immutableStorage, immutableContainers } = account.protection;
      const { immutableContainer, mutableContainer } = change;
      const others = immutableContainers.filter(
        (container) => container !== immutableContainer && container !== mutableContainer,
      );
      const protection = {
        versioning: change.versioning ?? versioning,
        immutableStorage: change.immutableStorage ?? immutableStorage,
        immutableContainers:
          immutableContainer === undefined ? others : [...others, immutableContainer],
      };
      this.#accounts.set(name, { ...account, protection });
      await this.#publish();
    });
  }

  /** Moves the blob service's clock ahead: policies end and rehydrations finish. Leases do not. */
  async passTime(seconds: number): Promise<void> {
    await this.#serially(async () => {
      this.#clockAheadMs += seconds * 1000;
      await this.#azurite.setSettings(this.#settings());
    });
  }

  /** Which ways lead to which account from now on, and who may do what there. */
  async setRules(network: NetworkSettings, access: AccessSettings): Promise<void> {
    await this.#serially(async () => {
      if (isDeepStrictEqual([network, access], [this.#network, this.#access])) return;
      this.#network = network;
      this.#access = access;
      await this.#azurite.setSettings(this.#settings());
    });
  }

  /** The next `requestCount` requests to the account's blobs are answered 503 `ServerBusy`. */
  async makeBusy(name: string, requestCount: number): Promise<void> {
    await this.#azurite.makeBusy(name, requestCount);
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
  connectionString(name: string, endpoints: StorageEndpoints = this.endpoints(name)): string {
    const { blob, queue, table } = endpoints;
    const key = this.#accounts.get(name)?.key;
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
    const settings = this.#settings();
    await writeAccounts(this.#options.stateDirectory, settings.accounts);
    await this.#azurite.setSettings(settings);
  }

  #settings(): AzuriteSettings {
    const accounts = [...this.#accounts.values()];
    const network = this.#network;
    const access = this.#access;
    return {
      accounts,
      clockAheadMs: this.#clockAheadMs,
      rehydrationSeconds,
      network,
      ...(access === undefined ? {} : { access }),
    };
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

async function readAccounts(stateDirectory: string): Promise<Account[]> {
  try {
    return accountsSchema.parse(
      JSON.parse(await readFile(join(stateDirectory, "accounts.json"), "utf8")),
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

async function writeAccounts(stateDirectory: string, accounts: Account[]): Promise<void> {
  const file = join(stateDirectory, "accounts.json");
  await writeFile(`${file}.new`, JSON.stringify(accounts), { mode: 0o600 });
  await rename(`${file}.new`, file);
}
