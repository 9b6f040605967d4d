import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BlobServiceClient } from "@azure/storage-blob";
import { afterAll, beforeAll, describe } from "vitest";
import { AzureBlobStore } from "#azure/storage/blob-store.ts";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { blobStoreContract } from "./blob-store-contract.ts";

describe("memory store", () => {
  blobStoreContract(async () => new MemoryStore());
});

describe("folder store", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "holdfast-folder-store-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });
  blobStoreContract(async () => new FolderStore(join(folder, randomUUID())));
});

describe("folder of a blob container (Azurite)", () => {
  let azurite: ChildProcess | undefined;
  let service: BlobServiceClient | undefined;

  beforeAll(async () => {
    const program = createRequire(import.meta.url).resolve("azurite/dist/src/blob/main.js");
    const options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence"];
    azurite = spawn(
      process.execPath,
      [program, ...options, "--skipApiVersionCheck", "--disableTelemetry"],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const port = await portOf(azurite);
    // The account and key that every Azurite has (learn.microsoft.com/azure/storage/common/storage-use-azurite).
    const key =
      "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    service = BlobServiceClient.fromConnectionString(
      `DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=${key};` +
        `BlobEndpoint=http://127.0.0.1:${port}/devstoreaccount1;`,
    );
  });

  afterAll(async () => {
    if (azurite === undefined) return;
    const ended = once(azurite, "exit");
    azurite.kill("SIGTERM");
    await ended;
  });

  blobStoreContract(async () => {
    const container = service!.getContainerClient(`c${randomUUID()}`);
    await container.create();
    await container.getBlockBlobClient("folder/subfolder2/foreign").upload("x", 1);
    return new AzureBlobStore(container, "folder/sub");
  });
});

async function portOf(azurite: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let text = "";
  azurite.stdout?.on("data", (chunk) => {
    text += String(chunk);
    const match = /successfully listens on http:\/\/127\.0\.0\.1:(\d+)/.exec(text);
    if (match !== null) resolve(Number(match[1]));
  });
  azurite.once("exit", () => reject(new Error(`Azurite did not start: ${text}`)));
  return promise;
}
