import { HoldfastError, codeOf } from "../../lib/errors.ts";
import type { ChangedRange, DiskRange } from "../../ports/disk-data.ts";
import type { BlockMap } from "../block-map.ts";
import { BufferPool } from "../buffer-pool.ts";
import { inlineBlockCodec, type BlockCodec } from "../codec/block-codec.ts";
import { readDiskPoint, type DiskPoint } from "../disk-points.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { sealEnvelope } from "../format/envelope.ts";
import { hashKeyOf } from "../format/keys.ts";
import {
  DEFAULT_BLOCK_BYTES,
  ID_BYTES,
  LEAF_BLOCKS,
  MAX_DISK_BYTES,
  objectNames,
  requireSafeName,
} from "../format/layout.ts";
import type { Leaf } from "../format/leaf.ts";
import type { DiskPointManifest, DiskPointReference, DiskPointStats } from "../format/manifests.ts";
import { leafCountOf } from "../block-map.ts";
import type { Repository } from "../repository.ts";
import { chooseSamples, withSamples } from "./change-samples.ts";
import {
  establishDataKey,
  openMapIfReadable,
  readNewestPoint,
  unlessUnreadable,
  type DataKeyList,
} from "./disk-state.ts";
import { IndexWriter } from "./index-writer.ts";
import { MapBuilder } from "./map-builder.ts";
import { PackWriter, type DataKey } from "./pack-writer.ts";
import { asChanges, blockCountOf, planRuns, type DiskShape } from "./plan-runs.ts";
import { PredecessorPacks } from "./predecessor-packs.ts";
import { withGrownTail } from "./grown-tail.ts";
import { ChangeHintWrong, RunPipeline, type ReadsDisk } from "./run-pipeline.ts";

/** Which parts of the disk to look at. Iterables are asked for anew by each try. */
export type RangesToWrite =
  | { readonly kind: "full"; readonly allocated: () => AsyncIterable<DiskRange> }
  | {
      readonly kind: "incremental";
      /** The committed point that the changes are relative to. */
      readonly parent: DiskPointReference;
      readonly changed: () => AsyncIterable<ChangedRange>;
      /** For a full read instead, when the parent or the change list cannot be relied on. */
      readonly allocated: () => AsyncIterable<DiskRange>;
      /** Blocks outside the change list that are read again and compared. 0 = none. */
      readonly sampleCount: number;
    };

export interface WriteDiskPointOptions {
  readonly diskId: string;
  /** Names this backup. A retry with the same id finds what was committed and returns it. */
  readonly pointId: string;
  readonly sizeBytes: number;
  readonly source: ReadsDisk;
  readonly ranges: RangesToWrite;
  readonly random: (byteCount: number) => Uint8Array;
  readonly now: () => Date;
  /** Power of two, 4 KiB to 4 MiB; only the first point of a disk can choose. Default 256 KiB. */
  readonly blockBytes?: number;
  readonly limits?: Partial<WriterLimits>;
  readonly codec?: BlockCodec;
  /** Shared by all disks of a process; bounds pack buffers. */
  readonly buffers?: BufferPool;
  readonly onProgress?: (stats: DiskPointStats) => void;
}

export interface WriterLimits {
  /** Longest single read of the source. */
  readonly maxReadBytes: number;
  /** Raw bytes of one disk that are read and encoded at the same time. */
  readonly windowBytes: number;
  /** Size at which a pack is sealed. */
  readonly packBytes: number;
}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const DEFAULT_BUFFERS_PER_WRITER = 3;

/** Larger packs for larger disks, so that the table of packs in the root stays small. */
export function defaultWriterLimits(sizeBytes: number): WriterLimits {
  const packBytes = sizeBytes <= 4096 * GIB ? 16 * MIB : 32 * MIB;
  return { maxReadBytes: 2 * MIB, windowBytes: 16 * MIB, packBytes };
}

export type FullReason = "asked-for" | "change-hint-wrong" | "parent-unreadable";

export interface WrittenDiskPoint {
  readonly reference: DiskPointReference;
  readonly manifest: DiskPointManifest;
  readonly kind: "full" | "incremental";
  /** Why everything was read; undefined for an incremental. */
  readonly fullReason: FullReason | undefined;
  readonly changeHintWrong: boolean;
  readonly stats: DiskPointStats;
  /** True when a point of this id was committed before: nothing was read or written now. */
  readonly alreadyCommitted: boolean;
}

/**
 * Writes one restore point of one disk: packs, then the map, then the manifest with
 * create-if-absent. Until the manifest lies there, nothing of it can be seen.
 *
 * At most one writer per disk should run; a second one ends with `DiskPointConflict` and harms
 * nothing. Other errors: those of the store and of the source.
 */
