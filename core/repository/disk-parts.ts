/** Finding and opening the records of disk parts (`writer/write-disk-part.ts`). */
import { openEnvelope } from "./format/envelope.ts";
import { damaged, objectNames } from "./format/layout.ts";
import { unwrapDataKey } from "./format/keys.ts";
import { diskPartSchema, parseManifest, type DiskPartManifest } from "./format/manifests.ts";
import type { DiskPoint } from "./disk-points.ts";
import { readManifestObject } from "./read-whole.ts";
import type { Repository } from "./repository.ts";

/** A part whose data keys are open. Its map is read as that of a point. */
export interface DiskPart extends DiskPoint {
  readonly manifest: DiskPartManifest;
}

/** Throws `RepositoryDamaged`, and the store's `BlobNotFound`. */
export async function readDiskPart(
  repository: Repository,
  diskId: string,
  name: string,
  signal: AbortSignal,
): Promise<DiskPart> {
  const bytes = await readManifestObject(repository.store, name, signal);
  const { objectId, document, sealedBy } = openEnvelope(repository.key, "diskPart", name, bytes);
  const manifest = parseManifest(diskPartSchema, name, document);
  if (manifest.diskId !== diskId || objectNames.diskPart(diskId, manifest) !== name) {
    throw damaged(`the record ${name} describes another part`);
  }
  const dataKeys = manifest.dataKeys.map(({ keyId, wrapped }) => ({
    keyId,
    key: unwrapDataKey(sealedBy.repositoryKey, { diskId, keyId }, wrapped),
  }));
  const { sequence } = manifest;
  return { reference: { diskId, sequence, manifestId: objectId }, manifest, dataKeys };
}
