import { randomUUID } from "node:crypto";
import { BlobSASPermissions, type ContainerClient } from "@azure/storage-blob";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startLocalStorage, type LocalStorage } from "./local-storage.ts";

let storage: LocalStorage;
/** In an account with version-level immutability; versioned only; neither. */
let immutable: ContainerClient;
let versioned: ContainerClient;
let plain: ContainerClient;

const hourMs = 60 * 60 * 1000;
const inHours = (count: number) => new Date(Date.now() + count * hourMs);

beforeAll(async () => {
  storage = await startLocalStorage();
  const container = async (account: string, protection?: object) => {
    const service = await storage.account(account, { ...(protection && { protection }) });
    const client = service.getContainerClient("things");
    await client.create();
    return client;
  };
  immutable = await container("immutable", { versioning: true, immutableStorage: true });
  versioned = await container("versioned", { versioning: true });
  plain = await container("plain");
});

afterAll(() => storage.stop());

interface Version {
  readonly id: string;
  readonly isCurrent: boolean;
}

async function versionsOf(container: ContainerClient, name: string): Promise<Version[]> {
  const found: Version[] = [];
  for await (const blob of container.listBlobsFlat({ prefix: name, includeVersions: true })) {
    if (blob.name !== name) continue;
    found.push({ id: blob.versionId ?? "none", isCurrent: blob.isCurrentVersion === true });
  }
  return found;
}

async function refused(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "no refusal",
    (error: { statusCode?: number; code?: string; details?: { errorCode?: string } }) =>
      `${error.statusCode} ${error.details?.errorCode ?? error.code}`,
  );
}

async function put(container: ContainerClient, text: string, options = {}) {
  const blob = container.getBlockBlobClient(randomUUID());
  const answer = await blob.upload(text, text.length, options);
  return { blob, versionId: answer.versionId ?? "none" };
}

const textOf = async (blob: { downloadToBuffer(): Promise<Buffer> }) =>
  (await blob.downloadToBuffer()).toString();

describe("versions", () => {
  test("an overwrite keeps the state before, by Put Blob, Put Block List, copy or metadata", async () => {
    const { blob, versionId } = await put(versioned, "one");
    await blob.upload("two", 3);
    const block = Buffer.from("block").toString("base64");
    await blob.stageBlock(block, "three", 5);
    await blob.commitBlockList([block]);
    const other = await put(versioned, "four");
    await (await blob.beginCopyFromURL(other.blob.url)).pollUntilDone();
    await blob.setMetadata({ key: "value" });

    const versions = await versionsOf(versioned, blob.name);
    expect(versions.map(({ isCurrent }) => isCurrent)).toEqual([false, false, false, false, true]);
    const texts = versions.map(({ id }) => textOf(blob.withVersion(id)));
    expect(await Promise.all(texts)).toEqual(["one", "two", "three", "four", "four"]);
    expect(versions[0]?.id).toBe(versionId);
    const { versionId: now, isCurrentVersion } = await blob.getProperties();
    expect({ now, isCurrentVersion }).toEqual({ now: versions[4]?.id, isCurrentVersion: true });
    const first = await blob.withVersion(versionId).getProperties();
    expect([first.versionId, first.isCurrentVersion]).toEqual([versionId, undefined]);
  });

  test("a deleted blob is gone and its last state is a previous version", async () => {
    const { blob, versionId } = await put(versioned, "kept");
    await blob.delete();
    expect(await blob.exists()).toBe(false);
    expect(await versionsOf(versioned, blob.name)).toEqual([{ id: versionId, isCurrent: false }]);
    expect(await textOf(blob.withVersion(versionId))).toBe("kept");
    const names = [];
    for await (const { name } of versioned.listBlobsFlat({ prefix: blob.name })) names.push(name);
    expect(names).toEqual([]);
  });

  test("a previous version is deleted by its id, the current one is not", async () => {
    const { blob, versionId } = await put(versioned, "one");
    const { versionId: second = "none" } = await blob.upload("two", 3);
    const current = blob.withVersion(second);
    expect(await refused(current.delete())).toBe("403 OperationNotAllowedOnRootBlob");
    await blob.withVersion(versionId).delete();
    expect(await refused(blob.withVersion(versionId).delete())).toBe("404 BlobNotFound");
    expect(await versionsOf(versioned, blob.name)).toEqual([{ id: second, isCurrent: true }]);
  });

  test("concurrent overwrites lose no state", async () => {
    const { blob } = await put(versioned, "0");
    await Promise.all(["1", "2", "3", "4", "5"].map((text) => blob.upload(text, 1)));
    const versions = await versionsOf(versioned, blob.name);
    const texts = await Promise.all(versions.map(({ id }) => textOf(blob.withVersion(id))));
    expect(texts.sort()).toEqual(["0", "1", "2", "3", "4", "5"]);
  });

  test("without versioning there are none", async () => {
    const { blob, versionId } = await put(plain, "one");
    await blob.upload("two", 3);
    expect(versionId).toBe("none");
    expect(await versionsOf(plain, blob.name)).toEqual([{ id: "none", isCurrent: false }]);
    await blob.delete();
    expect(await versionsOf(plain, blob.name)).toEqual([]);
  });
});

