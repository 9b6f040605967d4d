/** One try to write a disk point, from its data key to its commit. */
import type { BlockMap } from "../block-map.ts";
import { leafCountOf } from "../block-map.ts";
import { BufferPool } from "../buffer-pool.ts";
import { inlineBlockCodec } from "../codec/block-codec.ts";
import { SHARED_FRAMES, type RepositoryDescriptor } from "../format/descriptor.ts";
import { hashKeyOf } from "../format/keys.ts";
import { DATA_KEYS_MAX } from "../format/layout.ts";
import type { Leaf } from "../format/leaf.ts";
import type { DiskPointManifest, DiskPointStats } from "../format/manifests.ts";
import type { Immutability } from "../immutability.ts";
import { readTombstones } from "../maintenance/garbage-lists.ts";
import type { Repository } from "../repository.ts";
import { NOTHING_CARRIED, findCarriedBlocks, type CarriedBlocks } from "./carried-blocks.ts";
import { chooseSamples } from "./change-samples.ts";
import { commitDiskPoint } from "./commit-disk-point.ts";
import {
  establishDataKey,
  unlessUnreadable,
  wrapDataKeys,
  type DataKeyList,
} from "./disk-state.ts";
import { withExtraRuns } from "./extra-runs.ts";
import { withGrownTail } from "./grown-tail.ts";
import { IndexWriter } from "./index-writer.ts";
import type { LeafRange } from "./leaf-range.ts";
import { MapBuilder } from "./map-builder.ts";
import { PackWriter, type DataKey } from "./pack-writer.ts";
import { healedBlockCount, type Healing } from "./plan-healing.ts";
import { asChanges, blockCountOf, planRuns, type DiskShape } from "./plan-runs.ts";
import { PredecessorPacks } from "./predecessor-packs.ts";
import { needsProtection, protectIndex, protectRoot } from "./protect-root.ts";
import { RunPipeline } from "./run-pipeline.ts";
import {
  defaultBlockBytes,
  defaultWriterLimits,
  type FullReason,
  type WriteDiskPointOptions,
  type WriterLimits,
  type WrittenDiskPoint,
} from "./write-options.ts";

const DEFAULT_BUFFERS_PER_WRITER = 3;
/**
 * Neighbours that are stored together are compressed together up to this size: measured 5 % smaller
 * than single blocks of 256 KiB. One block is still found in about a millisecond.
 */
const FRAME_TARGET_BYTES = 1024 * 1024;
const MAX_WRITTEN_FRAME_BLOCKS = 128;

type WriteMode =
  { readonly kind: "full"; readonly reason: FullReason } | { readonly kind: "incremental" };

export interface Attempt {
  readonly repository: Repository;
  readonly options: WriteDiskPointOptions;
  readonly immutability: Immutability | undefined;
  readonly sequence: number;
  readonly parent: BlockMap | undefined;
  /** What of the parent lies in quarantine. */
  readonly healing: Healing;
  readonly mode: WriteMode;
  /** Where the ranges lie, when they are those of a part of the disk only. */
  readonly leaves?: LeafRange;
}

export interface AttemptKey {
  readonly dataKey: DataKey;
  readonly dataKeys: DataKeyList;
  readonly blockBytes: number;
}

/** The newest key of the parent, or the one that the attempt's record names; records a new one. */
export async function keyOfAttempt(attempt: Attempt, signal: AbortSignal): Promise<AttemptKey> {
  const { repository, options, sequence, parent } = attempt;
  const { diskId, random } = options;
  const known = parent?.point.dataKeys ?? [];
  const dataKey = known.at(-1);
  if (parent !== undefined && dataKey !== undefined) {
    const { blockBytes } = parent.point.manifest;
    const dataKeys = wrapDataKeys(repository, diskId, known);
    if (options.rotateDataKey !== true || known.length >= DATA_KEYS_MAX) {
      return { dataKey, dataKeys, blockBytes };
    }
    const fresh = { diskId, sequence, blockBytes, random };
    const established = await establishDataKey(repository, fresh, signal);
    // Former keys keep their numbers: tables of the parent's map go on naming them.
    return { ...established, blockBytes, dataKeys: [...dataKeys, ...established.dataKeys] };
  }
  const blockBytes = options.blockBytes ?? defaultBlockBytes(options.sizeBytes);
  return establishDataKey(repository, { diskId, sequence, blockBytes, random }, signal);
}