export async function writeDiskPoint(
  repository: Repository,
  options: WriteDiskPointOptions,
  signal: AbortSignal,
): Promise<WrittenDiskPoint> {
  requireFeatures(repository.descriptor, "write");
  requireSafeName("disk id", options.diskId);
  requireSafeName("point id", options.pointId);
  requireSize(options.sizeBytes);
  const newest = await readNewestPoint(repository, options.diskId, signal);
  if (newest?.point?.manifest.pointId === options.pointId) return committedBefore(newest.point);
  const attempt = { repository, options, sequence: (newest?.sequence ?? 0) + 1 };
  const { ranges } = options;
  if (ranges.kind === "full") {
    const parent = await openNewestMap(repository, newest?.point, signal);
    return writeAttempt(
      { ...attempt, parent, mode: { kind: "full", reason: "asked-for" } },
      signal,
    );
  }
  const parent = await openMapIfReadable(repository, ranges.parent, signal);
  if (parent !== undefined && parent.point.manifest.sizeBytes <= options.sizeBytes) {
    try {
      return await writeAttempt({ ...attempt, parent, mode: { kind: "incremental" } }, signal);
    } catch (error) {
      const isHintWrong = error instanceof ChangeHintWrong;
      if (!isHintWrong && codeOf(error) !== "RepositoryDamaged") throw error;
      const reason = isHintWrong ? "change-hint-wrong" : "parent-unreadable";
      return writeAttempt({ ...attempt, parent, mode: { kind: "full", reason } }, signal);
    }
  }
  const fallback = await openNewestMap(repository, newest?.point, signal);
  const mode = { kind: "full", reason: "parent-unreadable" } as const;
  return writeAttempt({ ...attempt, parent: fallback, mode }, signal);
}

function requireSize(sizeBytes: number): void {
  const isSound = Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % 512 === 0;
  if (isSound && sizeBytes <= MAX_DISK_BYTES) return;
  throw new HoldfastError(
    "InvalidDiskSize",
    `A disk of ${sizeBytes} bytes cannot be stored: the size must be a positive multiple of 512.`,
  );
}

async function openNewestMap(
  repository: Repository,
  point: DiskPoint | undefined,
  signal: AbortSignal,
): Promise<BlockMap | undefined> {
  return point === undefined ? undefined : openMapIfReadable(repository, point, signal);
}

function committedBefore(point: DiskPoint): WrittenDiskPoint {
  const { reference, manifest } = point;
  return {
    reference,
    manifest,
    kind: manifest.kind,
    fullReason: undefined,
    changeHintWrong: manifest.changeHintWrong,
    stats: manifest.stats,
    alreadyCommitted: true,
  };
}

type WriteMode =
  { readonly kind: "full"; readonly reason: FullReason } | { readonly kind: "incremental" };

interface Attempt {
  readonly repository: Repository;
  readonly options: WriteDiskPointOptions;
  readonly sequence: number;
  readonly parent: BlockMap | undefined;
  readonly mode: WriteMode;
}

interface AttemptKey {
  readonly dataKey: DataKey;
  readonly dataKeys: DataKeyList;
  readonly blockBytes: number;
}

async function keyOfAttempt(attempt: Attempt, signal: AbortSignal): Promise<AttemptKey> {
  const { repository, options, sequence, parent } = attempt;
  const dataKey = parent?.point.dataKeys.at(-1);
  if (parent !== undefined && dataKey !== undefined) {
    const { blockBytes, dataKeys } = parent.point.manifest;
    return { dataKey, dataKeys, blockBytes };
  }
  const blockBytes = options.blockBytes ?? DEFAULT_BLOCK_BYTES;
  const { diskId, random } = options;
  return establishDataKey(repository, { diskId, sequence, blockBytes, random }, signal);
}

async function writeAttempt(attempt: Attempt, signal: AbortSignal): Promise<WrittenDiskPoint> {
  const { repository, options, sequence, parent, mode } = attempt;
  const { store } = repository;
  const { diskId, random } = options;
  const { dataKey, dataKeys, blockBytes } = await keyOfAttempt(attempt, signal);
  const shape: DiskShape = { sizeBytes: options.sizeBytes, blockBytes };
  const limits = { ...defaultWriterLimits(shape.sizeBytes), ...options.limits };
  const keyNumber = dataKeys.length - 1;
  const predecessor = await PredecessorPacks.load(store, { diskId, sequence, dataKey }, signal);
  // Stops everything that is under way when one part fails.
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const map = new MapBuilder({
    parent,
    inherits: mode.kind === "incremental",
    leafCount: leafCountOf(shape),
    keyNumber,
  });
  for (const { packId, objectBytes } of predecessor.objects()) map.addPack(packId, objectBytes);
  const target = { store, diskId, sequence, dataKey, random, signal: inner };
  const packs = new PackWriter({
    ...target,
    packBytes: limits.packBytes,
    buffers: options.buffers ?? new BufferPool(DEFAULT_BUFFERS_PER_WRITER * limits.packBytes),
    onStored: (packId, objectBytes) => map.addPack(packId, objectBytes),
  });
  const index = new IndexWriter({ ...target, keyNumber });
  const pipeline = new RunPipeline({
    source: options.source,
    shape,
    codec: options.codec ?? inlineBlockCodec,
    hashKey: hashKeyOf(dataKey.key),
    packs,
    index,
    map,
    parent,
    isComparable: (entry) => parent?.dataKeyOf(entry).keyId === dataKey.keyId,
    readParentLeaf: (leafNumber) => readParentLeaf(attempt, leafNumber, inner),
    predecessor,
    windowBytes: limits.windowBytes,
    onProgress: options.onProgress ?? (() => undefined),
    signal: inner,
  });
  try {
    for await (const run of runsOf(attempt, shape, limits)) await pipeline.push(run);
    await pipeline.finish();
    await packs.finish();
    await index.flush();
    const root = map.finish(index.indexes);
    const rootReference = await writeRoot(root, index, parent);
    const draft = { attempt, shape, dataKeys, stats: { ...pipeline.stats }, rootReference };
    return await commit(draft, inner);
  } catch (error) {
    stop.abort(error);
    await pipeline.settle();
    await packs.abandon();
    throw error;
  }
}

