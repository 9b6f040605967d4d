/** What an operator does with a repository once backups are in it: a health check, and break-glass. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BlobServiceClient, ContainerSASPermissions } from "@azure/storage-blob";
import { z } from "zod";
import type { Stack } from "#local/stack.ts";
import type { ApiClient } from "#local/stack/api-client.ts";
import { waitForEnd } from "./sessions.ts";

const program = fileURLToPath(new URL("../../cli/main.ts", import.meta.url));
const sasLifetimeMs = 60 * 60 * 1000;
const startedSchema = z.object({ sessionId: z.string() });

/** A check of manifests, maps and a sample of the blocks; findings are an error. */
export async function checkHealth(
  api: ApiClient,
  repositoryId: string,
  timeoutMs: number,
): Promise<string> {
  const path = `/repositories/${repositoryId}/health-checks`;
  const body = { level: "sample" };
  const { sessionId } = await api.call("POST", path, { body, answer: startedSchema });
  const { check } = await waitForEnd(sessionId, { api, timeoutMs });
  if (check === undefined) throw new Error(`${sessionId} says nothing of what it checked.`);
  const { checkedPoints, checkedObjects, verifiedBlocks, findingCount } = check;
  return `${checkedPoints} restore points, ${checkedObjects} objects, ${verifiedBlocks} blocks: ${findingCount} findings`;
}

/** Lines of `holdfast repo ls`, which needs the container and the password, and nothing else. */
export async function listFromContainer(
  { cloud, deployment, secrets, addresses, stateDirectory }: Stack,
  { container, folder }: { container: string; folder: string },
): Promise<string[]> {
  const connection = cloud.storage.connectionString(deployment.repositoryAccountName);
  const client = BlobServiceClient.fromConnectionString(connection).getContainerClient(container);
  const url = await client.generateSasUrl({
    permissions: ContainerSASPermissions.parse("rl"),
    expiresOn: new Date(Date.now() + sasLifetimeMs),
  });
  const child = spawn(process.execPath, [program, "repo", "ls"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"] ?? "",
      NODE_NO_WARNINGS: "1",
      NODE_EXTRA_CA_CERTS: join(stateDirectory, "tls", "ca.pem"),
      HOLDFAST_REPOSITORY: `${addresses.blob}${container}/${folder}`,
      HOLDFAST_REPOSITORY_SAS: new URL(url).search.slice(1),
      HOLDFAST_REPOSITORY_PASSWORD: secrets.repositoryPassword,
    },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const exitCode = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (exitCode !== 0) throw new Error(`holdfast repo ls ended with ${exitCode}: ${output}`);
  return output.trim().split("\n");
}
