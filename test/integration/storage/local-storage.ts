import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { AzuriteBackend } from "#local/storage/azurite-backend.ts";
import type { ProtectionChange } from "#local/storage/storage-backend.ts";
import { ensureServerTls } from "#local/tls/authority.ts";

/** The local Azure's storage alone, in a directory of its own. */
export interface LocalStorage {
  readonly backend: AzuriteBackend;
  /** Makes an account and a client that tries once, unless told otherwise. */
  account(
    name: string,
    options?: { readonly protection?: ProtectionChange; readonly maxTries?: number },
  ): Promise<BlobServiceClient>;
  /** Ends it and starts it on the same data. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

export async function startLocalStorage(): Promise<LocalStorage> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-storage-"));
  const tls = await ensureServerTls({ directory: join(directory, "tls") });
  const trustedBefore = getCACertificates("default");
  setDefaultCACertificates([...trustedBefore, tls.ca]);
  const [blob = 0, queue = 0, table = 0] = await freePorts(3);
  const start = () =>
    AzuriteBackend.start({
      stateDirectory: join(directory, "storage"),
      logFile: join(directory, "storage.log"),
      ports: { blob, queue, table },
      tls: {
        certificateFile: tls.certificatePath,
        keyFile: tls.keyPath,
        authorityFile: tls.caPath,
      },
    });
  let backend = await start();
  return {
    get backend() {
      return backend;
    },
    async account(name, { protection, maxTries = 1 } = {}) {
      const { key } = await backend.createAccount(name);
      if (protection !== undefined) await backend.protectAccount(name, protection);
      const credential = new StorageSharedKeyCredential(name, key);
      const retryOptions = { maxTries, retryDelayInMs: 1, maxRetryDelayInMs: 1 };
      const url = backend.endpoints(name).blob;
      return new BlobServiceClient(url, credential, { retryOptions });
    },
    async restart() {
      await backend.stop();
      backend = await start();
    },
    async stop() {
      await backend.stop();
      setDefaultCACertificates(trustedBefore);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