describe("immutability", () => {
  const locked = (expiriesOn: Date) => ({ expiriesOn, policyMode: "Locked" }) as const;
  const unlocked = (expiriesOn: Date) => ({ expiriesOn, policyMode: "Unlocked" }) as const;

  test("a container says whether it has it", async () => {
    const says = async (container: ContainerClient) =>
      (await container.getProperties()).isImmutableStorageWithVersioningEnabled;
    expect(await says(immutable)).toBe(true);
    expect(await says(versioned)).toBe(false);
  });

  test("a protected version is not deleted; an overwrite makes a version beside it", async () => {
    const { blob, versionId } = await put(immutable, "one", {
      immutabilityPolicy: unlocked(inHours(1)),
    });
    expect(await refused(blob.delete())).toBe("409 BlobImmutableDueToPolicy");
    expect(await refused(blob.setMetadata({ a: "b" }))).toBe("409 BlobImmutableDueToPolicy");
    await blob.upload("two", 3);
    await blob.delete();
    const old = blob.withVersion(versionId);
    expect(await refused(old.delete())).toBe("409 BlobImmutableDueToPolicy");
    expect(await textOf(old)).toBe("one");
    await old.deleteImmutabilityPolicy();
    await old.delete();
  });

  test("Put Block List takes a policy, lists and properties show it", async () => {
    const blob = immutable.getBlockBlobClient(randomUUID());
    const block = Buffer.from("block").toString("base64");
    await blob.stageBlock(block, "text", 4);
    const until = new Date(Math.ceil(Date.now() / 1000) * 1000 + hourMs);
    await blob.commitBlockList([block], { immutabilityPolicy: locked(until) });
    const { immutabilityPolicyExpiresOn, immutabilityPolicyMode } = await blob.getProperties();
    expect({ immutabilityPolicyExpiresOn, immutabilityPolicyMode }).toEqual({
      immutabilityPolicyExpiresOn: until,
      immutabilityPolicyMode: "Locked",
    });
    const shown = async (includeImmutabilityPolicy: boolean) => {
      const list = immutable.listBlobsFlat({ prefix: blob.name, includeImmutabilityPolicy });
      for await (const { properties } of list) return properties.immutabilityPolicyExpiresOn;
      return "nothing listed";
    };
    expect(await shown(true)).toEqual(until);
    expect(await shown(false)).toBeUndefined();
  });

  test("a locked policy is extended and neither shortened, unlocked nor removed", async () => {
    const { blob } = await put(immutable, "x", { immutabilityPolicy: locked(inHours(2)) });
    const shorter = "409 ImmutabilityPolicyShortenOnLockedPolicy";
    expect(await refused(blob.setImmutabilityPolicy(locked(inHours(1))))).toBe(shorter);
    expect(await refused(blob.setImmutabilityPolicy(unlocked(inHours(3))))).toBe(shorter);
    expect(await refused(blob.deleteImmutabilityPolicy())).toBe(
      "409 ImmutabilityPolicyDeleteOnLockedPolicy",
    );
    await blob.setImmutabilityPolicy(locked(inHours(3)));
    const unlockedOne = await put(immutable, "x", { immutabilityPolicy: unlocked(inHours(2)) });
    await unlockedOne.blob.setImmutabilityPolicy(unlocked(inHours(1)));
  });

  test("a legal hold protects until it is lifted", async () => {
    const { blob } = await put(immutable, "x");
    await blob.setLegalHold(true);
    expect(await refused(blob.delete())).toBe("409 BlobImmutableDueToLegalHold");
    await blob.setLegalHold(false);
    await blob.delete();
  });

  test("it needs the container's support and an instant to come", async () => {
    const without = "409 ImmutableStorageWithVersioningNotEnabled";
    const policy = { immutabilityPolicy: unlocked(inHours(1)) };
    expect(await refused(put(versioned, "x", policy))).toBe(without);
    expect(await refused(put(plain, "x", policy))).toBe(without);
    const { blob } = await put(versioned, "x");
    expect(await refused(blob.setImmutabilityPolicy(unlocked(inHours(1))))).toBe(without);
    const past = put(immutable, "x", { immutabilityPolicy: unlocked(inHours(-1)) });
    expect(await refused(past)).toBe("400 InvalidHeaderValue");
  });

  test("a container with it goes only when it is empty, previous versions included", async () => {
    const service = await storage.account("immutable");
    const container = service.getContainerClient("shortlived");
    await container.create();
    const { blob, versionId } = await put(container, "x");
    const notEmpty = "409 ContainerImmutableStorageWithVersioningNotEmpty";
    expect(await refused(container.delete())).toBe(notEmpty);
    await blob.delete();
    expect(await refused(container.delete())).toBe(notEmpty);
    await blob.withVersion(versionId).delete();
    await container.delete();
  });
});

