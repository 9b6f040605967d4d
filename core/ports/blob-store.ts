/**
 * What the repository asks of an object store. Implementations: Azure blob container folder
 * (`azure/storage`), local folder, memory (tests). All obey `test/contract/blob-store-contract.ts`.
 *
 * Names are relative to the repository's folder, `/`-separated, without `.` or `..` segments.
 */
export type AccessTier = "hot" | "cool" | "cold" | "archive";
export type OnlineTier = Exclude<AccessTier, "archive">;

export interface StoredBlob {
  readonly name: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
  /** Absent where the store has no tiers. An `archive` object cannot be read: `BlobArchived`. */
  readonly tier?: AccessTier;
  /** Where a copy out of the archive tier is on its way to; it can be read when this is absent. */
  readonly rehydratingTo?: OnlineTier;
  /** Nobody can delete or replace the object before this instant. */
  readonly immutableUntil?: Date;
}

export interface CreateOptions {
  /** Ignored where the store has no tiers. Default: the account's. */
  readonly tier?: AccessTier;
  /** Only with `StoreCapabilities.immutability`; else `ImmutabilityNotSupported`. */
  readonly immutableUntil?: Date;
}

export interface StoreCapabilities {
  /** Versions of objects can be locked until a date (Azure: version-level immutability). */
  readonly immutability: boolean;
  /** There is an archive tier that has to be left by a copy that takes hours. */
  readonly archiveTier: boolean;
}

/**
 * A mutual exclusion between processes, kept alive by its holder and lost about a minute after that
 * died. `lost` aborts as soon as the holder can no longer be sure of it.
 */
export interface StoreLock {
  readonly lost: AbortSignal;
  /** Ends it; never throws. */
  release(): Promise<void>;
}

export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** The whole object, whatever its size up to the bound: nothing that was stored is trusted with memory. */
export interface WholeObject {
  readonly maxBytes: number;
}

export interface BlobStore {
  readCapabilities(signal: AbortSignal): Promise<StoreCapabilities>;
  /**
   * Writes a whole object that must not exist yet. The object appears completely or not at all.
   * Returns `exists` when there is one of that name already (its bytes are untouched).
   */
  create(
    name: string,
    body: Uint8Array,
    signal: AbortSignal,
    options?: CreateOptions,
  ): Promise<"created" | "exists">;
  /**
   * As `create`, for an object that is too large for memory: its bytes are those of the parts, one
   * after the other. Parts (of 1 byte to 100 MiB, at most 50,000 of them) are taken as fast as they
   * can be stored, or not at all when there is an object of that name. Nothing is created when
   * `parts` throws.
   */
  createFromParts(
    name: string,
    parts: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
    options?: CreateOptions,
  ): Promise<"created" | "exists">;
  /**
   * Whole object, or exactly the range. Throws `HoldfastError` code `BlobNotFound`, `BlobTooShort`,
   * `BlobTooLarge` (before it is in memory), `BlobArchived`.
   */
  read(name: string, part: ByteRange | WholeObject, signal: AbortSignal): Promise<Uint8Array>;
  /** Undefined when there is no such object. */
  readProperties(name: string, signal: AbortSignal): Promise<StoredBlob | undefined>;
  /** Objects whose name starts with `prefix`, ascending by name. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<StoredBlob>;
  /** Deletes every version if present; `immutable` when a policy or hold still protects it. */
  delete(name: string, signal: AbortSignal): Promise<"deleted" | "absent" | "immutable">;
  /** Moves the end of an object's immutability to a later instant; never to an earlier one. */
  extendImmutability(name: string, until: Date, signal: AbortSignal): Promise<void>;
  /**
   * Starts a copy of an archived object to an online tier under a new name. `rehydratingTo` of the
   * copy says whether it is under way. Repeating it is safe.
   */
  startRetrieval(
    from: string,
    to: string,
    options: { readonly tier: OnlineTier; readonly priority: "standard" | "high" },
    signal: AbortSignal,
  ): Promise<"started" | "exists">;
  /** Takes the lock of this name; undefined when another holder has it. */
  lock(name: string, signal: AbortSignal): Promise<StoreLock | undefined>;
}
