/**
 * The backup repository: a folder of write-once objects that is readable with one secret and
 * `docs/repository-format.md` alone, without control plane and without any other object.
 *
 * A *block* is a fixed, aligned piece of a disk (64 KiB, and 256 KiB on disks above 4 TiB, unless the
 * disk's first point chose otherwise). A *pack* holds sealed blocks of one disk. The *block map*
 * (root, leaves) says where each block of a restore point lies; leaves that did not change are
 * shared with older points. A *disk point* is the manifest of one disk, a *VM point* that of a VM
 * with all its disks.
 *
 * Invariants: no object is ever changed. A point is visible only when its manifest is there, and
 * then everything that it needs is there. Every point is complete: deleting another one never
 * harms it. Nothing read is returned before it was verified.
 */
export { createRepository, openRepository } from "./repository.ts";
export type { Repository } from "./repository.ts";
export type { RepositorySecret } from "./format/key-slot.ts";
export {
  addKeySlot,
  listKeySlots,
  newRecoveryKey,
  removeKeySlot,
  rotateRepositoryKey,
} from "./key-slots.ts";
export { BufferPool } from "./buffer-pool.ts";
export { decodeBlocks } from "./codec/decode-blocks.ts";
export { ThreadCodec, encoderThreadFile } from "./codec/thread-codec.ts";
export { giveBack } from "./codec/give-back.ts";
export type { BlockCodec } from "./codec/block-codec.ts";
export { writeDiskPoint } from "./writer/write-disk-point.ts";
export { writeDiskPart } from "./writer/write-disk-part.ts";
export type { WriteDiskPartOptions } from "./writer/write-disk-part.ts";
export { joinDiskParts } from "./writer/join-disk-parts.ts";
export type { JoinDiskPartsOptions } from "./writer/join-disk-parts.ts";
export { defaultWriterLimits } from "./writer/write-options.ts";
export type {
  FullReason,
  RangesToWrite,
  WriteDiskPointOptions,
  WriterLimits,
  WrittenDiskPoint,
} from "./writer/write-options.ts";
export { DEFAULT_CARRY_FORWARD } from "./writer/plan-carry-forward.ts";
export type { Wait } from "./writer/disk-lock.ts";
export { expireVmPoints } from "./maintenance/expire-vm-points.ts";
export { protectKeys } from "./maintenance/protect-keys.ts";
export { collectGarbage } from "./maintenance/collect-garbage.ts";
export { readDiskPoint, readReferencedDiskPoint } from "./disk-points.ts";
export { objectNames } from "./format/layout.ts";
export type { DiskPointReference, DiskPointStats, VmPoint } from "./format/manifests.ts";
export { DiskPointReader } from "./reader/disk-point-reader.ts";
export { commitVmPoint, listVmPoints, readVmPoint } from "./vm-points.ts";
export { archiveVmPoint } from "./archive/archive-vm-point.ts";
export type { ArchiveVmPointOptions, WrittenArchive } from "./archive/archive-vm-point.ts";
export { listArchives, readArchive } from "./archive/archives.ts";
export type { Archive, ArchiveName } from "./archive/archives.ts";
export { openArchivedDisk } from "./archive/archived-disk.ts";
export type { ArchivedDiskReference } from "./archive/archived-disk.ts";
export { deleteArchive } from "./archive/delete-archive.ts";
export { collectArchiveLeftovers } from "./archive/leftovers.ts";
export { deleteRetrieval, readRetrieval, startRetrieval } from "./archive/retrievals.ts";
export { checkRepository } from "./check/check-repository.ts";
export type { CheckReport, CheckRepositoryOptions } from "./check/check-context.ts";
export type { CheckFinding } from "./check/findings.ts";