describe("the archive tier", () => {
  test("a copy out of it waits for its time, by priority, and keeps its source", async () => {
    const { blob } = await put(plain, "cold bytes", { tier: "Archive" });
    const retrieve = async (rehydratePriority: "High" | "Standard") => {
      const target = plain.getBlockBlobClient(randomUUID());
      await target.beginCopyFromURL(blob.url, { tier: "Hot", rehydratePriority });
      return target;
    };
    const slow = await retrieve("Standard");
    const fast = await retrieve("High");
    expect(await refused(slow.downloadToBuffer())).toBe("409 BlobArchived");
    const { archiveStatus, accessTier, copyStatus } = await slow.getProperties();
    expect({ archiveStatus, accessTier, copyStatus }).toEqual({
      archiveStatus: "rehydrate-pending-to-hot",
      accessTier: "Archive",
      copyStatus: "pending",
    });
    await storage.backend.passTime(6);
    expect(await textOf(fast)).toBe("cold bytes");
    expect(await refused(slow.downloadToBuffer())).toBe("409 BlobArchived");
    await storage.backend.passTime(30);
    expect(await textOf(slow)).toBe("cold bytes");
    expect((await slow.getProperties()).archiveStatus).toBeUndefined();
    expect((await blob.getProperties()).accessTier).toBe("Archive");
    expect(await refused(blob.downloadToBuffer())).toBe("409 BlobArchived");
  });

  test("a source is named with a SAS too, which must be good", async () => {
    const { blob } = await put(plain, "cold bytes", { tier: "Archive" });
    const permissions = BlobSASPermissions.parse("r");
    const url = await blob.generateSasUrl({ permissions, expiresOn: inHours(1) });
    const target = plain.getBlockBlobClient(randomUUID());
    const forged = url.replace(/sig=.{4}/, "sig=AAAA");
    expect(await refused(target.beginCopyFromURL(forged, { tier: "Hot" }))).toBe(
      "403 CannotVerifyCopySource",
    );
    await target.beginCopyFromURL(url, { tier: "Hot" });
    await storage.backend.passTime(60);
    expect(await textOf(target)).toBe("cold bytes");
  });

  test("a copy without its source never ends, nor does one into the archive begin", async () => {
    const { blob } = await put(plain, "x", { tier: "Archive" });
    const target = plain.getBlockBlobClient(randomUUID());
    const toArchive = target.beginCopyFromURL(blob.url, { tier: "Archive" });
    expect(await refused(toArchive)).toBe("409 CopyOfArchivedBlobToArchive");
    expect(await refused(target.beginCopyFromURL(blob.url))).toBe("409 BlobArchived");
    await target.beginCopyFromURL(blob.url, { tier: "Cool" });
    await blob.delete();
    await storage.backend.passTime(60);
    expect(await refused(target.downloadToBuffer())).toBe("409 BlobArchived");
  });

  test("a change of tier takes its time too, is hurried by priority and not redirected", async () => {
    const { blob } = await put(plain, "x", { tier: "Archive" });
    await blob.setAccessTier("Cool");
    expect((await blob.getProperties()).archiveStatus).toBe("rehydrate-pending-to-cool");
    expect(await refused(blob.setAccessTier("Hot"))).toBe("409 BlobBeingRehydrated");
    await blob.setAccessTier("Cool", { rehydratePriority: "High" });
    await storage.backend.passTime(6);
    expect(await textOf(blob)).toBe("x");
    expect((await blob.getProperties()).accessTier).toBe("Cool");
  });
});

test("a throttled account is answered 503 so often as asked for", async () => {
  const { blob } = await put(plain, "x");
  await storage.backend.makeBusy("plain", 2);
  expect(await refused(blob.downloadToBuffer())).toBe("503 ServerBusy");
  expect(await refused(put(plain, "y"))).toBe("503 ServerBusy");
  expect(await textOf(blob)).toBe("x");
});

test("versions, policies and rehydrations survive a restart", async () => {
  const policy = { immutabilityPolicy: { expiriesOn: inHours(1), policyMode: "Locked" } };
  const { blob, versionId } = await put(immutable, "kept", policy);
  await blob.upload("new", 3);
  const archived = await put(plain, "cold", { tier: "Archive" });
  await archived.blob.setAccessTier("Hot");
  await storage.restart();
  const old = blob.withVersion(versionId);
  expect(await textOf(old)).toBe("kept");
  expect(await refused(old.delete())).toBe("409 BlobImmutableDueToPolicy");
  expect((await archived.blob.getProperties()).archiveStatus).toBe("rehydrate-pending-to-hot");
  await storage.backend.passTime(1000);
  expect(await textOf(archived.blob)).toBe("cold");
});
