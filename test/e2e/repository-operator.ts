import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { BlobServiceClient, type ContainerClient } from "@azure/storage-blob";
import { TableClient } from "@azure/data-tables";
import { z } from "zod";
import { restorePointSchema } from "#core/model/restore-point.ts";
import { readSession, type ShownSession } from "#local/demo/sessions.ts";
import type { Stack } from "#local/stack.ts";
import type { TestStack } from "./test-stack.ts";

/** What an operator, a storage fault or a thief of keys does to a repository of a test stack. */
const protectingRole = "holdfast-worker-immutable-repository";
const rolesApiVersion = "2022-04-01";
const roleSchema = z.object({
  Name: z.string(),
  Actions: z.array(z.string()),
  DataActions: z.array(z.string()),
});
const storageApiVersion = "2023-05-01";
const runTimeoutMs = 120_000;
const pollMs = 600;
const startedSchema = z.object({ sessionId: z.string() });
const errorSchema = z.object({ error: z.object({ code: z.string() }) });

/** Starts a run by HTTP and waits for its end; one that did not succeed is an error unless expected. */
export async function runOn(
  { api }: TestStack,
  path: string,
  body: unknown,
  expected: "success" | "any end" = "success",
): Promise<ShownSession> {
  const { sessionId } = await api.call("POST", path, { body, answer: startedSchema });
  const session = await waitFor(`the end of ${sessionId}`, async () => {
    const read = await readSession(api, sessionId);
    return read.state === "running" ? undefined : read;
  });
  if (expected === "success" && session.state !== "succeeded")
    throw new Error(`${sessionId} ${session.state}: ${session.reason ?? "no reason"}`);
  return session;
}

/** Asks again until there is an answer. */
export async function waitFor<Value>(
  what: string,
  ask: () => Promise<Value | undefined>,
): Promise<Value> {
  const deadline = performance.now() + runTimeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`${what} does not come`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Status and code with which the API refuses a call. */
export async function refusalOf(
  { api }: TestStack,
  method: string,
  path: string,
  body: unknown,
): Promise<string> {
  const answer = await api.send(method, path, body);
  return `${answer.status} ${errorSchema.parse(answer.body).error.code}`;
}

/** Restore points as the API lists them: latest first. */
export async function listPoints({ api }: TestStack, repositoryId: string) {
  const summary = restorePointSchema.omit({ vm: true });
  return api.list(`/restore-points?repositoryId=${repositoryId}`, summary);
}

/** A container of the account that holds the repositories, with the account's key. */
export function containerOf({ stack }: TestStack, name = "backups"): ContainerClient {
  const account = stack.deployment.repositoryAccountName;
  const connection = stack.cloud.storage.connectionString(account);
  return BlobServiceClient.fromConnectionString(connection).getContainerClient(name);
}

export async function blobsBelow(
  container: ContainerClient,
  prefix: string,
): Promise<{ readonly name: string; readonly sizeBytes: number; readonly tier: string }[]> {
  const found = [];
  for await (const { name, properties } of container.listBlobsFlat({ prefix })) {
    const { contentLength = 0, accessTier = "none" } = properties;
    found.push({ name, sizeBytes: contentLength, tier: accessTier });
  }
  return found;
}

/** Turns over one bit in the middle of the largest pack of any disk; answers its name. */
export async function damageLargestPack(container: ContainerClient): Promise<string> {
  const packs = (await blobsBelow(container, "disks/")).filter(({ name }) =>
    name.endsWith(".pack"),
  );
  const [largest] = packs.toSorted((left, right) => right.sizeBytes - left.sizeBytes);
  if (largest === undefined) throw new Error("there is no pack");
  const blob = container.getBlockBlobClient(largest.name);
  const bytes = await blob.downloadToBuffer();
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  await blob.upload(bytes, bytes.length);
  return largest.name;
}

/** A container in which versions can be made immutable, as a deployment makes it. */
export async function createImmutableContainer({ stack }: TestStack, name: string): Promise<void> {
  const { deployment, cloud } = stack;
  const groupId = deployment.controlPlaneIdentity.resourceId.split("/providers/")[0];
  const accountId = `${groupId}/providers/Microsoft.Storage/storageAccounts/${deployment.repositoryAccountName}`;
  const put = (path: string, properties: object) =>
    cloud.arm.request({
      method: "PUT",
      path: `${accountId}/blobServices/default${path}`,
      apiVersion: storageApiVersion,
      body: { properties },
    });
  await put("", { isVersioningEnabled: true });
  await put(`/containers/${name}`, { immutableStorageWithVersioning: { enabled: true } });
  await letWorkersProtect(stack, accountId);
}

/** With versions the workers need the right to delete them and to set policies (infra/README.md). */
async function letWorkersProtect({ deployment, cloud }: Stack, accountId: string): Promise<void> {
  const file = new URL(`../../infra/roles/${protectingRole}.json`, import.meta.url);
  const role = roleSchema.parse(JSON.parse(await readFile(file, "utf8")));
  const subscription = `/subscriptions/${deployment.subscriptionId}`;
  const authorization = "/providers/Microsoft.Authorization";
  const roleDefinitionId = `${subscription}${authorization}/roleDefinitions/${randomUUID()}`;
  const { Name: roleName, Actions: actions, DataActions: dataActions } = role;
  const permission = { actions, notActions: [], dataActions, notDataActions: [] };
  const put = (path: string, properties: object) =>
    cloud.arm.request({
      method: "PUT",
      path,
      apiVersion: rolesApiVersion,
      body: { properties },
    });
  await put(roleDefinitionId, {
    roleName,
    type: "CustomRole",
    permissions: [permission],
    assignableScopes: [subscription],
  });
  await put(`${accountId}${authorization}/roleAssignments/${randomUUID()}`, {
    roleDefinitionId,
    principalId: deployment.workerIdentity.principalId,
    principalType: "ServicePrincipal",
  });
}

/** The control plane's index of one repository's restore points and archives is lost. */
export async function loseIndex({ stack }: TestStack, repositoryId: string): Promise<void> {
  const account = stack.deployment.controlAccountName;
  const connection = stack.cloud.storage.connectionString(account);
  const table = TableClient.fromConnectionString(connection, "restorepoints");
  let lostCount = 0;
  for await (const entity of table.listEntities()) {
    const { partitionKey = "", rowKey = "" } = entity;
    if (!JSON.stringify(entity).includes(repositoryId)) continue;
    await table.deleteEntity(partitionKey, rowKey);
    lostCount++;
  }
  if (lostCount === 0) throw new Error(`the index holds nothing of ${repositoryId}`);
}
