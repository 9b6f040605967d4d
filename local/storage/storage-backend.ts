/**
 * Where the data of a simulated storage account lives. Resource Manager creates and deletes
 * accounts through this; the local stack implements it with Azurite.
 */
export interface StorageEndpoints {
  /** With a trailing slash, as in `primaryEndpoints`. */
  readonly blob: string;
  readonly queue: string;
  readonly table: string;
}

export interface StorageBackend {
  /** Idempotent: an account that exists keeps its key. `key` is base64 of 64 bytes. */
  createAccount(name: string): Promise<{ key: string }>;
  /** Idempotent: removes the account and its data. */
  deleteAccount(name: string): Promise<void>;
  /** Throws when there is no such account. */
  endpoints(name: string): StorageEndpoints;
}
