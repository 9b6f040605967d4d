import { createHash, randomBytes, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { TokenCredential } from "@azure/core-auth";
import { BlobServiceClient } from "@azure/storage-blob";
import { SignJWT } from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { AzureBlobStore } from "#azure/storage/blob-store.ts";
import { createRecordStore } from "#azure/storage/record-store.ts";
import { createStaging } from "#azure/storage/staging.ts";
import { createWorkerChannel } from "#azure/storage/worker-channel.ts";
import { STAGING_CONTAINER } from "#core/ports/staging.ts";
import { openNetwork } from "#local/storage/azurite-messages.ts";
import { startLocalStorage, type LocalStorage } from "./local-storage.ts";

/**
 * The roles of `infra/roles` for data: with one alone, everything works that it is for; without any one
 * of its rights, something of that is refused. So nothing is missing in them, and nothing too much.
 */
const account = "dataaccess";
const plainAccount = "dataplain";
const group = "/subscriptions/s/resourcegroups/g";
const accountId = idOf(account);

const signal = new AbortController().signal;
const whole = { maxBytes: 2 ** 30 };
const body = randomBytes(64);
const refused = "AuthorizationPermissionMismatch";
const timeoutMs = 60_000;
let storage: LocalStorage;

function idOf(name: string): string {
  return `${group}/providers/microsoft.storage/storageaccounts/${name}`;
}

beforeAll(async () => {
  storage = await startLocalStorage();
  const owner = await storage.account(account, {
    protection: { versioning: true, immutableStorage: true },
  });
  await storage.backend.protectAccount(account, { immutableContainer: "immutable" });
  for (const name of ["immutable", STAGING_CONTAINER]) {
    await owner.getContainerClient(name).create();
  }
  await (await storage.account(plainAccount)).getContainerClient("plain").create();
}, timeoutMs);
afterAll(async () => storage.stop());

interface Principal {
  readonly id: string;
  readonly credential: TokenCredential;
}

function makePrincipal(): Principal {
  const id = randomUUID();
  const getToken = async () => {
    const expiresAt = Math.floor(Date.now() / 1000) + 3600;
    const token = await new SignJWT({ oid: id, tid: "t" })
      .setProtectedHeader({ alg: "HS256" })
      .setAudience("https://storage.azure.com")
      .setIssuer("https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/")
      .setIssuedAt()
      .setNotBefore("-1m")
      .setExpirationTime(expiresAt)
      .sign(randomBytes(32));
    return { token, expiresOnTimestamp: expiresAt * 1000 };
  };
  return { id, credential: { getToken } };
}

const permissionSchema = z
  .object({ Actions: z.array(z.string()), DataActions: z.array(z.string()) })
  .transform(({ Actions, DataActions }) => ({ actions: Actions, dataActions: DataActions }));
type Permission = z.infer<typeof permissionSchema>;

function readRole(file: string): Permission {
  const path = join(import.meta.dirname, "../../../infra/roles", `${file}.json`);
  return permissionSchema.parse(JSON.parse(readFileSync(path, "utf8")));
}

/** From now on the principal has this at the scope, and nobody anything else. */
async function give(principal: Principal, permission: Permission, scope = group) {
  const permissions = [{ ...permission, notActions: [], notDataActions: [] }];
  await storage.backend.setRules(openNetwork, {
    accounts: [account, plainAccount].map((name) => ({ name, id: idOf(name) })),
    assignments: [{ principalId: principal.id, scope: scope.toLowerCase(), permissions }],
  });
}

type Work = (credential: TokenCredential) => Promise<void>;

function storeOf(credential: TokenCredential, name: string, container: string): AzureBlobStore {
  const service = new BlobServiceClient(storage.backend.endpoints(name).blob, credential);
  return new AzureBlobStore(service.getContainerClient(container), randomUUID());
}

async function countOf(items: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _item of items) count++;
  return count;
}

async function* parts() {
  yield body;
}

async function useStore(store: AzureBlobStore): Promise<void> {
  await store.readCapabilities(signal);
  await store.create("one", body, signal);
  await store.createFromParts("many", parts(), signal);
  expect(Buffer.compare(await store.read("one", whole, signal), body)).toBe(0);
  expect(await countOf(store.list("", signal))).toBe(2);
  await store.readProperties("one", signal);
  const lock = await store.lock("lock", signal);
  expect(lock).toBeDefined();
  await lock?.release();
  await store.create("cold", body, signal, { tier: "archive" });
  await store.startRetrieval("cold", "warm", { tier: "hot", priority: "high" }, signal);
}

function channelOf(credential: TokenCredential) {
  const { blob, queue } = storage.backend.endpoints(account);
  return createWorkerChannel({
    credential,
    jobQueueUrl: `${queue}jobs`,
    eventQueueUrl: `${queue}events`,
    jobContainerUrl: `${blob}${STAGING_CONTAINER}`,
  });
}

