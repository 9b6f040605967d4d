import { HoldfastError, codeOf } from "../../lib/errors.ts";
import { inlineBlockCodec, type BlockCodec } from "../codec/block-codec.ts";
import { readReferencedDiskPoint } from "../disk-points.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { sealEnvelope } from "../format/envelope.ts";
import { ID_BYTES, objectNames, requireSafeName } from "../format/layout.ts";
import type { VmPoint } from "../format/manifests.ts";
import { createOptionsOf, requireImmutability, type Immutability } from "../immutability.ts";
import type { Repository } from "../repository.ts";
import { readVmPoint } from "../vm-points.ts";
import { archiveDisk } from "./archive-disk.ts";
import { holdArchives } from "./archives-lock.ts";
import { archiveFolderOf, openArchive, type Archive, type ArchivedDisk } from "./archives.ts";
import { deleteUnreferenced } from "./leftovers.ts";

/**
 * Size at which an archive pack is sealed. Reading out of the archive tier costs per object as well
 * as per byte, and larger objects come back faster
 * (learn.microsoft.com/azure/storage/blobs/archive-rehydrate-overview).
 */
const DEFAULT_PACK_BYTES = 1024 * 1024 * 1024;

export interface ArchiveProgress {
  readonly diskId: string;
  /** How far on the disk the copy is. */
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly storedBytes: number;
}

export interface ArchiveVmPointOptions {
  readonly vmId: string;
  readonly pointId: string;
  /** Names this archive. A retry with the same id goes on where its predecessor died. */
  readonly archiveId: string;
  /** Cryptographically strong bytes. */
  readonly random: (byteCount: number) => Uint8Array;
  readonly now: () => Date;
  readonly codec?: BlockCodec;
  readonly limits?: { readonly packBytes?: number };
  /** When the archive expires: nobody can delete it before. Rounded up to ten days. */
  readonly immutableUntil?: Date;
  readonly onProgress?: (progress: ArchiveProgress) => void;
}

export interface WrittenArchive {
  readonly archive: Archive;
  /** True when the archive was there before: nothing was read or written now. */
  readonly alreadyCommitted: boolean;
}

/**
 * Copies a restore point of a VM into an archive: packs, then maps, then the manifest with
 * create-if-absent. Every block is verified on the way. The restore point may be deleted afterwards.
 *
 * Errors: `VmPointNotFound`, `ArchiveBusy` (another process works on archives of this VM),
 * `ArchiveExists` (the id names an archive of another point), `ImmutabilityNotSupported`,
 * `RepositoryDamaged`, those of the store.
 */
export async function archiveVmPoint(
  repository: Repository,
  options: ArchiveVmPointOptions,
  signal: AbortSignal,
): Promise<WrittenArchive> {
  requireFeatures(repository.descriptor, "write");
  archiveFolderOf(options);
  requireSafeName("point id", options.pointId);
  return holdArchives(repository.store, options.vmId, signal, async (inner) => {
    const known = await readIfThere(repository, options, inner);
    if (known !== undefined) return { archive: known, alreadyCommitted: true };
    const archive = await writeArchive(repository, options, inner);
    return { archive, alreadyCommitted: false };
  });
}

async function readIfThere(
  repository: Repository,
  options: ArchiveVmPointOptions,
  signal: AbortSignal,
): Promise<Archive | undefined> {
  try {
    const open = await openArchive(repository, options, signal);
    if (open.archive.pointId !== options.pointId) throw otherPoint(options, open.archive);
    await deleteUnreferenced(repository, open, undefined, signal);
    return open.archive;
  } catch (error) {
    if (codeOf(error) === "ArchiveNotFound") return undefined;
    throw error;
  }
}

async function writeArchive(
  repository: Repository,
  options: ArchiveVmPointOptions,
  signal: AbortSignal,
): Promise<Archive> {
  const { vmId, archiveId, pointId } = options;
  const { store } = repository;
  const immutability = await requireImmutability(store, options.immutableUntil, signal);
  const point = await readVmPoint(repository, vmId, pointId, signal);
  const disks = await archiveDisks(repository, options, { point, immutability }, signal);
  const archive: Archive = {
    format: 1,
    vmId,
    archiveId,
    pointId,
    takenAt: point.takenAt,
    archivedAt: options.now().toISOString(),
    ...(immutability !== undefined && { immutableUntil: immutability.until.toISOString() }),
    vm: point.vm,
    disks,
  };
  const name = objectNames.archive(vmId, archiveId);
  const objectId = options.random(ID_BYTES);
  const envelope = { kind: "archive", name, objectId, document: archive } as const;
  const body = sealEnvelope(repository.key, envelope);
  await store.create(name, body, signal, createOptionsOf(immutability));
  // Read back: with "exists" it is another's, and only what it names may stay.
  const open = await openArchive(repository, options, signal);
  await deleteUnreferenced(repository, open, undefined, signal);
  return open.archive;
}

async function archiveDisks(
  repository: Repository,
  options: ArchiveVmPointOptions,
  {
    point,
    immutability,
  }: { readonly point: VmPoint; readonly immutability?: Immutability | undefined },
  signal: AbortSignal,
): Promise<ArchivedDisk[]> {
  const disks: ArchivedDisk[] = [];
  try {
    // One after the other: a disk alone keeps the threads and the connection busy.
    for (const { lun, diskPoint } of point.disks) {
      const source = await readReferencedDiskPoint(repository, diskPoint, signal);
      const copy = {
        repository,
        source,
        archiveId: options.archiveId,
        vmId: options.vmId,
        packBytes: options.limits?.packBytes ?? DEFAULT_PACK_BYTES,
        codec: options.codec ?? inlineBlockCodec,
        random: options.random,
        immutability,
        onProgress: options.onProgress ?? (() => undefined),
        signal,
      };
      disks.push({ lun, ...(await archiveDisk(copy)) });
    }
    return disks;
  } catch (error) {
    const code = codeOf(error);
    const isLost = code === "RepositoryDamaged" || code === "DiskPointNotFound";
    // A point that expired meanwhile is no damage: reading it again says so.
    if (isLost) await readVmPoint(repository, options.vmId, options.pointId, signal);
    throw error;
  }
}

function otherPoint({ vmId, archiveId, pointId }: ArchiveVmPointOptions, found: Archive) {
  return new HoldfastError(
    "ArchiveExists",
    `The archive ${archiveId} of VM ${vmId} is a copy of the restore point ${found.pointId}, not of ${pointId}. Choose another id.`,
    { context: { vmId, archiveId, pointId } },
  );
}