export async function writeAttempt(
  attempt: Attempt,
  signal: AbortSignal,
): Promise<WrittenDiskPoint> {
  const key = await keyOfAttempt(attempt, signal);
  return storeBlocks(attempt, key, signal, async ({ map, index, shape, stats }, inner) => {
    const rootReference = await writeRoot(attempt, map, index, inner);
    const healedBlocks = healedBlockCount(attempt.healing);
    const { dataKeys } = key;
    return commitDiskPoint({ attempt, shape, dataKeys, stats, rootReference, healedBlocks }, inner);
  });
}

/** What lies in the store before the root does. */
export interface StoredBlocks {
  readonly shape: DiskShape;
  readonly map: MapBuilder;
  readonly index: IndexWriter;
  readonly stats: DiskPointStats;
}

/** Moves the blocks of an attempt into packs and its leaves into indexes; `finish` does the rest. */
export async function storeBlocks<Result>(
  attempt: Attempt,
  attemptKey: AttemptKey,
  signal: AbortSignal,
  finish: (stored: StoredBlocks, signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const { dataKeys, ...key } = attemptKey;
  const keyNumber = dataKeys.length - 1;
  const predecessor = await loadPredecessor(attempt, key.dataKey, signal);
  const carried = await carriedBlocksOf(attempt, { ...key, keyNumber }, signal);
  // Stops everything that is under way when one part fails.
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const parts = makeParts({ attempt, ...key, keyNumber, predecessor, carried }, inner);
  const { packs, index, map, pipeline, shape, limits } = parts;
  try {
    const runs = runsOf(attempt, { shape, limits, carried });
    for await (const run of runs) await pipeline.push(run);
    await pipeline.finish();
    await packs.finish();
    await index.flush();
    return await finish({ shape, map, index, stats: { ...pipeline.stats } }, inner);
  } catch (error) {
    stop.abort(error);
    await pipeline.settle();
    await packs.abandon();
    throw error;
  }
}

function limitsOf({ sizeBytes, limits }: WriteDiskPointOptions): WriterLimits {
  return { ...defaultWriterLimits(sizeBytes), ...limits };
}

async function loadPredecessor(
  attempt: Attempt,
  dataKey: DataKey,
  signal: AbortSignal,
): Promise<PredecessorPacks> {
  const { repository, options, sequence } = attempt;
  const { diskId } = options;
  const tombstones = await readTombstones(repository, diskId, signal);
  // What an unreadable list names is not known: then nothing left behind is safe to refer to.
  const isTombstoned = (name: string): boolean =>
    !tombstones.isComplete || tombstones.names.has(name);
  const { keptFooterBytes } = limitsOf(options);
  const { leaves } = attempt;
  const disk = { diskId, sequence, dataKey, isTombstoned, keptFooterBytes, leaves };
  return PredecessorPacks.load(repository.store, disk, signal);
}

async function carriedBlocksOf(
  { repository, options, parent, mode }: Attempt,
  { dataKey, keyNumber }: { readonly dataKey: DataKey; readonly keyNumber: number },
  signal: AbortSignal,
): Promise<CarriedBlocks> {
  const limits = options.carryForward;
  if (limits === undefined || parent === undefined || mode.kind === "full") return NOTHING_CARRIED;
  const writing = { dataKey, keyNumber, now: options.now(), limits };
  return findCarriedBlocks(repository, parent, writing, signal);
}

function makeParts(
  making: {
    readonly attempt: Attempt;
    readonly dataKey: DataKey;
    readonly keyNumber: number;
    readonly blockBytes: number;
    readonly predecessor: PredecessorPacks;
    readonly carried: CarriedBlocks;
  },
  signal: AbortSignal,
) {
  const { attempt, dataKey, keyNumber, blockBytes, predecessor, carried } = making;
  const { repository, options, sequence, parent, mode, immutability, healing } = attempt;
  const { diskId, random } = options;
  const shape: DiskShape = { sizeBytes: options.sizeBytes, blockBytes };
  const limits = limitsOf(options);
  const map = new MapBuilder({
    parent,
    inherits: mode.kind === "incremental",
    leafCount: leafCountOf(shape),
    keyNumber,
  });
  const { store } = repository;
  const target = { store, diskId, sequence, dataKey, random, immutability, signal };
  const packs = new PackWriter({
    ...target,
    packBytes: limits.packBytes,
    buffers: options.buffers ?? new BufferPool(DEFAULT_BUFFERS_PER_WRITER * limits.packBytes),
    onStored: (packId, objectBytes) => map.addPack(packId, objectBytes, immutability?.untilDay),
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
    isCarried: (entry) => carried.packIds.has(entry.packId) || healing.isQuarantined(entry),
    readParentLeaf: (leafNumber) => readParentLeaf(attempt, leafNumber, signal),
    predecessor,
    frameBlocks: frameBlocksOf(repository.descriptor, blockBytes),
    windowBytes: limits.windowBytes,
    onProgress: options.onProgress ?? (() => undefined),
    signal,
  });
  return { packs, index, map, pipeline, shape, limits };
}

/** Blocks of a frame at most: a power of two, so that no frame reaches into two leaves. */
function frameBlocksOf({ features }: RepositoryDescriptor, blockBytes: number): number {
  if (!features.read.includes(SHARED_FRAMES)) return 1;
  return Math.max(1, Math.min(MAX_WRITTEN_FRAME_BLOCKS, FRAME_TARGET_BYTES / blockBytes));
}

async function writeRoot(
  { repository, options, parent, immutability }: Attempt,
  map: MapBuilder,
  index: IndexWriter,
  signal: AbortSignal,
): Promise<DiskPointManifest["root"]> {
  const root = map.finish(index.indexes);
  if (root === "zero") return null;
  const target = { store: repository.store, diskId: options.diskId };
  if (root !== "unchanged") {
    if (immutability === undefined) return index.addRoot(root);
    return index.addRoot(await protectRoot(root, { ...target, immutability }, signal));
  }
  const reference = parent?.point.manifest.root ?? null;
  if (reference === null || parent === undefined || immutability === undefined) return reference;
  const protection = { ...target, immutability };
  if (needsProtection(parent.root, immutability)) {
    return index.addRoot(await protectRoot(parent.root, protection, signal));
  }
  await protectIndex(reference.indexId, protection, signal);
  return reference;
}

async function readParentLeaf(
  { parent, mode, healing }: Attempt,
  leafNumber: number,
  signal: AbortSignal,
): Promise<Leaf | undefined> {
  if (parent === undefined || leafNumber >= parent.root.leaves.length) return undefined;
  if (mode.kind === "full" && healing.lostLeaves.has(leafNumber)) return undefined;
  const leaf = parent.readLeaf(leafNumber, signal);
  // A full reads everything anyway: a damaged leaf is healed, not inherited.
  return mode.kind === "full" ? unlessUnreadable(leaf) : leaf;
}

async function* runsOf(
  { options, parent, mode, healing }: Attempt,
  plan: {
    readonly shape: DiskShape;
    readonly limits: WriterLimits;
    readonly carried: CarriedBlocks;
  },
) {
  const { shape, limits, carried } = plan;
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
  const extra = { samples, carried: carried.blocks, healed: healing.blocks };
  yield* withExtraRuns(planRuns(changed, shape, maxRunBlocks), extra, maxRunBlocks);
}