async function useStaging(credential: TokenCredential): Promise<void> {
  const { blob, queue } = storage.backend.endpoints(account);
  const staging = createStaging({ credential });
  const bundle = {
    name: `${randomUUID()}.tar.gz`,
    sizeBytes: body.length,
    md5: createHash("md5").update(body).digest("hex"),
    sha256: createHash("sha256").update(body).digest("hex"),
  };
  const sas = await staging.ensureBundle(blob, bundle, async () => body, 600, signal);
  // What such a SAS may do ends with what its signer may do.
  const answer = await fetch(sas);
  await answer.arrayBuffer();
  if (answer.status === 403) throw new Error(answer.headers.get("x-ms-error-code") ?? "");
  expect(answer.status).toBe(200);
  await staging.ensureQueue(queue, "jobs");
  await staging.sendMessage(queue, "jobs", "job", 60);
  await staging.writeJobBlob(blob, "jobs/1", "job");
  await staging.deleteJobBlobs(blob, "jobs/");
  await staging.deleteQueue(queue, "jobs");
}

/** What each role is for, with what has to be there before. */
const works: Readonly<Record<string, Work>> = {
  "holdfast-worker-repository": async (credential) => {
    const store = storeOf(credential, plainAccount, "plain");
    await useStore(store);
    await store.delete("one", signal);
  },
  "holdfast-worker-immutable-repository": async (credential) => {
    const store = storeOf(credential, account, "immutable");
    await useStore(store);
    expect(await store.delete("one", signal)).toBe("deleted");
    await store.extendImmutability("many", new Date(Date.now() + 60_000), signal);
  },
  "holdfast-staging": useStaging,
  "holdfast-repository-container": async (credential) => {
    const { blob } = storage.backend.endpoints(account);
    await createStaging({ credential }).ensureContainer(blob, `c${randomUUID()}`);
  },
  "holdfast-records": async (credential) => {
    const { table: tableServiceUrl } = storage.backend.endpoints(account);
    const table = createRecordStore({ credential, tableServiceUrl }).table("sessions");
    const id = randomUUID();
    await table.insert("p", id, { n: 1 });
    await table.put("p", id, { n: 2 });
    const record = await table.read("p", id);
    await table.put("p", id, { n: 3 }, { ifVersion: record?.version ?? "" });
    expect(await countOf(table.list("p"))).toBeGreaterThan(0);
    await table.delete("p", id);
  },
  "holdfast-worker-jobs": async (credential) => {
    const channel = channelOf(credential);
    const job = await channel.receiveJob(30, signal);
    if (job !== undefined) await channel.deleteJob(job, signal);
    expect(await channel.readJobBlob("kept", signal)).toBe("job");
  },
  "holdfast-worker-events": async (credential) => {
    await channelOf(credential).sendEvent("event", signal);
  },
};

/** Queues, messages and blobs that workers find. */
async function prepare(): Promise<void> {
  const control = makePrincipal();
  await give(control, { actions: ["*"], dataActions: ["*"] });
  const staging = createStaging(control);
  const { blob, queue } = storage.backend.endpoints(account);
  for (const name of ["jobs", "events"]) await staging.ensureQueue(queue, name);
  await staging.sendMessage(queue, "jobs", "job", 60);
  await staging.writeJobBlob(blob, "kept", "job");
}

test.each(Object.entries(works))(
  "%s: enough, and nothing too much",
  async (file, work) => {
    const role = readRole(file);
    const principal = makePrincipal();
    await prepare();
    await give(principal, role);
    await work(principal.credential);
    for (const kind of ["actions", "dataActions"] as const) {
      for (const right of role[kind]) {
        // Making a table is for the first write of all: one was made above.
        if (right.endsWith("/tables/write")) continue;
        await prepare();
        const less = role[kind].filter((each) => each !== right);
        await give(principal, { ...role, [kind]: less });
        await expect(work(principal.credential), `without ${right}`).rejects.toThrow(refused);
      }
    }
  },
  timeoutMs,
);

test("a role at one queue says nothing about another, and none of a stranger", async () => {
  await prepare();
  const worker = makePrincipal();
  const role = readRole("holdfast-worker-events");
  await give(worker, role, `${accountId}/queueServices/default/queues/events`);
  await channelOf(worker.credential).sendEvent("event", signal);
  await give(worker, role, `${accountId}/queueServices/default/queues/jobs`);
  await expect(channelOf(worker.credential).sendEvent("event", signal)).rejects.toThrow(refused);
  await give(worker, { actions: ["*"], dataActions: ["*"] });
  const stranger = makePrincipal();
  await expect(channelOf(stranger.credential).receiveJob(30, signal)).rejects.toThrow(refused);
  await expect(
    createRecordStore({
      credential: stranger.credential,
      tableServiceUrl: storage.backend.endpoints(account).table,
    })
      .table("sessions")
      .read("p", "1"),
  ).rejects.toThrow(refused);
});

test("an account's key may do all", async () => {
  await give(makePrincipal(), { actions: [], dataActions: [] });
  const owner = await storage.account(plainAccount);
  expect((await owner.getContainerClient("plain").getProperties()).leaseState).toBe("available");
});