async function writeRoot(
  root: ReturnType<MapBuilder["finish"]>,
  index: IndexWriter,
  parent: BlockMap | undefined,
): Promise<DiskPointManifest["root"]> {
  if (root === "zero") return null;
  if (root === "unchanged") return parent?.point.manifest.root ?? null;
  return index.addRoot(root);
}

async function readParentLeaf(
  { parent, mode }: Attempt,
  leafNumber: number,
  signal: AbortSignal,
): Promise<Leaf | undefined> {
  if (parent === undefined || leafNumber >= parent.root.leaves.length) return undefined;
  const leaf = parent.readLeaf(leafNumber, signal);
  // A full reads everything anyway: a damaged leaf is healed, not inherited.
  return mode.kind === "full" ? unlessUnreadable(leaf) : leaf;
}

async function* runsOf({ options, parent, mode }: Attempt, shape: DiskShape, limits: WriterLimits) {
  const maxRunBlocks = Math.max(1, Math.floor(limits.maxReadBytes / shape.blockBytes));
  const { ranges } = options;
  if (mode.kind === "full" || ranges.kind === "full" || parent === undefined) {
    yield* planRuns(asChanges(ranges.allocated()), shape, maxRunBlocks);
    return;
  }
  const oldSizeBytes = parent.point.manifest.sizeBytes;
  const changed = withGrownTail(ranges.changed(), oldSizeBytes, shape);
  const samples = chooseSamples(
    parent.root,
    Math.min(blockCountOf(shape), Math.floor(oldSizeBytes / shape.blockBytes)),
    ranges.sampleCount,
    options.random,
  );
  yield* withSamples(planRuns(changed, shape, maxRunBlocks), samples);
}

interface Draft {
  readonly attempt: Attempt;
  readonly shape: DiskShape;
  readonly dataKeys: DataKeyList;
  readonly stats: DiskPointStats;
  readonly rootReference: DiskPointManifest["root"];
}

async function commit(draft: Draft, signal: AbortSignal): Promise<WrittenDiskPoint> {
  const { repository, options, sequence, parent, mode } = draft.attempt;
  const { diskId, pointId } = options;
  const name = objectNames.diskPoint(diskId, sequence);
  const fullReason = mode.kind === "full" ? mode.reason : undefined;
  const changeHintWrong = fullReason === "change-hint-wrong";
  const manifest: DiskPointManifest = {
    format: 1,
    diskId,
    sequence,
    pointId,
    createdAt: options.now().toISOString(),
    ...draft.shape,
    leafBlocks: LEAF_BLOCKS,
    kind: mode.kind,
    parentSequence: parent?.point.manifest.sequence ?? null,
    changeHintWrong,
    dataKeys: draft.dataKeys,
    root: draft.rootReference,
    stats: draft.stats,
  };
  const objectId = options.random(ID_BYTES);
  const manifestId = Buffer.from(objectId).toString("hex");
  const envelope = { kind: "diskPoint", name, objectId, document: manifest } as const;
  const body = sealEnvelope(repository.key, envelope);
  if ((await repository.store.create(name, body, signal)) === "exists") {
    const winner = await readDiskPoint(repository, diskId, sequence, signal);
    const isOurs = winner.reference.manifestId === manifestId;
    if (!isOurs && winner.manifest.pointId === pointId) return committedBefore(winner);
    if (!isOurs) throw conflict(diskId, sequence);
  }
  return {
    reference: { diskId, sequence, manifestId },
    manifest,
    kind: mode.kind,
    fullReason,
    changeHintWrong,
    stats: draft.stats,
    alreadyCommitted: false,
  };
}

function conflict(diskId: string, sequence: number): HoldfastError {
  return new HoldfastError(
    "DiskPointConflict",
    `Another writer committed point ${sequence} of disk ${diskId} first. Nothing was lost; ` +
      "run this backup again.",
    { retry: "backoff", context: { diskId, sequence } },
  );
}
