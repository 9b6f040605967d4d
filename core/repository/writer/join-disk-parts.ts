/**
 * The *join* makes a restore point of the parts that several workers wrote of one disk
 * (`write-disk-part.ts`): their maps become one root, and the manifest commits it. It runs under the
 * disk's lock like any writer, and looks again at everything that may have changed since a part was
 * written: the newest point, what garbage collection has marked, and whether it is all still there.
 */
import { codeOf, messageOf } from "../../lib/errors.ts";
import type { DiskRange } from "../../ports/disk-data.ts";
import type { BlockMap } from "../block-map.ts";
import { readDiskPart, type DiskPart } from "../disk-parts.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { objectNames, requireSafeName } from "../format/layout.ts";
import type { DiskPointManifest } from "../format/manifests.ts";
import type { Root } from "../format/root.ts";
import { requireImmutability, type Immutability } from "../immutability.ts";
import { readTombstones } from "../maintenance/garbage-lists.ts";
import type { Repository } from "../repository.ts";
import { commitDiskPoint, committedBefore } from "./commit-disk-point.ts";
import { withDiskLock } from "./disk-lock.ts";
import { openNewestMap, readNewestPoint, wrapDataKeys } from "./disk-state.ts";
import { IndexWriter } from "./index-writer.ts";
import { leafRangeOf } from "./leaf-range.ts";
import { addStats, mergeDiskParts } from "./merge-disk-parts.ts";
import { partsUnusable } from "./parts-unusable.ts";
import { protectRoot } from "./protect-root.ts";
import type { WriteDiskPointOptions, WrittenDiskPoint } from "./write-options.ts";

export interface JoinDiskPartsOptions extends Pick<
  WriteDiskPointOptions,
  "diskId" | "pointId" | "sizeBytes" | "random" | "now" | "wait" | "immutableUntil"
> {
  /** As they were given to the workers. Together they are the disk. */
  readonly parts: readonly DiskRange[];
}

/**
 * Commits the point, or finds it committed. Throws `DiskPartsUnusable` when a part is missing or
 * does not fit (any more): the caller then reads the whole disk. Other errors as `writeDiskPoint`.
 */
export async function joinDiskParts(
  repository: Repository,
  options: JoinDiskPartsOptions,
  signal: AbortSignal,
): Promise<WrittenDiskPoint> {
  requireFeatures(repository.descriptor, "write");
  requireSafeName("disk id", options.diskId);
  requireSafeName("point id", options.pointId);
  const { store } = repository;
  const immutability = await requireImmutability(store, options.immutableUntil, signal);
  const join = (inner: AbortSignal) => joinLocked({ repository, options, immutability }, inner);
  const { diskId, wait } = options;
  return wait === undefined ? join(signal) : withDiskLock(store, { diskId, wait }, signal, join);
}

interface Target {
  readonly repository: Repository;
  readonly options: JoinDiskPartsOptions;
  readonly immutability: Immutability | undefined;
}

async function joinLocked(target: Target, signal: AbortSignal): Promise<WrittenDiskPoint> {
  const { repository, options, immutability } = target;
  const { diskId, pointId } = options;
  const newest = await readNewestPoint(repository, diskId, signal);
  if (newest?.point?.manifest.pointId === pointId) return committedBefore(newest.point);
  const sequence = (newest?.sequence ?? 0) + 1;
  const parent = await openNewestMap(repository, newest?.point, signal);
  const parts = await readParts(target, { sequence, parent }, signal);
  const root = await unlessDamaged({ diskId, sequence }, mergeDiskParts(repository, parts, signal));
  await requireSafe(target, { sequence, parent, root }, signal);
  const dataKeys = parts[0]?.dataKeys ?? [];
  const draft = { ...target, sequence, dataKeys };
  const rootReference = await writeRoot(draft, root, signal);
  const attempt = {
    repository,
    options,
    immutability,
    sequence,
    parent,
    mode: { kind: "full", reason: "asked-for" },
  } as const;
  const { sizeBytes } = options;
  const { blockBytes } = parts[0]?.manifest ?? { blockBytes: 0 };
  return commitDiskPoint(
    {
      attempt,
      shape: { sizeBytes, blockBytes },
      dataKeys: wrapDataKeys(repository, diskId, dataKeys),
      stats: addStats(parts),
      rootReference,
      healedBlocks: parts.reduce((sum, { manifest }) => sum + manifest.healedBlocks, 0),
    },
    signal,
  );
}

/** What cannot be read of a part is no reason to fail: the whole disk can be read. */
async function unlessDamaged<Value>(
  part: { readonly diskId: string; readonly sequence: number },
  read: Promise<Value>,
): Promise<Value> {
  try {
    return await read;
  } catch (error) {
    const code = codeOf(error);
    if (code !== "RepositoryDamaged" && code !== "BlobNotFound") throw error;
    throw partsUnusable(part, messageOf(error), error);
  }
}

