/**
 * Leftovers: objects in the folders of archives that no archive needs, and copies that no retrieval
 * names. A writer that died leaves packs without a manifest; a deletion that died, or met immutable
 * objects, leaves them too, and so does a retrieval that starts copies while it is deleted.
 */
import { mapBounded } from "../../lib/bounded-pool.ts";
import { codeOf } from "../../lib/errors.ts";
import type { StoredBlob } from "../../ports/blob-store.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";
import { holdArchives } from "./archives-lock.ts";
import {
  archiveFolderOf,
  listArchiveObjects,
  openArchive,
  type ArchiveName,
  type OpenArchive,
} from "./archives.ts";

const DELETIONS_UNDER_WAY = 16;

export interface DeletedObjects {
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  /** Still protected: a later run deletes them. */
  readonly immutableObjects: number;
}

export async function deleteAll(
  repository: Repository,
  blobs: readonly StoredBlob[],
  signal: AbortSignal,
): Promise<DeletedObjects> {
  const outcomes = await mapBounded(blobs, DELETIONS_UNDER_WAY, async ({ name, sizeBytes }) => {
    const outcome = await repository.store.delete(name, signal);
    return { outcome, sizeBytes };
  });
  const deleted = outcomes.filter(({ outcome }) => outcome === "deleted");
  return {
    deletedObjects: deleted.length,
    deletedBytes: deleted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    immutableObjects: outcomes.filter(({ outcome }) => outcome === "immutable").length,
  };
}

export async function listFolder(
  { store }: Repository,
  folder: string,
  signal: AbortSignal,
): Promise<StoredBlob[]> {
  const found: StoredBlob[] = [];
  for await (const blob of store.list(folder, signal)) found.push(blob);
  return found;
}

/**
 * Deletes what an archive does not need from its folder. The caller holds the archives of the VM.
 * @param olderThan absent: whatever its age, since no other writer of the archive can win any more
 */
export async function deleteUnreferenced(
  repository: Repository,
  open: OpenArchive,
  olderThan: Date | undefined,
  signal: AbortSignal,
): Promise<DeletedObjects> {
  const folder = archiveFolderOf(open.archive);
  const needed = new Set<string>();
  for await (const { name } of listArchiveObjects(repository, open, signal)) {
    needed.add(folder + name);
  }
  const found = await listFolder(repository, folder, signal);
  const leftovers = found.filter(
    ({ name, modifiedAt }) =>
      !needed.has(name) && (olderThan === undefined || modifiedAt < olderThan),
  );
  return deleteAll(repository, leftovers, signal);
}

export interface CollectedLeftovers extends DeletedObjects {
  /** Left alone, with why: the manifest cannot be read, or another process works there. */
  readonly skipped: readonly (ArchiveName & { readonly reason: string })[];
}

const FOLDER = /^archives\/([^/]+)\/([^/]+)\/./;

/**
 * Deletes leftovers in the folders of all archives and retrievals that were written before `olderThan`
 * (no writer lives that long). A folder without a manifest is judged by its newest object. Safe to
 * repeat.
 */
export async function collectArchiveLeftovers(
  repository: Repository,
  { olderThan }: { readonly olderThan: Date },
  signal: AbortSignal,
): Promise<CollectedLeftovers> {
  requireFeatures(repository.descriptor, "delete");
  const folders = new Map<string, ArchiveName>();
  for await (const { name } of repository.store.list("archives/", signal)) {
    const [, vmId, archiveId] = FOLDER.exec(name) ?? [];
    if (vmId === undefined || archiveId === undefined) continue;
    folders.set(`${vmId}/${archiveId}`, { vmId, archiveId });
  }
  const total = { ...(await collectCopies(repository, olderThan, signal)) };
  const skipped: (ArchiveName & { reason: string })[] = [];
  for (const archiveName of folders.values()) {
    try {
      const found = await holdArchives(repository.store, archiveName.vmId, signal, (inner) =>
        collectInFolder(repository, archiveName, olderThan, inner),
      );
      total.deletedObjects += found.deletedObjects;
      total.deletedBytes += found.deletedBytes;
      total.immutableObjects += found.immutableObjects;
    } catch (error) {
      const code = codeOf(error);
      const isKept = ["ArchiveBusy", "InvalidRepositoryName", "RepositoryDamaged"].includes(code);
      if (!isKept) throw error;
      skipped.push({ ...archiveName, reason: code });
    }
  }
  return { ...total, skipped };
}

async function collectInFolder(
  repository: Repository,
  archiveName: ArchiveName,
  olderThan: Date,
  signal: AbortSignal,
): Promise<DeletedObjects> {
  try {
    const open = await openArchive(repository, archiveName, signal);
    return await deleteUnreferenced(repository, open, olderThan, signal);
  } catch (error) {
    if (codeOf(error) !== "ArchiveNotFound") throw error;
    const found = await listFolder(repository, archiveFolderOf(archiveName), signal);
    const isYoung = found.some(({ modifiedAt }) => modifiedAt >= olderThan);
    return deleteAll(repository, isYoung ? [] : found, signal);
  }
}

/** Copies without a record: nobody waits for them, and they are paid for in an online tier. */
async function collectCopies(
  repository: Repository,
  olderThan: Date,
  signal: AbortSignal,
): Promise<DeletedObjects> {
  const copies = new Map<string, StoredBlob[]>();
  const recorded = new Set<string>();
  for await (const blob of repository.store.list("retrievals/", signal)) {
    const retrievalId = blob.name.split("/")[1] ?? "";
    const folder = objectNames.retrievalFolder(retrievalId);
    if (blob.name === objectNames.retrieval(retrievalId)) recorded.add(folder);
    else if (blob.name.startsWith(`${folder}disks/`)) {
      copies.set(folder, [...(copies.get(folder) ?? []), blob]);
    }
  }
  const left = [...copies].filter(
    ([folder, found]) =>
      !recorded.has(folder) && found.every(({ modifiedAt }) => modifiedAt < olderThan),
  );
  return deleteAll(
    repository,
    left.flatMap(([, found]) => found),
    signal,
  );
}
