/** What a caller says about one disk point that is to be written, and what it gets back. */
import { HoldfastError } from "../../lib/errors.ts";
import type { ChangedRange, DiskRange } from "../../ports/disk-data.ts";
import type { BufferPool } from "../buffer-pool.ts";
import type { BlockCodec } from "../codec/block-codec.ts";
import { MAX_DISK_BYTES } from "../format/layout.ts";
import type { DiskPointManifest, DiskPointReference, DiskPointStats } from "../format/manifests.ts";
import { FOOTER_ENTRY_BYTES } from "../format/sealed-object.ts";
import type { CarryForwardLimits } from "./plan-carry-forward.ts";
import type { Wait } from "./disk-lock.ts";
import type { ReadsDisk } from "./run-pipeline.ts";

/** Which parts of the disk to look at. Iterables are asked for anew by each try. */
export type RangesToWrite =
  | { readonly kind: "full"; readonly allocated: () => AsyncIterable<DiskRange> }
  | {
      readonly kind: "incremental";
      /** The committed point that the changes are relative to. */
      readonly parent: DiskPointReference;
      readonly changed: () => AsyncIterable<ChangedRange>;
      /** For a full read instead, when the parent or the change list cannot be relied on. */
      readonly allocated: () => AsyncIterable<DiskRange>;
      /** Blocks outside the change list that are read again and compared. 0 = none. */
      readonly sampleCount: number;
    };

export interface WriteDiskPointOptions {
  readonly diskId: string;
  /** Names this backup. A retry with the same id finds what was committed and returns it. */
  readonly pointId: string;
  readonly sizeBytes: number;
  readonly source: ReadsDisk;
  readonly ranges: RangesToWrite;
  readonly random: (byteCount: number) => Uint8Array;
  readonly now: () => Date;
  /**
   * Power of two, 4 KiB to 4 MiB; only the first point of a disk can choose. Default: see
   * `defaultBlockBytes`.
   */
  readonly blockBytes?: number;
  /**
   * Seals what is new by another data key. What is there stays as it is until it is stored again; a
   * full stores everything again.
   */
  readonly rotateDataKey?: boolean;
  readonly limits?: Partial<WriterLimits>;
  readonly codec?: BlockCodec;
  /** Shared by all disks of a process; bounds pack buffers. */
  readonly buffers?: BufferPool;
  readonly onProgress?: (stats: DiskPointStats) => void;
  /**
   * Takes the disk's lock and waits by this for another holder. Without it no lock is taken: the
   * caller makes sure that no other program writes to the repository or collects its garbage.
   */
  readonly wait?: Wait;
  /** When the point expires: nobody can delete what it needs before. Rounded up to ten days. */
  readonly immutableUntil?: Date;
  /** Empties packs that are hardly used any more, in incrementals. Absent: never. */
  readonly carryForward?: CarryForwardLimits;
}

export interface WriterLimits {
  /** Longest single read of the source. */
  readonly maxReadBytes: number;
  /** Raw bytes of one disk that are read and encoded at the same time. */
  readonly windowBytes: number;
  /** Size at which a pack is sealed. */
  readonly packBytes: number;
  /** Footers of a dead predecessor's packs that are kept; others are read again when needed. */
  readonly keptFooterBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** 64 Ki blocks: those of 4 GiB at 64 KiB. One leaf, which is what is worked on, needs those of 1,024. */
const KEPT_FOOTER_BYTES = 64 * 1024 * FOOTER_ENTRY_BYTES;

/** Above it the tables of a root would grow beyond what a backup may keep in memory. */
const FINE_MAP_MAX_BYTES = 4096 * GIB;

/**
 * What a disk is divided into, unless its first point chose otherwise: as fine as most writes of
 * guests, four times coarser where the map would become too large.
 */
export function defaultBlockBytes(sizeBytes: number): number {
  return sizeBytes <= FINE_MAP_MAX_BYTES ? 64 * KIB : 256 * KIB;
}

/** Larger packs for larger disks, so that the table of packs in the root stays small. */
export function defaultWriterLimits(sizeBytes: number): WriterLimits {
  const packBytes = sizeBytes <= FINE_MAP_MAX_BYTES ? 16 * MIB : 32 * MIB;
  const keptFooterBytes = KEPT_FOOTER_BYTES;
  return { maxReadBytes: 2 * MIB, windowBytes: 16 * MIB, packBytes, keptFooterBytes };
}

/** Throws `InvalidDiskSize`. */
export function requireDiskSize(sizeBytes: number): void {
  const isSound = Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % 512 === 0;
  if (isSound && sizeBytes <= MAX_DISK_BYTES) return;
  throw new HoldfastError(
    "InvalidDiskSize",
    `A disk of ${sizeBytes} bytes cannot be stored: the size must be a positive multiple of 512.`,
  );
}

export type FullReason = "asked-for" | "change-hint-wrong" | "parent-unreadable";

export interface WrittenDiskPoint {
  readonly reference: DiskPointReference;
  readonly manifest: DiskPointManifest;
  readonly kind: "full" | "incremental";
  /** Why everything was read; undefined for an incremental. */
  readonly fullReason: FullReason | undefined;
  readonly changeHintWrong: boolean;
  readonly stats: DiskPointStats;
  /** Blocks that a health check had found damaged: the new point holds them anew. */
  readonly healedBlocks: number;
  /** True when a point of this id was committed before: nothing was read or written now. */
  readonly alreadyCommitted: boolean;
}
