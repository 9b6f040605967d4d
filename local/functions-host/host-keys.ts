/**
 * Access keys of the host, in the blob where the real host keeps them
 * (`azure-webjobs-secrets/<hostId>/host.json`). Made on the first start, the same ever after.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { ContainerClient } from "@azure/storage-blob";
import { z } from "zod";
import { statusOf, unlessMissing } from "./storage/rest-errors.ts";
import type { StorageConnection } from "./storage/storage-connections.ts";

export interface HostKeys {
  /** Opens everything, `authLevel: "admin"` and /admin included. */
  readonly master: string;
  /** The host key `default`, for `authLevel: "function"`. */
  readonly function: string;
  /** System key of the durable extension's management API. */
  readonly durable: string;
}

const keySchema = z.object({ name: z.string(), value: z.string() });
const secretsSchema = z.object({
  masterKey: keySchema,
  functionKeys: z.array(keySchema),
  systemKeys: z.array(keySchema),
});
type Secrets = z.infer<typeof secretsSchema>;

const containerName = "azure-webjobs-secrets";
const durableKeyName = "durabletask_extension";

export async function readHostKeys(storage: StorageConnection, hostId: string): Promise<HostKeys> {
  const container = storage.blobs().getContainerClient(containerName);
  await container.createIfNotExists();
  const blobName = `${hostId}/host.json`;
  const secrets =
    (await readSecrets(container, blobName)) ?? (await createSecrets(container, blobName));
  return {
    master: secrets.masterKey.value,
    function: secrets.functionKeys.find(({ name }) => name === "default")?.value ?? "",
    durable: secrets.systemKeys.find(({ name }) => name === durableKeyName)?.value ?? "",
  };
}

/** Compares in constant time. A key that was not given never fits. */
export function isSameKey(given: string | undefined, expected: string): boolean {
  if (given === undefined || expected === "") return false;
  const [one, other] = [Buffer.from(given), Buffer.from(expected)];
  return one.length === other.length && timingSafeEqual(one, other);
}

async function readSecrets(
  container: ContainerClient,
  blobName: string,
): Promise<Secrets | undefined> {
  const content = await unlessMissing(async () =>
    container.getBlobClient(blobName).downloadToBuffer(),
  );
  return content === undefined ? undefined : secretsSchema.parse(JSON.parse(content.toString()));
}

async function createSecrets(container: ContainerClient, blobName: string): Promise<Secrets> {
  const newKey = (name: string) => ({ name, value: randomBytes(40).toString("base64url") });
  const secrets: Secrets = {
    masterKey: newKey("master"),
    functionKeys: [newKey("default")],
    systemKeys: [newKey(durableKeyName)],
  };
  const text = JSON.stringify(secrets);
  try {
    await container
      .getBlockBlobClient(blobName)
      .upload(text, Buffer.byteLength(text), { conditions: { ifNoneMatch: "*" } });
    return secrets;
  } catch (error) {
    // Another host of the same app was faster: its keys count.
    const theirs = statusOf(error) === 409 ? await readSecrets(container, blobName) : undefined;
    if (theirs === undefined) throw error;
    return theirs;
  }
}
