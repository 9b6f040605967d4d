/**
 * Microsoft.Storage: an *account* is made in the backend (`#local/storage`), its name is unique in
 * the whole cloud, and its endpoints are those where the backend serves its data.
 */
import type { StorageBackend, StorageEndpoints } from "../../storage/storage-backend.ts";
import type { ResourceProvider } from "../provider.ts";
import { accountServices, type StorageEntities } from "./account-services.ts";
import { accountType, storageAccounts } from "./storage-accounts.ts";

export interface StorageProviderOptions {
  readonly backend: StorageBackend;
  /** Makes containers, queues and tables that are created through Resource Manager. */
  readonly entities: StorageEntities;
  /** What accounts show as their endpoints. Default: the backend's. */
  readonly endpointsOf?: (account: string) => StorageEndpoints;
}

export function storageProvider({
  backend,
  entities,
  endpointsOf = (account) => backend.endpoints(account),
}: StorageProviderOptions): ResourceProvider {
  return {
    namespace: "Microsoft.Storage",
    types: [storageAccounts(backend, endpointsOf), ...accountServices(entities, backend)],
    // Accounts that exist must be served again before anyone asks for their endpoints.
    start: async ({ resources }) => {
      for (const account of resources.list(accountType))
        if (account.internal["key"] !== undefined) await backend.createAccount(account.name);
    },
  };
}
