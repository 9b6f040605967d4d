import { StorageSharedKeyCredential as BlobKey, BlobServiceClient } from "@azure/storage-blob";
import { AzureNamedKeyCredential, TableServiceClient } from "@azure/data-tables";
import { StorageSharedKeyCredential as QueueKey, QueueServiceClient } from "@azure/storage-queue";
import type { StorageBackend } from "../../storage/storage-backend.ts";
import type { StorageEntities, StorageEntity } from "./account-services.ts";

/**
 * Makes containers, queues and tables in the accounts of a backend, with the account's own key, as
 * Azure's storage does for management requests. The process must trust the backend's certificates.
 */
export function dataPlaneEntities(backend: StorageBackend): StorageEntities {
  return {
    create: (entity) => change(backend, entity, "create"),
    delete: (entity) => change(backend, entity, "delete"),
  };
}

async function change(
  backend: StorageBackend,
  entity: StorageEntity,
  verb: "create" | "delete",
): Promise<void> {
  const { account, kind, name } = entity;
  const { key } = await backend.createAccount(account);
  const endpoints = backend.endpoints(account);
  switch (kind) {
    case "container": {
      const service = new BlobServiceClient(trimmed(endpoints.blob), new BlobKey(account, key));
      const container = service.getContainerClient(name);
      await (verb === "create" ? container.createIfNotExists() : container.deleteIfExists());
      return;
    }
    case "queue": {
      const service = new QueueServiceClient(trimmed(endpoints.queue), new QueueKey(account, key));
      const queue = service.getQueueClient(name);
      await (verb === "create" ? queue.createIfNotExists() : queue.deleteIfExists());
      return;
    }
    case "table": {
      const credential = new AzureNamedKeyCredential(account, key);
      const service = new TableServiceClient(trimmed(endpoints.table), credential);
      // Both calls of this client succeed when there is nothing to do.
      await (verb === "create" ? service.createTable(name) : service.deleteTable(name));
    }
  }
}

function trimmed(url: string): string {
  return url.replace(/\/$/, "");
}
