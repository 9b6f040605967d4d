import { appendFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { TableClient } from "@azure/data-tables";
import { BlobServiceClient } from "@azure/storage-blob";
import { QueueServiceClient } from "@azure/storage-queue";
import { deriveWorkerSecret } from "#core/protocol/event-authentication.ts";
import type { TestStack } from "./test-stack.ts";

/**
 * Leaves one secret in each kind of place, as a careless line of code would: answers what the search
 * must say of each. For a stack that is of no further use.
 */
export async function plantSecrets({ stack }: TestStack): Promise<RegExp[]> {
  const { storage } = stack.cloud;
  const { masterKey, repositoryPassword } = stack.secrets;
  const connection = storage.connectionString(stack.deployment.controlAccountName);

  const sas = `https://md-1.z1.blob.storage.azure.net/a/abcd?sv=1&sig=${"Ab1%2F".repeat(8)}%3D`;
  const tables = TableClient.fromConnectionString(connection, "sessions");
  await tables.createEntity({ partitionKey: "planted", rowKey: "row", reason: `read ${sas}` });

  const blobs = BlobServiceClient.fromConnectionString(connection).getContainerClient("planted");
  await blobs.create();
  const packed = gzipSync(
    JSON.stringify({ key: Buffer.from(masterKey, "base64").toString("hex") }),
  );
  await blobs.getBlockBlobClient("history.json.gz").upload(packed, packed.length);

  const event = JSON.stringify({ error: { message: `wrong password ${repositoryPassword}` } });
  const queues = QueueServiceClient.fromConnectionString(connection).getQueueClient("planted");
  await queues.create();
  await queues.sendMessage(Buffer.from(event).toString("base64"));

  const [workerId = ""] = (await stack.estate.listVms())
    .map(({ name }) => name)
    .filter((name) => /^holdfast-[0-9a-f]{12}$/.test(name));
  const secret = deriveWorkerSecret(Buffer.from(masterKey, "base64"), workerId);
  const line = JSON.stringify({ workerId, secret: Buffer.from(secret).toString("base64url") });
  await appendFile(join(stack.stateDirectory, "logs", "functions.log"), `${line}\n`);

  const guests = join(stack.stateDirectory, "machines", "guests");
  const [agentLog] = (await readdir(guests, { recursive: true })).filter((name) =>
    name.endsWith("agent.log"),
  );
  if (agentLog === undefined) throw new Error("no worker has a log");
  const token = ['{"alg":"RS256"}', '{"aud":"storage"}'].map((part) =>
    Buffer.from(part).toString("base64url"),
  );
  await appendFile(join(guests, agentLog), `Bearer ${token.join(".")}.${"s".repeat(40)}\n`);
  return [
    /^SAS signature in table sessions$/,
    /^master key in blob planted\/history\.json\.gz$/,
    /^repository password in queues /,
    new RegExp(`^secret of worker ${workerId} in log logs/functions\\.log$`),
    /^token in guest .*agent\.log$/,
  ];
}
