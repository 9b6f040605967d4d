/**
 * A *disk part*: a full backup of one range of leaves, made by one of several workers that share a
 * huge disk. It stores packs and leaves under the number of the point to come, and a record below
 * `attempts/` that says where they lie. Nothing of it is visible until `joinDiskParts` has made a
 * point of all parts; parts that nobody joins are garbage.
 *
 * No lock is held meanwhile: what is new is too young to be collected, and what a part shares with
 * the parent is looked at again by the join, under the disk's lock.
 */
import { assert } from "../../lib/assert.ts";
import { HoldfastError } from "../../lib/errors.ts";
import type { DiskRange } from "../../ports/disk-data.ts";
import { readDiskPart, type DiskPart } from "../disk-parts.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { sealEnvelope } from "../format/envelope.ts";
import { ID_BYTES, LEAF_BLOCKS, objectNames, requireSafeName } from "../format/layout.ts";
import type { DiskPartManifest, DiskPointStats } from "../format/manifests.ts";
import { requireImmutability } from "../immutability.ts";
import type { Repository } from "../repository.ts";
import { openNewestMap, readNewestPoint } from "./disk-state.ts";
import { IndexWriter } from "./index-writer.ts";
import { clipRanges, leafRangeOf, type LeafRange } from "./leaf-range.ts";
import { findHealing, type Healing } from "./plan-healing.ts";
import { keyOfAttempt, storeBlocks, type Attempt, type StoredBlocks } from "./write-attempt.ts";
import { requireDiskSize, type WriteDiskPointOptions } from "./write-options.ts";

export interface WriteDiskPartOptions extends Omit<
  WriteDiskPointOptions,
  "ranges" | "rotateDataKey" | "wait" | "carryForward"
> {
  /** What of the disk this worker reads: whole leaves, or up to the end of the disk. */
  readonly part: DiskRange;
  /** Ranges that hold data, ascending; those outside of the part are left out. */
  readonly allocated: () => AsyncIterable<DiskRange>;
}

export interface WrittenDiskPart {
  readonly stats: DiskPointStats;
  /** True when its record, or the whole point, was there before: nothing was read now. */
  readonly alreadyWritten: boolean;
}

const NOTHING_MOVED: DiskPointStats = {
  readBytes: 0,
  storedBytes: 0,
  zeroBytes: 0,
  unchangedBytes: 0,
  changedBytes: 0,
  blockCount: 0,
};

/**
 * Reads and stores one part. Doing it again with the same point id finds the record; what a dead
 * predecessor had sealed is used. Throws `InvalidDiskPart`, `DiskPartsUnusable` (its record does not
 * fit the repository as it is now: read the whole disk), `ImmutabilityNotSupported`, errors of the
 * store and of the source.
 */
export async function writeDiskPart(
  repository: Repository,
  options: WriteDiskPartOptions,
  signal: AbortSignal,
): Promise<WrittenDiskPart> {
  requireFeatures(repository.descriptor, "write");
  const diskId = requireSafeName("disk id", options.diskId);
  const pointId = requireSafeName("point id", options.pointId);
  requireDiskSize(options.sizeBytes);
  const immutability = await requireImmutability(repository.store, options.immutableUntil, signal);
  const newest = await readNewestPoint(repository, diskId, signal);
  if (newest?.point?.manifest.pointId === pointId) {
    return { stats: NOTHING_MOVED, alreadyWritten: true };
  }
  const sequence = (newest?.sequence ?? 0) + 1;
  const parent = await openNewestMap(repository, newest?.point, signal);
  const { part, allocated, ...rest } = options;
  const ranges = { kind: "full", allocated: () => clipRanges(allocated(), part) } as const;
  const attempt = {
    repository,
    options: { ...rest, ranges },
    immutability,
    sequence,
    parent,
    healing: await findHealing(repository, parent, signal),
    mode: { kind: "full", reason: "asked-for" },
  } as const satisfies Attempt;
  const key = await keyOfAttempt(attempt, signal);
  const leaves = leafRangeOf(part, { ...options, blockBytes: key.blockBytes });
  const name = objectNames.diskPart(diskId, { sequence, pointId, ...leaves });
  const target = { attempt, name, leaves, key };
  const before = await findRecord(target, signal);
  if (before !== undefined) return { stats: before.manifest.stats, alreadyWritten: true };
  return storeBlocks({ ...attempt, leaves }, key, signal, (stored, inner) =>
    recordPart(target, stored, inner),
  );
}

