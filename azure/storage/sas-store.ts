import { AnonymousCredential, ContainerClient } from "@azure/storage-blob";
import { HoldfastError } from "#core/lib/errors.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { AzureBlobStore } from "./blob-store.ts";
import type { RepositoryLocation } from "./repository-store.ts";
import { BLOB_RETRY } from "./retry-options.ts";

/**
 * The folder of a blob container that holds a repository, reached with a SAS of the container:
 * permissions read and list are enough to restore.
 *
 * @param sas query string with or without its `?`. Throws `InvalidSas` without repeating it.
 */
export function createSasStore(
  { blobServiceUrl, container, folder }: RepositoryLocation,
  sas: string,
): BlobStore {
  const query = sas.trim().replace(/^\?/, "");
  if (!/(^|&)sig=/.test(query) || /\s/.test(query)) {
    throw new HoldfastError(
      "InvalidSas",
      "The SAS for the container is not a query string with a signature (sv=...&sig=...). Make a new one.",
    );
  }
  const address = new URL(container, blobServiceUrl);
  const client = new ContainerClient(`${address.href}?${query}`, new AnonymousCredential(), {
    retryOptions: BLOB_RETRY,
  });
  return new AzureBlobStore(client, folder);
}
