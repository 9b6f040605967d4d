/** Where a measurement keeps its repository: a folder, or a container of Azurite. */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createRequire } from "node:module";
import { createInterface, type Interface } from "node:readline";
import { ContainerClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { z } from "zod";
import { AzureBlobStore } from "#azure/storage/blob-store.ts";
import { FolderStore } from "#azure/storage/folder-store.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";

export const storeSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("folder"), path: z.string() }),
  z.object({
    kind: z.literal("azurite"),
    containerUrl: z.string(),
    accountName: z.string(),
    accountKey: z.string(),
  }),
]);

export type StoreLocation = z.infer<typeof storeSchema>;

export function openStore(location: StoreLocation): BlobStore {
  if (location.kind === "folder") return new FolderStore(location.path);
  return new AzureBlobStore(containerOf(location), "repository");
}

function containerOf(location: Extract<StoreLocation, { kind: "azurite" }>): ContainerClient {
  const { containerUrl, accountName, accountKey } = location;
  const credential = new StorageSharedKeyCredential(accountName, accountKey);
  return new ContainerClient(containerUrl, credential);
}

export interface RunningStore extends AsyncDisposable {
  readonly location: StoreLocation;
}

const START_TIMEOUT_MS = 30_000;

/** Azurite's blob service over plain HTTP with one account, its data in `folder`. */
export async function startAzurite(folder: string): Promise<RunningStore> {
  const accountName = "bench";
  const accountKey = randomBytes(64).toString("base64");
  const program = createRequire(import.meta.url).resolve("azurite/dist/src/blob/main.js");
  const options = ["--blobPort", "0", "--location", folder, "--silent", "--disableTelemetry"];
  const child = spawn(process.execPath, [program, ...options, "--skipApiVersionCheck"], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { PATH: process.env["PATH"], AZURITE_ACCOUNTS: `${accountName}:${accountKey}` },
  });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill();
    await exited;
  };
  try {
    const url = await addressOf(
      createInterface(child.stdout),
      AbortSignal.timeout(START_TIMEOUT_MS),
    );
    const containerUrl = `${url}/${accountName}/bench`;
    const location = { kind: "azurite", containerUrl, accountName, accountKey } as const;
    await containerOf(location).create();
    return { location, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Azurite prints where it listens. */
async function addressOf(lines: Interface, signal: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  lines.on("line", (line) => {
    const url = /listens on (http:\S+)/.exec(line)?.[1];
    if (url !== undefined) resolve(url);
  });
  lines.on("close", () => reject(new Error("Azurite ended before it listened.")));
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  return promise;
}
