/**
 * Storage accounts by the name of a connection, as the Functions host resolves them: a setting of
 * that name (or with the prefix `AzureWebJobs`) is a connection string; otherwise settings
 * `<name>__accountName` or `<name>__blobServiceUri`, `__queueServiceUri`, `__tableServiceUri` name
 * an account that is opened with the app's managed identity.
 * Source: https://learn.microsoft.com/azure/azure-functions/functions-reference#connections
 */
import { TableClient } from "@azure/data-tables";
import { ManagedIdentityCredential, type TokenCredential } from "@azure/identity";
import { BlobServiceClient } from "@azure/storage-blob";
import { QueueServiceClient } from "@azure/storage-queue";
import { HoldfastError } from "#core/lib/errors.ts";
import type { AppSettings } from "../settings.ts";

export interface StorageConnection {
  blobs(): BlobServiceClient;
  queues(): QueueServiceClient;
  table(name: string): TableClient;
}

/** The host's own storage: keys, timers, task hub. */
export const hostStorageName = "AzureWebJobsStorage";

type Service = "blob" | "queue" | "table";

export class StorageConnections {
  readonly #settings: AppSettings;
  readonly #connections = new Map<string, StorageConnection>();

  constructor(settings: AppSettings) {
    this.#settings = settings;
  }

  /** @throws HoldfastError `ConnectionMissing` when no setting defines the connection */
  get(name: string): StorageConnection {
    const known = this.#connections.get(name);
    if (known !== undefined) return known;
    const connection = this.#open(name);
    this.#connections.set(name, connection);
    return connection;
  }

  #open(name: string): StorageConnection {
    for (const candidate of [`AzureWebJobs${name}`, name]) {
      const connectionString = this.#settings.get(candidate);
      if (connectionString !== undefined) return openConnectionString(connectionString);
      const opened = this.#openWithIdentity(candidate);
      if (opened !== undefined) return opened;
    }
    throw new HoldfastError(
      "ConnectionMissing",
      `Storage connection '${name}' is not configured. Set ${name} to a connection string, or ${name}__accountName (or the service URIs) for a managed identity.`,
    );
  }

  #openWithIdentity(name: string): StorageConnection | undefined {
    const uris = (["blob", "queue", "table"] as const).map((each) => this.#serviceUri(name, each));
    if (uris.every((uri) => uri === undefined)) return undefined;
    const clientId = this.#settings.get(`${name}__clientId`);
    const credential: TokenCredential = new ManagedIdentityCredential(
      clientId === undefined ? {} : { clientId },
    );
    const uriOf = (service: Service): string => {
      const uri = this.#serviceUri(name, service);
      if (uri !== undefined) return uri;
      throw new HoldfastError("ConnectionMissing", `Set ${name}__${service}ServiceUri.`);
    };
    return {
      blobs: () => new BlobServiceClient(uriOf("blob"), credential),
      queues: () => new QueueServiceClient(uriOf("queue"), credential),
      table: (table) => new TableClient(uriOf("table"), table, credential),
    };
  }

  #serviceUri(name: string, service: Service): string | undefined {
    const uri = this.#settings.get(`${name}__${service}ServiceUri`);
    if (uri !== undefined) return uri;
    const account = this.#settings.get(`${name}__accountName`);
    return account === undefined ? undefined : `https://${account}.${service}.core.windows.net`;
  }
}

function openConnectionString(connectionString: string): StorageConnection {
  // Plain http is for an emulator without certificates; https strings are not weakened by this.
  const options = { allowInsecureConnection: true };
  return {
    blobs: () => BlobServiceClient.fromConnectionString(connectionString),
    queues: () => QueueServiceClient.fromConnectionString(connectionString),
    table: (name) => TableClient.fromConnectionString(connectionString, name, options),
  };
}
