import { randomUUID } from "node:crypto";
import type { ContainerClient } from "@azure/storage-blob";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AzureBlobStore } from "#azure/storage/blob-store.ts";
import { startLocalStorage, type LocalStorage } from "./local-storage.ts";

let storage: LocalStorage;
const signal = new AbortController().signal;
const whole = { maxBytes: 2 ** 30 };
const body = new TextEncoder().encode("bytes");
const inHours = (count: number) => new Date(Date.now() + count * 3_600_000);

beforeAll(async () => {
  storage = await startLocalStorage();
  await storage.account("immutable", { protection: { versioning: true, immutableStorage: true } });
});
afterAll(() => storage.stop());

async function newContainer(maxTries = 1): Promise<ContainerClient> {
  const service = await storage.account("immutable", { maxTries });
  const container = service.getContainerClient(`c${randomUUID()}`);
  await container.create();
  return container;
}

async function versionCount(container: ContainerClient): Promise<number> {
  let count = 0;
  for await (const _ of container.listBlobsFlat({ includeVersions: true })) count++;
  return count;
}

test("delete leaves no version of an object, and finishes what another began", async () => {
  const container = await newContainer();
  const store = new AzureBlobStore(container, "folder");
  await store.create("x", body, signal);
  await store.create("x2", body, signal);
  const blob = container.getBlockBlobClient("folder/x");
  await blob.upload("by a stranger", 13);
  expect(await versionCount(container)).toBe(3);
  expect(await store.delete("x", signal)).toBe("deleted");
  expect(await versionCount(container)).toBe(1);

  await store.create("x", body, signal);
  await blob.delete();
  expect(await versionCount(container)).toBe(2);
  expect(await new AzureBlobStore(container, "folder").delete("x", signal)).toBe("deleted");
  expect(await store.delete("x", signal)).toBe("absent");
  expect(await versionCount(container)).toBe(1);
});

test("a protected version behind a stranger's is told, and goes when its time has come", async () => {
  const container = await newContainer();
  const store = new AzureBlobStore(container, "");
  await store.create("x", body, signal, { immutableUntil: inHours(1) });
  await container.getBlockBlobClient("x").upload("by a stranger", 13);
  expect(await store.delete("x", signal)).toBe("immutable");
  expect(await versionCount(container)).toBe(1);
  await storage.backend.passTime(3_700);
  expect(await store.delete("x", signal)).toBe("deleted");
  expect(await versionCount(container)).toBe(0);
});

test("protection is locked unless the store is for a trial, and stays locked", async () => {
  const container = await newContainer();
  const store = new AzureBlobStore(container, "");
  const trial = new AzureBlobStore(container, "", { immutabilityMode: "Unlocked" });
  const until = inHours(100);
  await store.create("locked", body, signal, { immutableUntil: until });
  await trial.create("unlocked", body, signal, { immutableUntil: until });
  const modeOf = async (name: string) =>
    (await container.getBlobClient(name).getProperties()).immutabilityPolicyMode;
  expect([await modeOf("locked"), await modeOf("unlocked")]).toEqual(["Locked", "Unlocked"]);
  await trial.extendImmutability("locked", inHours(200), signal);
  await trial.extendImmutability("unlocked", inHours(200), signal);
  expect([await modeOf("locked"), await modeOf("unlocked")]).toEqual(["Locked", "Unlocked"]);
});

test("of many who extend at once the latest end stays, and nobody fails", async () => {
  const store = new AzureBlobStore(await newContainer(), "");
  await store.create("x", body, signal, { immutableUntil: inHours(100) });
  const ends = [103, 101, 105, 102, 104].map(inHours);
  await Promise.all(ends.map((end) => store.extendImmutability("x", end, signal)));
  const { immutableUntil } = (await store.readProperties("x", signal)) ?? {};
  expect(immutableUntil?.getTime()).toBeGreaterThanOrEqual(ends[2]?.getTime() ?? Infinity);
});

test("a lock is taken on a blob that a policy protects", async () => {
  const container = await newContainer();
  const store = new AzureBlobStore(container, "");
  await (await store.lock("lock", signal))?.release();
  await store.extendImmutability("lock", inHours(1000), signal);
  const lock = await store.lock("lock", signal);
  expect(lock).toBeDefined();
  expect(await store.lock("lock", signal)).toBeUndefined();
  await lock?.release();
});

test("a lease that is broken is free for the next", async () => {
  const container = await newContainer();
  const store = new AzureBlobStore(container, "");
  const first = await store.lock("lock", signal);
  await container.getBlobClient("lock").getBlobLeaseClient().breakLease(0);
  const second = await store.lock("lock", signal);
  expect(second).toBeDefined();
  await first?.release();
  expect(await store.lock("lock", signal)).toBeUndefined();
  await second?.release();
});

test("a throttled account is waited for; one that stays busy is an error to try again", async () => {
  const container = await newContainer(4);
  const store = new AzureBlobStore(container, "");
  await storage.backend.makeBusy("immutable", 3);
  expect(await store.create("x", body, signal)).toBe("created");
  await storage.backend.makeBusy("immutable", 3);
  expect(await store.read("x", whole, signal)).toEqual(Buffer.from(body));
  await storage.backend.makeBusy("immutable", 1000);
  await expect(store.read("x", whole, signal)).rejects.toMatchObject({
    code: "ServerBusy",
    retry: "backoff",
  });
  await storage.backend.makeBusy("immutable", 0);
});
