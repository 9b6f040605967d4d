import { requireFeatures } from "../format/descriptor.ts";
import { objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";
import { holdArchives } from "./archives-lock.ts";
import { archiveFolderOf, type ArchiveName } from "./archives.ts";
import { deleteAll, listFolder, type DeletedObjects } from "./leftovers.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/**
 * What leaves the archive tier earlier is charged until this age
 * (learn.microsoft.com/azure/storage/blobs/access-tiers-overview).
 */
const ARCHIVE_MINIMUM_DAYS = 180;

export interface DeletedArchive extends DeletedObjects {
  /** `immutable`: the manifest is still protected, and the archive as it was. */
  readonly outcome: "deleted" | "absent" | "immutable";
  /** For people, e.g. that the deletion costs more than keeping the archive did. */
  readonly warnings: readonly string[];
}

/**
 * Deletes an archive: the manifest first, so that nobody sees half of one. Objects that are still
 * immutable stay and are counted; `collectArchiveLeftovers` deletes them later. Safe to repeat.
 * Throws `ArchiveBusy`.
 */
export async function deleteArchive(
  repository: Repository,
  { vmId, archiveId, now }: ArchiveName & { readonly now: Date },
  signal: AbortSignal,
): Promise<DeletedArchive> {
  requireFeatures(repository.descriptor, "delete");
  const folder = archiveFolderOf({ vmId, archiveId });
  const manifestName = objectNames.archive(vmId, archiveId);
  return holdArchives(repository.store, vmId, signal, async (inner) => {
    const found = await listFolder(repository, folder, inner);
    const manifest = found.filter(({ name }) => name === manifestName);
    const first = await deleteAll(repository, manifest, inner);
    if (first.immutableObjects > 0) return { ...first, outcome: "immutable", warnings: [] };
    const others = found.filter(({ name }) => name !== manifestName);
    const rest = await deleteAll(repository, others, inner);
    const youngestMs = Math.max(
      ...others.filter(({ tier }) => tier === "archive").map(({ modifiedAt }) => +modifiedAt),
    );
    const ageDays = Math.floor((now.getTime() - youngestMs) / DAY_MS);
    const isEarly = ageDays < ARCHIVE_MINIMUM_DAYS;
    return {
      outcome: found.length === 0 ? "absent" : "deleted",
      deletedObjects: first.deletedObjects + rest.deletedObjects,
      deletedBytes: first.deletedBytes + rest.deletedBytes,
      immutableObjects: rest.immutableObjects,
      warnings: isEarly
        ? [
            `The archive ${archiveId} was deleted after ${ageDays} days. Azure charges the archive tier for at least ${ARCHIVE_MINIMUM_DAYS} days.`,
          ]
        : [],
    };
  });
}
