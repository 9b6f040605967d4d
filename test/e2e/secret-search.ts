/**
 * Where a secret of the stack stands in the open. *Texts* are all that the product leaves behind: the
 * control account's tables (records, histories) and blobs (the task hub's large messages), every queue
 * message that ever was (the storage emulator's own files keep deleted ones), the job blobs of staging
 * accounts, the logs of the app and of the services, and on worker VMs the agent's log and what Run
 * Commands wrote. What is packed or in base64 is looked into. The only places where a secret may be
 * are not searched: the operator's `secrets.json`, and `agent.env` on a worker.
 */
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { BlobServiceClient } from "@azure/storage-blob";
import { TableServiceClient, TableClient } from "@azure/data-tables";
import { deriveWorkerSecret } from "#core/protocol/event-authentication.ts";
import type { TestStack } from "./test-stack.ts";

interface Secret {
  readonly name: string;
  readonly pattern: RegExp;
}

/** Starts of a worker that its secret may have been derived for. */
const GENERATIONS_MAX = 3;
/** A search that looked at less than this was of no stack that did anything. */
const TEXTS_MIN = 50;
/** Base64 in base64: a queue message that holds an event that holds a text. */
const DEPTH_MAX = 3;

export async function findSecrets({ stack }: TestStack): Promise<string[]> {
  const texts: [place: string, bytes: Buffer][] = [];
  for await (const text of storedTexts(stack)) texts.push(text);
  // A search that looked at nothing would find nothing.
  if (texts.length < TEXTS_MIN) throw new Error(`only ${texts.length} texts were searched`);
  for (const kind of ["table ", "blob ", "queues ", "log ", "guest ", "run command "])
    if (!texts.some(([place]) => place.startsWith(kind)))
      throw new Error(`no text of kind '${kind.trim()}' was searched`);
  const secrets = [...secretsOf(stack), ...workerSecrets(stack, texts)];
  return texts.flatMap(([place, bytes]) =>
    secretsIn(bytes, secrets).map((name) => `${name} in ${place}`),
  );
}

/** Names of the secrets that stand in a text, however it is packed. */
export function secretsIn(bytes: Buffer, secrets: readonly Secret[], depth = 0): string[] {
  const text = bytes.toString("latin1");
  const found = secrets.filter(({ pattern }) => pattern.test(text)).map(({ name }) => name);
  if (depth >= DEPTH_MAX) return [...new Set(found)];
  const inside = [...unpacked(bytes), ...decodedParts(text)];
  for (const part of inside) found.push(...secretsIn(part, secrets, depth + 1));
  return [...new Set(found)];
}

/** Secrets that the stack has, and forms that every secret of a kind has. */
export function secretsOf({ secrets, cloud, deployment }: TestStack["stack"]): Secret[] {
  const connection = cloud.storage.connectionString(deployment.controlAccountName);
  const accountKey = /AccountKey=([^;]+)/.exec(connection)?.[1];
  if (accountKey === undefined) throw new Error("the control account has no key");
  return [
    { name: "SAS signature", pattern: /[?&]sig(=|%3D)[A-Za-z0-9%+/]{20}/i },
    // Header and claims are JSON; a sealed job (a JWE) has no claims in the clear and may be anywhere.
    { name: "token", pattern: /eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}/ },
    { name: "private key", pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----|"d":"[\w-]{43}"/ },
    { name: "repository password", pattern: literal(secrets.repositoryPassword) },
    { name: "account key", pattern: literal(accountKey) },
    { name: "master key", pattern: keyPattern(Buffer.from(secrets.masterKey, "base64")) },
  ];
}

