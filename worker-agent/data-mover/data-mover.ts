/**
 * Moves the bytes of disks into a repository and back. One *data mover* per process: its threads
 * and its memory are shared by all disks that it moves at the same time.
 *
 * Memory (raw data under way + pack buffers + threads) depends on the options, never on the size of
 * a disk: with the defaults the process stays below 512 MiB (docs/performance.md).
 */
import { availableParallelism } from "node:os";
import { randomBytes } from "node:crypto";
import { codeOf } from "#core/lib/errors.ts";
import type { DiskDataReader, DiskDataWriter, DiskRange } from "#core/ports/disk-data.ts";
import {
  ThreadCodec,
  BufferPool,
  DEFAULT_CARRY_FORWARD,
  DiskPointReader,
  archiveVmPoint,
  checkRepository,
  defaultWriterLimits,
  writeDiskPart,
  writeDiskPoint,
  openArchivedDisk,
  type ArchiveVmPointOptions,
  type ArchivedDiskReference,
  type CheckReport,
  type CheckRepositoryOptions,
  type DiskPointReference,
  type DiskPointStats,
  type FullReason,
  type RangesToWrite,
  type Repository,
  type Wait,
  type WriteDiskPartOptions,
  type WriteDiskPointOptions,
  type WriterLimits,
  type WrittenArchive,
  type WrittenDiskPoint,
} from "#core/repository/index.ts";
import { systemClock } from "../clock.ts";
import { restorePieces, type RestoreProgress } from "./restore-pieces.ts";

const MIB = 1024 * 1024;
/** Raw data of all disks that is being read and encoded. */
const WINDOW_BUDGET_BYTES = 24 * MIB;
const MIN_WINDOW_BYTES = 4 * MIB;
const PACK_BUDGET_BYTES = 64 * MIB;
/** With more disks than this, packs get smaller so that each disk can have one open. */
const DISKS_WITH_LARGE_PACKS = 3;
const SMALL_PACK_BYTES = 8 * MIB;

export interface DataMoverOptions {
  /** Encoder threads; default one per core, at most 8. */
  readonly threadCount?: number;
  /** Disks that will be moved at the same time (at most 8 make sense); divides the memory. */
  readonly diskCount?: number;
}

export interface BackupDiskOptions {
  readonly repository: Repository;
  readonly diskId: string;
  /** The same for all tries of one backup: a retry finds what was committed. */
  readonly pointId: string;
  readonly reader: DiskDataReader;
  /** What the disk looked like before, for an incremental. Absent: everything is read. */
  readonly since?: {
    readonly parent: DiskPointReference;
    /** SAS of the snapshot that `parent` was made of. */
    readonly previousSas: string;
  };
  /** Blocks called unchanged that are read again and compared. Default 0. */
  readonly sampleCount?: number;
  readonly blockBytes?: number;
  /** Sleeps while another holder has the disk's lock. Default: the system's timer. */
  readonly wait?: Wait;
  /** When the point expires: nobody can delete what it needs before. */
  readonly immutableUntil?: Date;
  readonly onProgress?: (stats: DiskPointStats) => void;
}

export interface BackupPartOptions extends Pick<
  BackupDiskOptions,
  "repository" | "diskId" | "pointId" | "reader" | "immutableUntil" | "onProgress"
> {
  /** What this worker reads of the disk. */
  readonly part: DiskRange;
}

export interface BackedUpDisk extends Omit<WrittenDiskPoint, "fullReason"> {
  readonly fullReason: FullReason | "diff-unavailable" | undefined;
}

export interface RestoreDiskOptions {
  readonly repository: Repository;
  /** A disk of a restore point, or of an archive that was retrieved. */
  readonly reference: DiskPointReference | ArchivedDiskReference;
  /** A new, empty disk of at least the same size. The caller calls `finish` afterwards. */
  readonly writer: DiskDataWriter;
  /** Everything before was written to the disk by an earlier try. Default 0. */
  readonly fromBytes?: number;
  readonly onProgress?: (progress: RestoreProgress) => void;
}

export interface RestoredDisk {
  readonly sizeBytes: number;
  /** Bytes of blocks with content; zero blocks are not written. */
  readonly writtenBytes: number;
}

/** Dispose it to end the threads. */
export class DataMover {
  readonly #codec: ThreadCodec;
  readonly #buffers = new BufferPool(PACK_BUDGET_BYTES);
  readonly #diskCount: number;

  constructor(options: DataMoverOptions = {}) {
    this.#codec = new ThreadCodec(options.threadCount ?? availableParallelism());
    this.#diskCount = Math.max(1, options.diskCount ?? 1);
  }

