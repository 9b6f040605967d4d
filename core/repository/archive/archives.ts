/**
 * Archives. An *archive* is a complete copy of one restore point of a VM, made to lie in the archive
 * tier for years: its *archive packs* are large, hold the blocks of one disk in the order of the
 * disk, and cannot be read where they lie. Its map and its manifest stay online beside them, so that
 * what it holds can be looked at any time. A *retrieval* is a set of copies of archive packs in an
 * online tier, made for one restore and deleted after it.
 *
 * Invariants: an archive needs no object outside of its folder (and no restore point needs one in
 * it). It is there when its manifest is; until then a retry finds what its predecessor stored.
 */
import type { z } from "zod";
import { HoldfastError, codeOf } from "../../lib/errors.ts";
import { BlockMap, type BlockSource } from "../block-map.ts";
import type { DiskPoint } from "../disk-points.ts";
import { openEnvelope } from "../format/envelope.ts";
import { unwrapDataKey } from "../format/keys.ts";
import { damaged, objectNames, requireSafeName } from "../format/layout.ts";
import { parseManifest } from "../format/manifests.ts";
import type { Repository } from "../repository.ts";
import { archiveSchema } from "./archive-manifests.ts";
import { readManifestObject } from "../read-whole.ts";

export interface ArchiveName {
  readonly vmId: string;
  readonly archiveId: string;
}

/** What an archive holds; known while its packs cannot be read. */
export type Archive = z.infer<typeof archiveSchema>;
export type ArchivedDisk = Archive["disks"][number];

/** An archive whose data keys are open. */
export interface OpenArchive {
  readonly archive: Archive;
  /** In the order of `archive.disks`. */
  readonly points: readonly DiskPoint[];
}

export function archiveFolderOf({ vmId, archiveId }: ArchiveName): string {
  requireSafeName("VM id", vmId);
  return objectNames.archiveFolder(vmId, requireSafeName("archive id", archiveId));
}

/** Throws `ArchiveNotFound` or `RepositoryDamaged`. */
export async function readArchive(
  repository: Repository,
  name: ArchiveName,
  signal: AbortSignal,
): Promise<Archive> {
  return (await openArchive(repository, name, signal)).archive;
}

export async function openArchive(
  repository: Repository,
  { vmId, archiveId }: ArchiveName,
  signal: AbortSignal,
): Promise<OpenArchive> {
  archiveFolderOf({ vmId, archiveId });
  const name = objectNames.archive(vmId, archiveId);
  let bytes: Uint8Array;
  try {
    bytes = await readManifestObject(repository.store, name, signal);
  } catch (cause) {
    if (codeOf(cause) !== "BlobNotFound") throw cause;
    throw new HoldfastError(
      "ArchiveNotFound",
      `The archive ${archiveId} of VM ${vmId} is not in the repository.`,
      { context: { vmId, archiveId }, cause },
    );
  }
  const { objectId, document, sealedBy } = openEnvelope(repository.key, "archive", name, bytes);
  const archive = parseManifest(archiveSchema, name, document);
  if (archive.vmId !== vmId || archive.archiveId !== archiveId) {
    throw damaged(`the manifest ${name} describes another archive`);
  }
  const points = archive.disks.map(({ image }): DiskPoint => {
    const { diskId, sequence } = image;
    requireSafeName("disk id", diskId);
    const dataKeys = image.dataKeys.map(({ keyId, wrapped }) => ({
      keyId,
      key: unwrapDataKey(sealedBy.repositoryKey, { diskId, keyId }, wrapped),
    }));
    return { reference: { diskId, sequence, manifestId: objectId }, manifest: image, dataKeys };
  });
  return { archive, points };
}

const ARCHIVE_NAME = /^archives\/([^/]+)\/([^/]+)\/archive\.manifest$/;

/** Names of all archives, of one VM or of all. Reads no manifest: pass each to `readArchive`. */
export async function* listArchives(
  repository: Repository,
  vmId: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<ArchiveName> {
  const prefix =
    vmId === undefined ? "archives/" : objectNames.archives(requireSafeName("VM id", vmId));
  for await (const blob of repository.store.list(prefix, signal)) {
    const [, foundVmId, archiveId] = ARCHIVE_NAME.exec(blob.name) ?? [];
    if (foundVmId !== undefined && archiveId !== undefined) yield { vmId: foundVmId, archiveId };
  }
}

/** An object that an archive needs. */
export interface ArchiveObject {
  readonly kind: "manifest" | "index" | "pack";
  /** Relative to the archive's folder. */
  readonly name: string;
  /** Unknown of the manifest and of the root, which no table names. */
  readonly sizeBytes?: number;
}

/** Every object of the archive, from the tables in its roots. Reads no pack. */
export async function* listArchiveObjects(
  repository: Repository,
  { archive, points }: OpenArchive,
  signal: AbortSignal,
): AsyncGenerator<ArchiveObject> {
  yield { kind: "manifest", name: "archive.manifest" };
  const source = sourceIn(repository, archiveFolderOf(archive));
  for (const point of points) {
    const { diskId, root: reference } = point.manifest;
    if (reference === null) continue;
    yield { kind: "index", name: objectNames.index(diskId, reference.indexId) };
    const { root } = await BlockMap.open(source, point, signal);
    for (const [indexId, { objectBytes }] of root.indexes) {
      yield { kind: "index", name: objectNames.index(diskId, indexId), sizeBytes: objectBytes };
    }
    for (const [packId, { objectBytes }] of root.packs) {
      yield { kind: "pack", name: objectNames.pack(diskId, packId), sizeBytes: objectBytes };
    }
  }
}

/** A folder of the store, read with the names that its objects have in a repository of their own. */
export function sourceIn({ store }: Repository, folder: string): BlockSource {
  return { store: { read: (name, range, signal) => store.read(folder + name, range, signal) } };
}
