/** What an attempt to write a disk point starts from: its number, its key, its parent. */
import type { z } from "zod";
import { codeOf } from "../../lib/errors.ts";
import { BlockMap } from "../block-map.ts";
import {
  listDiskPointSequences,
  readDiskPoint,
  readReferencedDiskPoint,
  type DiskPoint,
} from "../disk-points.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { openEnvelope, sealEnvelope, type SealingKey } from "../format/envelope.ts";
import { unwrapDataKey, wrapDataKey } from "../format/keys.ts";
import { ID_BYTES, KEY_BYTES, objectNames } from "../format/layout.ts";
import {
  attemptSchema,
  parseManifest,
  type DiskPointManifest,
  type DiskPointReference,
} from "../format/manifests.ts";
import type { Repository } from "../repository.ts";
import type { DataKey } from "./pack-writer.ts";
import { readManifestObject } from "../read-whole.ts";

export type DataKeyList = DiskPointManifest["dataKeys"];

export interface NewestPoint {
  readonly sequence: number;
  /** undefined when its manifest is damaged. */
  readonly point: DiskPoint | undefined;
}

/** The newest committed point of a disk, or undefined for a disk without any. */
export async function readNewestPoint(
  repository: Repository,
  diskId: string,
  signal: AbortSignal,
): Promise<NewestPoint | undefined> {
  const sequence = (await listDiskPointSequences(repository, diskId, signal)).at(-1);
  if (sequence === undefined) return undefined;
  const point = await unlessUnreadable(readDiskPoint(repository, diskId, sequence, signal));
  return { sequence, point };
}

/** The block map of a point that may be damaged: undefined then, so that a full backup heals it. */
export async function openMapIfReadable(
  repository: Repository,
  point: DiskPoint | DiskPointReference,
  signal: AbortSignal,
): Promise<BlockMap | undefined> {
  const open = async (): Promise<BlockMap> => {
    const opened =
      "manifest" in point ? point : await readReferencedDiskPoint(repository, point, signal);
    return BlockMap.open(repository, opened, signal);
  };
  return unlessUnreadable(open());
}

/** The map of the newest point, as far as there is one that can be read. */
export async function openNewestMap(
  repository: Repository,
  point: DiskPoint | undefined,
  signal: AbortSignal,
): Promise<BlockMap | undefined> {
  return point === undefined ? undefined : openMapIfReadable(repository, point, signal);
}

export async function unlessUnreadable<Value>(read: Promise<Value>): Promise<Value | undefined> {
  try {
    return await read;
  } catch (error) {
    const code = codeOf(error);
    if (code === "RepositoryDamaged" || code === "DiskPointNotFound") return undefined;
    throw error;
  }
}

/**
 * A new data key for a disk without a readable point. It is recorded before anything is sealed by
 * it, so that a successor of a dead attempt goes on with the same key and can use its packs.
 */
export async function establishDataKey(
  repository: Repository,
  attempt: {
    readonly diskId: string;
    readonly sequence: number;
    readonly blockBytes: number;
    readonly random: (byteCount: number) => Uint8Array;
  },
  signal: AbortSignal,
): Promise<{
  readonly dataKey: DataKey;
  readonly dataKeys: DataKeyList;
  readonly blockBytes: number;
}> {
  const { diskId, sequence, random } = attempt;
  const { store, key } = repository;
  const name = objectNames.attempt(diskId, sequence);
  const keyId = Buffer.from(random(ID_BYTES)).toString("hex");
  const wrapped = wrapDataKey(key.repositoryKey, { diskId, keyId }, random(KEY_BYTES));
  const document: z.infer<typeof attemptSchema> = {
    format: 1,
    diskId,
    sequence,
    blockBytes: attempt.blockBytes,
    dataKey: { keyId, wrapped },
  };
  const body = sealEnvelope(key, { kind: "attempt", name, objectId: random(ID_BYTES), document });
  if ((await store.create(name, body, signal)) === "exists") {
    const recorded = await unlessUnreadable(readAttempt(repository, name, signal));
    if (recorded !== undefined) return recorded;
    // A damaged record helps nobody: replace it. What was sealed by its key becomes an orphan.
    requireFeatures(repository.descriptor, "delete");
    await store.delete(name, signal);
    await store.create(name, body, signal);
  }
  return openAttempt(repository, repository.key, document);
}

async function readAttempt(repository: Repository, name: string, signal: AbortSignal) {
  const bytes = await readManifestObject(repository.store, name, signal);
  const { document, sealedBy } = openEnvelope(repository.key, "attempt", name, bytes);
  return openAttempt(repository, sealedBy, parseManifest(attemptSchema, name, document));
}

function openAttempt(
  repository: Repository,
  sealedBy: SealingKey,
  record: z.infer<typeof attemptSchema>,
) {
  const owner = { diskId: record.diskId, keyId: record.dataKey.keyId };
  const key = unwrapDataKey(sealedBy.repositoryKey, owner, record.dataKey.wrapped);
  const dataKey = { keyId: owner.keyId, key };
  return {
    dataKey,
    dataKeys: wrapDataKeys(repository, record.diskId, [dataKey]),
    blockBytes: record.blockBytes,
  };
}

/** The list of a new manifest: its data keys are wrapped by the repository key that seals it. */
export function wrapDataKeys(
  { key }: Repository,
  diskId: string,
  dataKeys: readonly DataKey[],
): DataKeyList {
  return dataKeys.map(({ keyId, key: dataKey }) => {
    return { keyId, wrapped: wrapDataKey(key.repositoryKey, { diskId, keyId }, dataKey) };
  });
}