/** Of every worker that is named anywhere, as many are gone from the tables. */
function workerSecrets(
  { secrets }: TestStack["stack"],
  texts: readonly [string, Buffer][],
): Secret[] {
  const ids = new Set<string>();
  for (const [, bytes] of texts)
    for (const [id] of bytes.toString("latin1").matchAll(/holdfast-[0-9a-f]{12}\b/g)) ids.add(id);
  if (ids.size === 0) throw new Error("no worker is named in any text");
  const masterKey = Buffer.from(secrets.masterKey, "base64");
  const generations = Array.from({ length: GENERATIONS_MAX }, (_, index) => index + 1);
  return [...ids].flatMap((id) =>
    generations.map((generation) => {
      const pattern = keyPattern(Buffer.from(deriveWorkerSecret(masterKey, id, generation)));
      return { name: `secret of worker ${id}`, pattern };
    }),
  );
}

async function* storedTexts(stack: TestStack["stack"]): AsyncGenerator<[string, Buffer]> {
  const { storage, resourceManager } = stack.cloud;
  const resources = resourceManager.resources.descendants("");
  const control = stack.deployment.controlAccountName;
  yield* tableTexts(storage.connectionString(control));
  yield* blobTexts(storage.connectionString(control), "");
  for (const { type, name } of resources) {
    const isStaging = /\/storageAccounts$/i.test(type) && name !== control;
    if (isStaging) yield* blobTexts(storage.connectionString(name), "jobs/");
  }
  for (const { id, type, body, internal } of resources)
    if (/\/runCommands$/i.test(type))
      yield [`run command ${id}`, Buffer.from(JSON.stringify([body, internal]))];
  yield* fileTexts("queues", join(stack.stateDirectory, "storage", "azurite", "__queuestorage__"));
  yield* fileTexts("log", join(stack.stateDirectory, "logs"));
  // Of what is on a worker, its logs and what its Run Commands wrote.
  const guests = join(stack.stateDirectory, "machines", "guests");
  yield* fileTexts("guest", guests, (name) => /^(stdout|stderr)$|\.log$/.test(name));
}

async function* tableTexts(connection: string): AsyncGenerator<[string, Buffer]> {
  const tables = TableServiceClient.fromConnectionString(connection);
  for await (const { name } of tables.listTables()) {
    if (name === undefined) continue;
    const client = TableClient.fromConnectionString(connection, name);
    for await (const entity of client.listEntities())
      yield [`table ${name}`, Buffer.from(JSON.stringify(entity))];
  }
}

async function* blobTexts(connection: string, prefix: string): AsyncGenerator<[string, Buffer]> {
  const blobs = BlobServiceClient.fromConnectionString(connection);
  for await (const { name: container } of blobs.listContainers()) {
    // The Functions host's own keys.
    if (container === "azure-webjobs-secrets") continue;
    const client = blobs.getContainerClient(container);
    for await (const { name } of client.listBlobsFlat({ prefix }))
      yield [`blob ${container}/${name}`, await client.getBlobClient(name).downloadToBuffer()];
  }
}

async function* fileTexts(
  kind: string,
  folder: string,
  isWanted: (name: string) => boolean = () => true,
): AsyncGenerator<[string, Buffer]> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !isWanted(entry.name)) continue;
    const place = `${kind} ${basename(entry.parentPath)}/${entry.name}`;
    yield [place, await readFile(join(entry.parentPath, entry.name))];
  }
}

/** The key's bytes in each form that a text may have it in. */
function keyPattern(key: Buffer): RegExp {
  const forms = [key.toString("base64"), key.toString("base64url"), key.toString("hex")];
  const source = [...forms, key.toString("latin1")].map((form) => literal(form).source);
  return new RegExp(source.join("|"));
}

function literal(text: string): RegExp {
  return new RegExp(text.replaceAll(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`));
}

/** What a gzip stream holds. */
function unpacked(bytes: Buffer): Buffer[] {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return [];
  try {
    return [gunzipSync(bytes)];
  } catch {
    // It only began like one.
    return [];
  }
}

/** What stands in a text as base64, long enough to hold a secret. */
function decodedParts(text: string): Buffer[] {
  return [...text.matchAll(/[A-Za-z0-9+/_-]{40,}={0,2}/g)].map(([part]) =>
    Buffer.from(part, "base64"),
  );
}