  /**
   * Backs up one disk. Reads exactly the blocks that hold data (full) or that the change list
   * touches (incremental); falls back to a full when Azure has no diff, the parent is unreadable
   * or a sample contradicts the change list, and says so in `fullReason`.
   */
  async backupDisk(options: BackupDiskOptions, signal: AbortSignal): Promise<BackedUpDisk> {
    const { reader, repository, since } = options;
    const full: RangesToWrite = { kind: "full", allocated: () => reader.listAllocated(signal) };
    const write = {
      ...this.#writing(options, await reader.readSizeBytes(signal)),
      wait: options.wait ?? ((durationMs, inner) => systemClock.sleep(durationMs, inner)),
      carryForward: DEFAULT_CARRY_FORWARD,
      ...(options.blockBytes === undefined ? {} : { blockBytes: options.blockBytes }),
    } satisfies Omit<WriteDiskPointOptions, "ranges">;
    if (since === undefined) {
      return writeDiskPoint(repository, { ...write, ranges: full }, signal);
    }
    const incremental: RangesToWrite = {
      kind: "incremental",
      parent: since.parent,
      allocated: full.allocated,
      changed: () => reader.listChanged(since.previousSas, signal),
      sampleCount: options.sampleCount ?? 0,
    };
    try {
      return await writeDiskPoint(repository, { ...write, ranges: incremental }, signal);
    } catch (error) {
      const code = codeOf(error);
      if (code !== "DiffUnavailable" && code !== "InvalidRangeList") throw error;
      const written = await writeDiskPoint(repository, { ...write, ranges: full }, signal);
      return { ...written, fullReason: "diff-unavailable" };
    }
  }

  /** Reads one part of a disk that several workers share; whoever joins the parts commits. */
  async backupPart(options: BackupPartOptions, signal: AbortSignal): Promise<DiskPointStats> {
    const { reader, repository, part } = options;
    const write = {
      ...this.#writing(options, await reader.readSizeBytes(signal)),
      part,
      allocated: () => reader.listAllocated(signal, part),
    } satisfies WriteDiskPartOptions;
    return (await writeDiskPart(repository, write, signal)).stats;
  }

  /**
   * Writes the content of a disk point to an empty disk: blocks with content only, each verified
   * first, several pieces at a time in no particular order. Does not call `writer.finish`.
   */
  async restoreDisk(options: RestoreDiskOptions, signal: AbortSignal): Promise<RestoredDisk> {
    const { repository, reference, writer, fromBytes = 0 } = options;
    const { onProgress = () => undefined } = options;
    const reading = { codec: this.#codec };
    const source = await ("archiveId" in reference
      ? openArchivedDisk(repository, reference, signal, reading)
      : DiskPointReader.open(repository, reference, signal, reading));
    const writtenBytes = await restorePieces({ source, writer, fromBytes, onProgress }, signal);
    return { sizeBytes: source.sizeBytes, writtenBytes };
  }

  /** As `archiveVmPoint` of the repository, with blocks verified on the mover's threads. */
  async archiveVmPoint(
    repository: Repository,
    options: Omit<ArchiveVmPointOptions, "codec">,
    signal: AbortSignal,
  ): Promise<WrittenArchive> {
    return archiveVmPoint(repository, { ...options, codec: this.#codec }, signal);
  }

  /** As `checkRepository` of the repository, with blocks verified on the mover's threads. */
  async checkRepository(
    repository: Repository,
    options: Omit<CheckRepositoryOptions, "codec">,
    signal: AbortSignal,
  ): Promise<CheckReport> {
    return checkRepository(repository, { ...options, codec: this.#codec }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#codec[Symbol.asyncDispose]();
  }

  #writing(options: Omit<BackupPartOptions, "part">, sizeBytes: number) {
    return {
      diskId: options.diskId,
      pointId: options.pointId,
      sizeBytes,
      source: options.reader,
      random: (byteCount: number): Uint8Array => randomBytes(byteCount),
      now: (): Date => new Date(),
      limits: this.#limitsFor(sizeBytes),
      codec: this.#codec,
      buffers: this.#buffers,
      ...(options.immutableUntil === undefined ? {} : { immutableUntil: options.immutableUntil }),
      ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    };
  }

  #limitsFor(sizeBytes: number): WriterLimits {
    const limits = defaultWriterLimits(sizeBytes);
    const hasManyDisks = this.#diskCount > DISKS_WITH_LARGE_PACKS;
    const windowBytes = Math.max(
      MIN_WINDOW_BYTES,
      Math.floor(WINDOW_BUDGET_BYTES / this.#diskCount),
    );
    return {
      ...limits,
      windowBytes: Math.min(windowBytes, 2 * limits.windowBytes),
      packBytes: hasManyDisks ? Math.min(limits.packBytes, SMALL_PACK_BYTES) : limits.packBytes,
    };
  }
}