/** The records of the asked parts, ascending, each written against the parent as it is now. */
async function readParts(
  { repository, options }: Target,
  expected: { readonly sequence: number; readonly parent: BlockMap | undefined },
  signal: AbortSignal,
): Promise<readonly DiskPart[]> {
  const { diskId, pointId, sizeBytes } = options;
  const { sequence, parent } = expected;
  const found = new Map<string, DiskPart>();
  const prefix = objectNames.diskParts(diskId, sequence);
  for await (const { name } of repository.store.list(prefix, signal)) {
    if (!name.endsWith(`-${pointId}.manifest`)) continue;
    const reading = readDiskPart(repository, diskId, name, signal);
    found.set(name, await unlessDamaged({ diskId, sequence }, reading));
  }
  const [any] = found.values();
  if (any === undefined) throw partsUnusable({ diskId, sequence }, "none of them is there");
  const { blockBytes } = any.manifest;
  const keyIds = keyIdsOf(parent?.point ?? any);
  const ranges = [...options.parts].sort((left, right) => left.offsetBytes - right.offsetBytes);
  return ranges.map((range) => {
    const leaves = leafRangeOf(range, { sizeBytes, blockBytes });
    const name = objectNames.diskPart(diskId, { sequence, pointId, ...leaves });
    const part = found.get(name);
    if (part === undefined) throw partsUnusable({ diskId, sequence }, `${name} is missing`);
    const { manifest } = part;
    if (manifest.parentManifestId !== (parent?.point.reference.manifestId ?? null)) {
      throw partsUnusable(manifest, "another restore point of the disk is the newest one now");
    }
    if (manifest.sizeBytes !== sizeBytes || manifest.blockBytes !== blockBytes) {
      throw partsUnusable(manifest, `${name} is of a disk of another size`);
    }
    if (keyIdsOf(part) !== keyIds) throw partsUnusable(manifest, `${name} has another data key`);
    return part;
  });
}

function keyIdsOf({ dataKeys }: Pick<DiskPart, "dataKeys">): string {
  return dataKeys.map(({ keyId }) => keyId).join(" ");
}

interface JoinedMap {
  readonly sequence: number;
  readonly parent: BlockMap | undefined;
  readonly root: Root;
}

/**
 * Everything that the new root names is named by the parent's root, too, or was written for this
 * point, is there, and is on no garbage list. While the lock is held nothing else can be collected.
 */
async function requireSafe(
  { repository, options }: Target,
  joined: JoinedMap,
  signal: AbortSignal,
): Promise<void> {
  const { diskId } = options;
  const { sequence } = joined;
  const refuse = (why: string) => partsUnusable({ diskId, sequence }, why);
  let missingCount = ownCountOf(joined);
  if (missingCount === 0) return;
  const { names, isComplete } = await readTombstones(repository, diskId, signal);
  if (!isComplete) throw refuse("a garbage list of the disk cannot be read");
  for (const name of names) {
    if (ownSizeOf(name, joined) !== undefined) throw refuse(`${name} is marked as garbage`);
  }
  const { packsOf, indexesOf } = objectNames;
  for (const prefix of [packsOf(diskId, sequence), indexesOf(diskId, sequence)]) {
    for await (const { name, sizeBytes } of repository.store.list(prefix, signal)) {
      if (ownSizeOf(name, joined) === sizeBytes) missingCount--;
    }
  }
  if (missingCount > 0) {
    throw refuse(`${missingCount} of their packs and indexes are not there, or of another size`);
  }
}

/** Objects that the parent does not vouch for. */
function ownCountOf({ parent, root }: JoinedMap): number {
  let count = 0;
  for (const packId of root.packs.keys()) if (parent?.root.packs.has(packId) !== true) count++;
  for (const indexId of root.indexes.keys()) {
    if (parent?.root.indexes.has(indexId) !== true) count++;
  }
  return count;
}

const OBJECT_NAME = /\/([0-9a-f]{32})\.(pack|index)$/;

/** Size of an object that the new root names and the parent's does not. */
function ownSizeOf(name: string, { parent, root }: JoinedMap): number | undefined {
  const [, id = "", kind] = OBJECT_NAME.exec(name) ?? [];
  const table = kind === "pack" ? "packs" : "indexes";
  return parent?.root[table].has(id) === true ? undefined : root[table].get(id)?.objectBytes;
}

async function writeRoot(
  draft: Target & { readonly sequence: number; readonly dataKeys: DiskPart["dataKeys"] },
  root: Root,
  signal: AbortSignal,
): Promise<DiskPointManifest["root"]> {
  const { repository, options, immutability, sequence, dataKeys } = draft;
  const dataKey = dataKeys.at(-1);
  if (dataKey === undefined || root.indexes.size === 0) return null;
  const { diskId, random } = options;
  const { store } = repository;
  const keyNumber = dataKeys.length - 1;
  const place = { store, diskId, sequence, dataKey, keyNumber, random, signal, immutability };
  const index = new IndexWriter(place);
  if (immutability === undefined) return index.addRoot(root);
  return index.addRoot(await protectRoot(root, { store, diskId, immutability }, signal));
}
