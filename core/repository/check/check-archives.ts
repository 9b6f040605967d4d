/**
 * Archives and retrievals. An archived disk is checked as a point of a disk is, with the archive's
 * folder in place of the repository; packs that lie in the archive tier are there, but cannot be
 * read. Copies that a retrieval made are read where they are ready.
 */
import type { StoredBlob } from "../../ports/blob-store.ts";
import {
  archiveFolderOf,
  listArchives,
  openArchive,
  type ArchiveName,
  type OpenArchive,
} from "../archive/archives.ts";
import { readRetrievalRecord, type Retrieval } from "../archive/retrievals.ts";
import { codeOf } from "../../lib/errors.ts";
import type { DiskPoint } from "../disk-points.ts";
import { objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";
import type { CheckedStore, RepositoryCheck } from "./check-context.ts";
import { checkContent } from "./check-content.ts";
import { DamageRecorder } from "./damage-recorder.ts";
import { isDamage } from "./damage.ts";
import { DiskObjects } from "./disk-objects.ts";
import { DiskDefects, reasonsOf, type CheckFinding } from "./findings.ts";
import { isKnownName } from "./known-names.ts";

export async function checkArchives(check: RepositoryCheck): Promise<void> {
  const { repository, options, progress, signal } = check;
  for (const vmId of options.vmIds ?? [undefined]) {
    for await (const name of listArchives(repository, vmId, signal)) {
      // A name that the format does not know is found as a foreign one.
      if (!isKnownName(objectNames.archive(name.vmId, name.archiveId))) continue;
      progress.checkedObjects++;
      progress.checkedPoints++;
      await checkArchive(check, name);
      progress.tell();
    }
  }
}

async function checkArchive(check: RepositoryCheck, name: ArchiveName): Promise<void> {
  const { repository, findings, signal } = check;
  const { vmId, archiveId } = name;
  const ofArchive = { affectedPoints: [], affectedArchives: [{ vmId, archiveId }] };
  const object = objectNames.archive(vmId, archiveId);
  let open: OpenArchive;
  try {
    open = await openArchive(repository, name, signal);
  } catch (error) {
    if (!isDamage(error)) throw error;
    // Deleted between listing and reading.
    if (codeOf(error) === "ArchiveNotFound") return;
    const message = reasonsOf(error);
    findings.add({ kind: "unreadable-metadata", object, ...ofArchive, message });
    return;
  }
  const folder = archiveFolderOf(name);
  const store = storeIn(
    repository,
    () => folder,
    () => true,
  );
  const found: CheckFinding[] = [];
  for (const point of open.points) {
    const { diskId } = point.manifest;
    for (const { harmsRestores, ...defect } of await findDefects(check, store, point)) {
      const affected = harmsRestores ? ofArchive : { affectedPoints: [] };
      found.push({ ...defect, object: folder + defect.object, diskId, ...affected });
    }
  }
  await addUnlessDeleted(check, object, found);
}

const RETRIEVAL_NAME = /^retrievals\/([^/]+)\/retrieval\.manifest$/;

/** What is wrong with a retrieval harms no archive: starting it again makes what it lacks. */
export async function checkRetrievals(check: RepositoryCheck): Promise<void> {
  const { repository, options, findings, progress, signal } = check;
  for await (const { name } of repository.store.list("retrievals/", signal)) {
    const retrievalId = RETRIEVAL_NAME.exec(name)?.[1];
    if (retrievalId === undefined || !isKnownName(name)) continue;
    try {
      const retrieval = await readRetrievalRecord(repository, retrievalId, signal);
      if (options.vmIds?.includes(retrieval.vmId) === false) continue;
      progress.checkedObjects++;
      await checkCopies(check, retrieval);
    } catch (error) {
      if (!isDamage(error)) throw error;
      if (codeOf(error) === "RetrievalNotFound") continue;
      const message = `${reasonsOf(error)} No archive needs it; start another retrieval.`;
      findings.add({ kind: "unreadable-metadata", object: name, affectedPoints: [], message });
    }
  }
}

async function checkCopies(check: RepositoryCheck, retrieval: Retrieval): Promise<void> {
  const { repository, signal } = check;
  const { retrievalId, diskIds } = retrieval;
  let open: OpenArchive;
  try {
    open = await openArchive(repository, retrieval, signal);
  } catch (error) {
    if (!isDamage(error)) throw error;
    // The archive is gone (its retrievals go next), or is a finding by itself.
    return;
  }
  const archiveFolder = archiveFolderOf(retrieval);
  const folder = objectNames.retrievalFolder(retrievalId);
  const found: CheckFinding[] = [];
  for (const point of open.points) {
    const { diskId } = point.manifest;
    if (!diskIds.includes(diskId)) continue;
    const packs = objectNames.packs(diskId);
    const folderOf = (name: string) => (name.startsWith(packs) ? folder : archiveFolder);
    const store = storeIn(repository, folderOf, isComing);
    for (const { harmsRestores: _harms, ...defect } of await findDefects(check, store, point)) {
      // Its map is part of the archive, and was checked there.
      if (!defect.object.startsWith(packs)) continue;
      const message = `${defect.message} Start the retrieval ${retrievalId} again, or another one.`;
      found.push({
        ...defect,
        object: folder + defect.object,
        diskId,
        affectedPoints: [],
        message,
      });
    }
  }
  await addUnlessDeleted(check, objectNames.retrieval(retrievalId), found);
}

async function findDefects(check: RepositoryCheck, store: CheckedStore, point: DiskPoint) {
  const { level, progress, signal } = check;
  const { diskId } = point.manifest;
  const objects = await DiskObjects.list({ store, diskId, mayBeArchived: true }, signal);
  const defects = new DiskDefects();
  // Nothing is built on an archive, so nothing of it goes into quarantine.
  const damage = new DamageRecorder();
  await checkContent({ store, diskId, objects, defects, damage, level, progress, signal }, point);
  check.findings.count += defects.omittedCount;
  return defects.joined().map(({ sequences: _sequences, ...defect }) => defect);
}

/** The first object that a deletion takes is the manifest; what lacks then is no damage. */
async function addUnlessDeleted(
  { repository, findings, signal }: RepositoryCheck,
  manifestName: string,
  found: readonly CheckFinding[],
): Promise<void> {
  if (found.length === 0) return;
  if ((await repository.store.readProperties(manifestName, signal)) === undefined) return;
  for (const finding of found) findings.add(finding);
}

/** A copy in the archive tier that is not on its way out of it failed: it is as good as missing. */
function isComing({ tier, rehydratingTo }: StoredBlob): boolean {
  return tier !== "archive" || rehydratingTo !== undefined;
}

/** Objects of one disk under the names that they have in a repository of their own. */
function storeIn(
  { store }: Repository,
  folderOf: (name: string) => string,
  isThere: (blob: StoredBlob) => boolean,
): CheckedStore {
  const folders = (prefix: string): string[] => {
    const parts = ["packs/", "indexes/"].map((part) => folderOf(prefix + part));
    return [...new Set(parts)];
  };
  return {
    read: (name, range, signal) => store.read(folderOf(name) + name, range, signal),
    readProperties: async (name, signal) => {
      const blob = await store.readProperties(folderOf(name) + name, signal);
      return blob !== undefined && isThere(blob) ? blob : undefined;
    },
    list: async function* (prefix, signal): AsyncGenerator<StoredBlob> {
      for (const folder of folders(prefix)) {
        for await (const blob of store.list(folder + prefix, signal)) {
          const name = blob.name.slice(folder.length);
          if (folderOf(name) === folder && isThere(blob)) yield { ...blob, name };
        }
      }
    },
  };
}
