/** The composition root: the only file of the command line that knows which adapters there are. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { createOperatorCredential } from "#azure/identity/operator-credential.ts";
import { createKeyWrapper } from "#azure/keyvault/key-wrapper.ts";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { createRepositoryStore } from "#azure/storage/repository-store.ts";
import { createSasStore } from "#azure/storage/sas-store.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import type { KeyWrapper } from "#core/ports/key-wrapper.ts";
import { ThreadCodec, encoderThreadFile } from "#core/repository/index.ts";
import type { RepositoryLocation } from "./location.ts";
import type { Terminal } from "./terminal.ts";

/** The store behind a location; a container's SAS comes from the environment only. */
export function openStore(
  location: RepositoryLocation,
  environment: Terminal["environment"],
): BlobStore {
  if (location.kind === "folder") return new FolderStore(location.path);
  const sas = environment["HOLDFAST_REPOSITORY_SAS"];
  if (sas !== undefined && sas !== "") return createSasStore(location, sas);
  return createRepositoryStore(createOperatorCredential(), location);
}

/**
 * Decodes blocks on all cores. Undefined where the program was copied without the file of its threads:
 * it then decodes by itself.
 */
export function startCodec(): ThreadCodec | undefined {
  return existsSync(encoderThreadFile()) ? new ThreadCodec(availableParallelism()) : undefined;
}

/** Key vaults, reached as the person at the terminal. */
export function openVault(): KeyWrapper {
  return createKeyWrapper({ credential: createOperatorCredential() });
}
