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

/** What Resource Manager switches on for an account; what is absent stays as it is. */
export interface ProtectionChange {
  readonly versioning?: boolean;
  /** Version-level immutability for all containers, those of the future too. */
  readonly immutableStorage?: true;
  /** A container that gets version-level immutability of its own. */
  readonly immutableContainer?: string;
  /** A container that was deleted, and its immutability with it. */
  readonly mutableContainer?: string;
}

export interface StorageBackend {
  /** Idempotent: an account that exists keeps its key. `key` is base64 of 64 bytes. */
  createAccount(name: string): Promise<{ key: string }>;
  /** Idempotent: removes the account and its data. */
  deleteAccount(name: string): Promise<void>;
  /** Versions and immutability of an account that exists. */
  protectAccount(name: string, change: ProtectionChange): Promise<void>;
  /** Throws when there is no such account. */
  endpoints(name: string): StorageEndpoints;
}
