import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";
import { AzureBlobStore } from "#azure/storage/blob-store.ts";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import type { ProtectionChange } from "#local/storage/storage-backend.ts";
import { startLocalStorage, type LocalStorage } from "../integration/storage/local-storage.ts";
import { blobStoreContract } from "./blob-store-contract.ts";

describe.each([
  { name: "memory store", capabilities: { immutability: true, archiveTier: true } },
  { name: "memory store as a folder", capabilities: { immutability: false, archiveTier: false } },
])("$name", ({ capabilities }) => {
  blobStoreContract(async () => {
    let nowMs = Date.UTC(2026, 10, 22);
    const now = () => new Date(nowMs);
    const store = new MemoryStore(now);
    store.capabilities = capabilities;
    const passTime = async (seconds: number) => {
      nowMs += seconds * 1000;
      store.finishRetrievals();
    };
    return { store, now, passTime };
  });
});

describe("folder store", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "holdfast-folder-store-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });
  blobStoreContract(async () => ({
    store: new FolderStore(join(folder, randomUUID())),
    now: () => new Date(),
    passTime: async () => undefined,
  }));
});

describe("folder of a blob container", () => {
  let storage: LocalStorage;
  let secondsAhead = 0;
  beforeAll(async () => {
    storage = await startLocalStorage();
  });
  afterAll(() => storage.stop());

  const protections: (ProtectionChange & { readonly account: string })[] = [
    { account: "plain" },
    { account: "versioned", versioning: true },
    { account: "immutable", versioning: true, immutableStorage: true },
  ];
  describe.each(protections)("in an account that is $account", ({ account, ...protection }) => {
    blobStoreContract(async () => {
      const service = await storage.account(account, { protection });
      const container = service.getContainerClient(`c${randomUUID()}`);
      await container.create();
      await container.getBlockBlobClient("folder/subfolder2/foreign").upload("x", 1);
      return {
        store: new AzureBlobStore(container, "folder/sub"),
        now: () => new Date(Date.now() + secondsAhead * 1000),
        passTime: async (seconds) => {
          secondsAhead += seconds;
          await storage.backend.passTime(seconds);
        },
      };
    });
  });
});
