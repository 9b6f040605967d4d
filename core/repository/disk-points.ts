/** Finding and opening the committed points of one disk. */
import { HoldfastError, codeOf } from "../lib/errors.ts";
import { openEnvelope } from "./format/envelope.ts";
import { damaged, objectNames, requireSafeName } from "./format/layout.ts";
import { unwrapDataKey } from "./format/keys.ts";
import {
  diskPointSchema,
  parseManifest,
  type DiskPointManifest,
  type DiskPointReference,
} from "./format/manifests.ts";
import type { Repository } from "./repository.ts";
import type { DataKey } from "./writer/pack-writer.ts";
import { readManifestObject } from "./read-whole.ts";

/** A committed disk point whose data keys are open. */
export interface DiskPoint {
  readonly reference: DiskPointReference;
  readonly manifest: DiskPointManifest;
  /** In the order of the manifest; roots refer to them by position. */
  readonly dataKeys: readonly DataKey[];
}

const POINT_NAME = /\/([0-9]{10})\.manifest$/;

/** Sequence numbers of the committed points of a disk, ascending. Foreign objects are ignored. */
export async function listDiskPointSequences(
  repository: Repository,
  diskId: string,
  signal: AbortSignal,
): Promise<number[]> {
  requireSafeName("disk id", diskId);
  const sequences: number[] = [];
  for await (const blob of repository.store.list(objectNames.diskPoints(diskId), signal)) {
    const match = POINT_NAME.exec(blob.name);
    if (match !== null) sequences.push(Number(match[1]));
  }
  return sequences.sort((left, right) => left - right);
}

/** Throws `DiskPointNotFound` or `RepositoryDamaged`. */
export async function readDiskPoint(
  repository: Repository,
  diskId: string,
  sequence: number,
  signal: AbortSignal,
): Promise<DiskPoint> {
  requireSafeName("disk id", diskId);
  const name = objectNames.diskPoint(diskId, sequence);
  const bytes = await readOrExplain(repository, name, signal);
  const { objectId, document, sealedBy } = openEnvelope(repository.key, "diskPoint", name, bytes);
  const manifest = parseManifest(diskPointSchema, name, document);
  if (manifest.diskId !== diskId || manifest.sequence !== sequence) {
    throw damaged(`the manifest ${name} describes another point`);
  }
  const dataKeys = manifest.dataKeys.map(({ keyId, wrapped }) => ({
    keyId,
    key: unwrapDataKey(sealedBy.repositoryKey, { diskId, keyId }, wrapped),
  }));
  return { reference: { diskId, sequence, manifestId: objectId }, manifest, dataKeys };
}

async function readOrExplain(
  repository: Repository,
  name: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    return await readManifestObject(repository.store, name, signal);
  } catch (cause) {
    if (codeOf(cause) !== "BlobNotFound") throw cause;
    throw new HoldfastError(
      "DiskPointNotFound",
      `The restore point ${name} is not in the repository. It may have expired; list what is there.`,
      { context: { name }, cause },
    );
  }
}

/** Reads the very point that a reference names; another manifest under its number is refused. */
export async function readReferencedDiskPoint(
  repository: Repository,
  reference: DiskPointReference,
  signal: AbortSignal,
): Promise<DiskPoint> {
  const point = await readDiskPoint(repository, reference.diskId, reference.sequence, signal);
  if (point.reference.manifestId === reference.manifestId) return point;
  throw new HoldfastError(
    "DiskPointNotFound",
    `Point ${reference.sequence} of disk ${reference.diskId} is not the one that was asked for.`,
    { context: { diskId: reference.diskId, sequence: reference.sequence } },
  );
}
