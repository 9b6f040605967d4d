import type { TokenCredential } from "@azure/core-auth";
import { BlobServiceClient } from "@azure/storage-blob";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { AzureBlobStore } from "./blob-store.ts";
import { BLOB_RETRY } from "./retry-options.ts";

export interface RepositoryLocation {
  readonly blobServiceUrl: string;
  readonly container: string;
  /** Folder in the container, without slashes at its ends; empty for its root. */
  readonly folder: string;
}

/** The folder of a blob container that holds a repository, reached with a managed identity. */
export function createRepositoryStore(
  credential: TokenCredential,
  { blobServiceUrl, container, folder }: RepositoryLocation,
): BlobStore {
  const service = new BlobServiceClient(blobServiceUrl, credential, { retryOptions: BLOB_RETRY });
  return new AzureBlobStore(service.getContainerClient(container), folder);
}