interface PartTarget {
  readonly attempt: Attempt;
  readonly name: string;
  readonly leaves: LeafRange;
  readonly key: Awaited<ReturnType<typeof keyOfAttempt>>;
}

/** The record of an earlier try of the same part. */
async function findRecord(
  { attempt, name }: PartTarget,
  signal: AbortSignal,
): Promise<DiskPart | undefined> {
  const { repository, options, parent } = attempt;
  if ((await repository.store.readProperties(name, signal)) === undefined) return undefined;
  const record = await readDiskPart(repository, options.diskId, name, signal);
  const { parentManifestId, sizeBytes } = record.manifest;
  const isOurs =
    parentManifestId === (parent?.point.reference.manifestId ?? null) &&
    sizeBytes === options.sizeBytes;
  if (isOurs) return record;
  throw new HoldfastError(
    "DiskPartsUnusable",
    `The record ${name} was written against another restore point, or for a disk of another size. ` +
      "Read the whole disk instead; nothing was lost.",
    { context: { name } },
  );
}

async function recordPart(
  target: PartTarget,
  stored: StoredBlocks,
  signal: AbortSignal,
): Promise<WrittenDiskPart> {
  const { attempt, name, leaves, key } = target;
  const { repository, options, sequence, parent, healing } = attempt;
  const { diskId, pointId, random } = options;
  const manifest: DiskPartManifest = {
    format: 1,
    diskId,
    sequence,
    pointId,
    createdAt: options.now().toISOString(),
    ...stored.shape,
    leafBlocks: LEAF_BLOCKS,
    kind: "full",
    parentSequence: parent?.point.manifest.sequence ?? null,
    changeHintWrong: false,
    dataKeys: key.dataKeys,
    root: await writePartRoot(target, stored, signal),
    stats: stored.stats,
    parentManifestId: parent?.point.reference.manifestId ?? null,
    ...leaves,
    healedBlocks: healedBlocksIn(healing, leaves),
  };
  const objectId = random(ID_BYTES);
  const envelope = { kind: "diskPart", name, objectId, document: manifest } as const;
  const body = sealEnvelope(repository.key, envelope);
  if ((await repository.store.create(name, body, signal)) === "created") {
    return { stats: stored.stats, alreadyWritten: false };
  }
  // Another worker with the same part was faster, or our own request came twice.
  const winner = await findRecord(target, signal);
  return { stats: winner?.manifest.stats ?? stored.stats, alreadyWritten: true };
}

/** Not locked in time, whatever the point asks for: the join writes the root that counts. */
async function writePartRoot(
  { attempt, key }: PartTarget,
  { map, index }: StoredBlocks,
  signal: AbortSignal,
): Promise<DiskPartManifest["root"]> {
  const root = map.finish(index.indexes);
  assert(root !== "unchanged", "a part inherits nothing");
  if (root === "zero") return null;
  const { repository, options, sequence } = attempt;
  const { diskId, random } = options;
  const { store } = repository;
  const keyNumber = key.dataKeys.length - 1;
  const { dataKey } = key;
  const place = { store, diskId, sequence, dataKey, keyNumber, random, signal };
  return new IndexWriter({ ...place, immutability: undefined }).addRoot(root);
}

function healedBlocksIn({ blocks, lostLeaves }: Healing, leaves: LeafRange): number {
  const { firstLeaf, endLeaf } = leaves;
  const isInside = (leafNumber: number): boolean => leafNumber >= firstLeaf && leafNumber < endLeaf;
  const inLeaves = blocks.filter((block) => isInside(Math.floor(block / LEAF_BLOCKS))).length;
  return inLeaves + [...lostLeaves].filter(isInside).length * LEAF_BLOCKS;
}
