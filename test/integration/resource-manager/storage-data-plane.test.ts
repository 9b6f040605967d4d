import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { BlobServiceClient } from "@azure/storage-blob";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openTokenService } from "#local/identity/token-service.ts";
import { dataPlaneEntities } from "#local/resource-manager/storage/data-plane-entities.ts";
import { AzuriteBackend } from "#local/storage/azurite-backend.ts";
import { ensureServerTls } from "#local/tls/authority.ts";

const directory = mkdtempSync(join(tmpdir(), "holdfast-entities-"));
let backend: AzuriteBackend;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

beforeAll(async () => {
  const tls = await ensureServerTls({ directory: join(directory, "tls") });
  setDefaultCACertificates([...getCACertificates("default"), tls.ca]);
  backend = await AzuriteBackend.start({
    stateDirectory: join(directory, "storage"),
    logFile: join(directory, "storage.log"),
    ports: { blob: await freePort(), queue: await freePort(), table: await freePort() },
    tls: { certificateFile: tls.certificatePath, keyFile: tls.keyPath },
  });
});
afterAll(async () => {
  await backend.stop();
  rmSync(directory, { recursive: true, force: true });
});

test("entities made through management are in the account, for a client with a token of the tenant", async () => {
  await backend.createAccount("real");
  const entities = dataPlaneEntities(backend);
  const container = { account: "real", kind: "container", name: "backups" } as const;
  for (const entity of [
    container,
    { ...container, kind: "queue" },
    { ...container, kind: "table" },
  ] as const) {
    await entities.create(entity);
    await entities.create(entity);
  }
  const tokens = await openTokenService({ path: join(directory, "key.json") });
  const credential = {
    getToken: async () => {
      const audience = "https://storage.azure.com";
      const { token, expiresOn } = await tokens.issueToken({ oid: "o", appId: "a", audience });
      return { token, expiresOnTimestamp: expiresOn * 1000 };
    },
  };
  const client = new BlobServiceClient(
    backend.endpoints("real").blob.replace(/\/$/, ""),
    credential,
  );
  const names: string[] = [];
  for await (const { name } of client.listContainers()) names.push(name);
  expect(names).toEqual(["backups"]);
  await entities.delete(container);
  await entities.delete(container);
  expect(await client.getContainerClient("backups").exists()).toBe(false);
  await entities.delete({ ...container, kind: "queue" });
  await entities.delete({ ...container, kind: "table" });
});
