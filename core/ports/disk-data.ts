/**
 * Bytes of an exported managed disk or snapshot, reached by SAS. Implemented in `azure/disk`.
 *
 * Offsets and lengths are bytes of the disk itself, `[0, sizeBytes)`: the 512-byte VHD footer that
 * Azure appends on export never shows through this port. Ranges are half open by length
 * (`offsetBytes`, `lengthBytes`), never inclusive ends: the SDK's inclusive ends are a known source
 * of lost bytes.
 */
export interface DiskRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** One range of a diff: `data` was written, `clear` became zero. Both must be applied. */
export interface ChangedRange extends DiskRange {
  readonly kind: "data" | "clear";
}

export interface DiskDataReader {
  /** Size of the disk in bytes, without the footer. */
  readSizeBytes(signal: AbortSignal): Promise<number>;
  /** Exactly `lengthBytes` bytes at `offsetBytes`; retries what can pass, adapts to throttling. */
  read(range: DiskRange, signal: AbortSignal): Promise<Uint8Array>;
  /**
   * Ranges that hold data, ascending, 512-aligned, clipped to the disk, joined when adjacent.
   * @param within asks only for what lies there; more may come
   */
  listAllocated(signal: AbortSignal, within?: DiskRange): AsyncIterable<DiskRange>;
  /**
   * What changed since the snapshot behind `previousSas`, ascending. Throws `HoldfastError` with code
   * `DiffUnavailable` when Azure refuses the pair (other family, size grown over 4 TB, ...).
   */
  listChanged(previousSas: string, signal: AbortSignal): AsyncIterable<ChangedRange>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface DiskDataWriter {
  /** Writes 512-aligned bytes; at most 4 MiB per Put Page is the implementation's concern. */
  write(offsetBytes: number, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Writes the VHD footer that an upload must end with. Call once, after all data. */
  finish(signal: AbortSignal): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface DiskOpenOptions {
  /**
   * The disk or snapshot has `dataAccessAuthMode: AzureActiveDirectory`: a token of the caller's identity
   * goes with the SAS. Of a pair of snapshots both have it, or neither.
   */
  readonly needsToken?: boolean | undefined;
}

export interface DiskData {
  openReader(sas: string, options?: DiskOpenOptions): DiskDataReader;
  /** @param sizeBytes size of the target disk without footer */
  openWriter(sas: string, sizeBytes: number, options?: DiskOpenOptions): DiskDataWriter;
}
