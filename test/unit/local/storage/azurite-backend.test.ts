import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { AzureNamedKeyCredential, TableServiceClient } from "@azure/data-tables";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import {
  QueueServiceClient,
  StorageSharedKeyCredential as QueueSharedKeyCredential,
} from "@azure/storage-queue";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AzuriteBackend } from "#local/storage/azurite-backend.ts";
import type { StorageEndpoints } from "#local/storage/storage-backend.ts";
import { ensureServerTls } from "#local/tls/authority.ts";

const once = { retryOptions: { maxTries: 1, maxRetries: 0 } };
const trustedBefore = getCACertificates("default");
let directory: string;
let backend: AzuriteBackend;
let start: () => Promise<AzuriteBackend>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-azurite-"));
  const tls = await ensureServerTls({ directory: join(directory, "tls") });
  setDefaultCACertificates([...trustedBefore, tls.ca]);
  const [blob, queue, table] = await freePorts(3);
  start = () =>
    AzuriteBackend.start({
      stateDirectory: join(directory, "storage"),
      logFile: join(directory, "storage.log"),
      ports: { blob: blob ?? 0, queue: queue ?? 0, table: table ?? 0 },
      tls: { certificateFile: tls.certificatePath, keyFile: tls.keyPath },
    });
  backend = await start();
});

afterAll(async () => {
  await backend.stop();
  setDefaultCACertificates(trustedBefore);
  await rm(directory, { recursive: true, force: true });
});

test("an account works in all three services as soon as it is made", async () => {
  const { key } = await backend.createAccount("fresh");
  const clients = clientsOf("fresh", key, backend.endpoints("fresh"));
  await clients.blobs.createContainer("things");
  await clients.queues.createQueue("things");
  await clients.tables.createTable("things");
  expect(await namesOf(clients.blobs.listContainers())).toEqual(["things"]);
  expect(await namesOf(clients.queues.listQueues())).toEqual(["things"]);
  expect(await namesOf(clients.tables.listTables())).toEqual(["things"]);
});

test("making an account again keeps its key", async () => {
  const first = await backend.createAccount("twice");
  expect(await backend.createAccount("twice")).toEqual(first);
});

test("a deleted account is refused at once, and empty when its name is used again", async () => {
  const { key } = await backend.createAccount("shortlived");
  const endpoints = backend.endpoints("shortlived");
  const clients = clientsOf("shortlived", key, endpoints);
  await clients.blobs.createContainer("things");
  await clients.queues.createQueue("things");
  await clients.tables.createTable("things");
  await backend.deleteAccount("shortlived");

  const refused = { statusCode: 404 };
  await expect(clients.blobs.createContainer("more")).rejects.toMatchObject(refused);
  await expect(clients.queues.createQueue("more")).rejects.toMatchObject(refused);
  await expect(clients.tables.createTable("more")).rejects.toMatchObject(refused);
  expect(() => backend.endpoints("shortlived")).toThrow("There is no storage account shortlived");

  const again = await backend.createAccount("shortlived");
  expect(again.key).not.toBe(key);
  const fresh = clientsOf("shortlived", again.key, endpoints);
  expect(await namesOf(fresh.blobs.listContainers())).toEqual([]);
  expect(await namesOf(fresh.queues.listQueues())).toEqual([]);
  expect(await namesOf(fresh.tables.listTables())).toEqual([]);
});

test("Azurite's well-known account does not exist", async () => {
  const wellKnownKey =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
  const { key } = await backend.createAccount("some");
  expect(key).not.toBe(wellKnownKey);
  const blobUrl = backend.endpoints("some").blob.replace("/some/", "/devstoreaccount1/");
  const credential = new StorageSharedKeyCredential("devstoreaccount1", wellKnownKey);
  const client = new BlobServiceClient(blobUrl, credential, once);
  await expect(client.createContainer("things")).rejects.toMatchObject({ statusCode: 404 });
});

test("accounts and their data survive a restart", async () => {
  const { key } = await backend.createAccount("lasting");
  const clients = clientsOf("lasting", key, backend.endpoints("lasting"));
  await clients.blobs.createContainer("things");
  const blob = clients.blobs.getContainerClient("things").getBlockBlobClient("one");
  await blob.upload("bytes", 5);
  await backend.stop();
  backend = await start();
  expect((await blob.downloadToBuffer()).toString()).toBe("bytes");
  expect(await backend.createAccount("lasting")).toEqual({ key });
});

function clientsOf(name: string, key: string, endpoints: StorageEndpoints) {
  return {
    blobs: new BlobServiceClient(endpoints.blob, new StorageSharedKeyCredential(name, key), once),
    queues: new QueueServiceClient(endpoints.queue, new QueueSharedKeyCredential(name, key), once),
    tables: new TableServiceClient(endpoints.table, new AzureNamedKeyCredential(name, key), once),
  };
}

async function namesOf(list: AsyncIterable<{ name?: string }>): Promise<(string | undefined)[]> {
  const names = [];
  for await (const { name } of list) names.push(name);
  return names;
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
