/**
 * What the repository asks of an object store. Implementations: Azure blob container folder
 * (`azure/storage`), local folder, memory (tests). All obey `test/contract/blob-store-contract.ts`.
 *
 * Names are relative to the repository's folder, `/`-separated, without `.` or `..` segments.
 */
export interface StoredBlob {
  readonly name: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
}

export interface BlobStore {
  /**
   * Writes a whole object that must not exist yet. The object appears completely or not at all.
   * Returns `exists` when there is one of that name already (its bytes are untouched).
   */
  create(name: string, body: Uint8Array, signal: AbortSignal): Promise<"created" | "exists">;
  /** Whole object, or exactly the range. Throws `HoldfastError` code `BlobNotFound` / `BlobTooShort`. */
  read(
    name: string,
    range: { readonly offsetBytes: number; readonly lengthBytes: number } | undefined,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  /** Objects whose name starts with `prefix`, ascending by name. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<StoredBlob>;
  /** Deletes if present. */
  delete(name: string, signal: AbortSignal): Promise<void>;
}
