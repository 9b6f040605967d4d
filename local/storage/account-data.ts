import { AzureNamedKeyCredential, TableServiceClient } from "@azure/data-tables";
import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import {
  QueueServiceClient,
  StorageSharedKeyCredential as QueueSharedKeyCredential,
} from "@azure/storage-queue";
import type { StorageEndpoints } from "./storage-backend.ts";

/**
 * Deletes every container, queue and table of an account. The process trusts the authority of the
 * services' certificate (`tls.setDefaultCACertificates`): the clients take no authority of their own.
 */
export async function deleteAccountData(
  account: { readonly name: string; readonly key: string },
  endpoints: StorageEndpoints,
): Promise<void> {
  const blobs = new BlobServiceClient(
    endpoints.blob,
    new StorageSharedKeyCredential(account.name, account.key),
  );
  for await (const { name } of blobs.listContainers()) await blobs.deleteContainer(name);
  const queues = new QueueServiceClient(
    endpoints.queue,
    new QueueSharedKeyCredential(account.name, account.key),
  );
  for await (const { name } of queues.listQueues()) await queues.deleteQueue(name);
  const tables = new TableServiceClient(
    endpoints.table,
    new AzureNamedKeyCredential(account.name, account.key),
  );
  for await (const { name } of tables.listTables()) {
    if (name !== undefined) await tables.deleteTable(name);
  }
}
