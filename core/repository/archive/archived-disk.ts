import { HoldfastError, codeOf } from "../../lib/errors.ts";
import type { BlockSource } from "../block-map.ts";
import { objectNames } from "../format/layout.ts";
import { DiskPointReader, type DiskPointReaderOptions } from "../reader/disk-point-reader.ts";
import type { Repository } from "../repository.ts";
import { archiveFolderOf, openArchive, type ArchiveName } from "./archives.ts";
import { readRetrievalRecord, requireDisk } from "./retrievals.ts";

/** Names one disk of an archive, and the retrieval that made its packs readable. */
export interface ArchivedDiskReference extends ArchiveName {
  readonly diskId: string;
  /** Absent: packs are read where they lie, e.g. in a copy of the repository on a local disk. */
  readonly retrievalId?: string;
}

/**
 * Reads the content of an archived disk. Its map (`extents`) can be read any time; its blocks when
 * they were retrieved, each verified as those of a restore point. Until then reading them throws
 * `ArchiveNotRetrieved`.
 *
 * Errors: `ArchiveNotFound`, `DiskNotInArchive`, `RetrievalNotFound`, `RetrievalMismatch` (it is one
 * of another archive or of other disks), `RepositoryDamaged`.
 */
export async function openArchivedDisk(
  repository: Repository,
  reference: ArchivedDiskReference,
  signal: AbortSignal,
  options: DiskPointReaderOptions = {},
): Promise<DiskPointReader> {
  const open = await openArchive(repository, reference, signal);
  const point = open.points[requireDisk(open, reference.diskId)];
  if (point === undefined) throw mismatch(reference);
  await requireRetrieval(repository, reference, signal);
  return DiskPointReader.openIn(sourceOf(repository, reference), point, signal, options);
}

async function requireRetrieval(
  repository: Repository,
  reference: ArchivedDiskReference,
  signal: AbortSignal,
): Promise<void> {
  const { vmId, archiveId, diskId, retrievalId } = reference;
  if (retrievalId === undefined) return;
  const record = await readRetrievalRecord(repository, retrievalId, signal);
  const isOfDisk = record.diskIds.includes(diskId);
  if (record.vmId !== vmId || record.archiveId !== archiveId || !isOfDisk) {
    throw mismatch(reference);
  }
}

/** The map from the archive's folder, packs from the retrieval's. */
function sourceOf({ store }: Repository, reference: ArchivedDiskReference): BlockSource {
  const { diskId, retrievalId } = reference;
  const folder = archiveFolderOf(reference);
  const packsFolder = retrievalId === undefined ? folder : objectNames.retrievalFolder(retrievalId);
  const packs = objectNames.packs(diskId);
  return {
    store: {
      read: async (name, range, signal) => {
        if (!name.startsWith(packs)) return store.read(folder + name, range, signal);
        try {
          return await store.read(packsFolder + name, range, signal);
        } catch (cause) {
          const code = codeOf(cause);
          const isNotStarted = code === "BlobNotFound" && retrievalId !== undefined;
          if (code === "BlobArchived" || isNotStarted) throw notRetrieved(reference, cause);
          throw cause;
        }
      },
    },
  };
}

function notRetrieved(
  { vmId, archiveId, diskId, retrievalId }: ArchivedDiskReference,
  cause: unknown,
) {
  const what =
    retrievalId === undefined
      ? "Start a retrieval of this disk, wait until it is ready, and restore from it."
      : `Wait until the retrieval ${retrievalId} is ready, or start it again.`;
  return new HoldfastError(
    "ArchiveNotRetrieved",
    `The content of disk ${diskId} of the archive ${archiveId} is in the archive tier and cannot be read yet. ${what}`,
    {
      retry: "backoff",
      context: { vmId, archiveId, diskId, ...(retrievalId !== undefined && { retrievalId }) },
      cause,
    },
  );
}

function mismatch({ archiveId, diskId, retrievalId }: ArchivedDiskReference): HoldfastError {
  return new HoldfastError(
    "RetrievalMismatch",
    `The retrieval ${retrievalId ?? "?"} does not hold disk ${diskId} of the archive ${archiveId}. Start one that does.`,
    { context: { archiveId, diskId } },
  );
}
