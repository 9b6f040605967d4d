import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { BlobServiceClient } from "@azure/storage-blob";
import { TableServiceClient, TableClient } from "@azure/data-tables";
import type { TestStack } from "./test-stack.ts";

/**
 * Where a secret of the stack stands in the open: a SAS's signature, the repository's password, the
 * master key, in tables (histories and records), blobs of the control plane, what the storage
 * emulator ever wrote for queues, and logs. Base64 texts are looked into.
 */
export async function findSecrets({ stack }: TestStack): Promise<string[]> {
  const { repositoryPassword, masterKey } = stack.secrets;
  const secrets: readonly (readonly [name: string, pattern: RegExp])[] = [
    ["SAS signature", /[?&]sig(=|%3D)[A-Za-z0-9%+/]{20}/i],
    ["repository password", literal(repositoryPassword)],
    ["master key", literal(masterKey)],
  ];
  const found: string[] = [];
  let searchedCount = 0;
  const search = (place: string, text: string) => {
    searchedCount++;
    for (const [name, pattern] of secrets) {
      if (pattern.test(text) || decodedParts(text).some((part) => pattern.test(part))) {
        found.push(`${name} in ${place}`);
      }
    }
  };
  for await (const [place, text] of storedTexts(stack)) search(place, text);
  // A search that looked at nothing would find nothing.
  if (searchedCount < 50) throw new Error(`only ${searchedCount} texts were searched`);
  return found;
}

async function* storedTexts(stack: TestStack["stack"]): AsyncGenerator<[string, string]> {
  const { storage } = stack.cloud;
  const connection = storage.connectionString(stack.deployment.controlAccountName);
  const tables = TableServiceClient.fromConnectionString(connection);
  for await (const { name } of tables.listTables()) {
    if (name === undefined) continue;
    const client = TableClient.fromConnectionString(connection, name);
    for await (const entity of client.listEntities())
      yield [`table ${name}`, JSON.stringify(entity)];
  }
  const blobs = BlobServiceClient.fromConnectionString(connection);
  for await (const { name: container } of blobs.listContainers()) {
    const client = blobs.getContainerClient(container);
    for await (const { name } of client.listBlobsFlat()) {
      const bytes = await client.getBlobClient(name).downloadToBuffer();
      yield [`blob ${container}/${name}`, bytes.toString("latin1")];
    }
  }
  const queueFolder = join(stack.stateDirectory, "storage", "azurite", "__queuestorage__");
  for (const name of await readdir(queueFolder)) {
    yield [`queues (${name})`, await readFile(join(queueFolder, name), "latin1")];
  }
  const logFolder = join(stack.stateDirectory, "logs");
  for (const name of await readdir(logFolder)) {
    yield [`log ${name}`, await readFile(join(logFolder, name), "latin1")];
  }
}

function literal(text: string): RegExp {
  return new RegExp(text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`));
}

/** Texts that stand in a text as base64. */
function decodedParts(text: string): string[] {
  return [...text.matchAll(/[A-Za-z0-9+/_-]{40,}={0,2}/g)].map(([part]) =>
    Buffer.from(part, "base64").toString("latin1"),
  );
}
