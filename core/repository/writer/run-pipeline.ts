/**
 * Moves runs of blocks through reading, encoding and packing. Several runs are under way at once;
 * their results reach the block map strictly in ascending order. Memory: at most `windowBytes` of
 * raw data plus its encoded form, the leaves of the runs under way, and the buffers of the pool.
 */
import { timingSafeEqual } from "node:crypto";
import { HoldfastError } from "../../lib/errors.ts";
import type { DiskRange } from "../../ports/disk-data.ts";
import type { BlockMap } from "../block-map.ts";
import type { BlockCodec, EncodedBlock } from "../codec/block-codec.ts";
import { LEAF_BLOCKS } from "../format/layout.ts";
import type { BlockEntry, Leaf, MutableLeaf } from "../format/leaf.ts";
import type { DiskPointStats } from "../format/manifests.ts";
import type { IndexWriter } from "./index-writer.ts";
import type { MapBuilder } from "./map-builder.ts";
import type { PackWriter } from "./pack-writer.ts";
import { blockLengthBytes, type BlockRun, type DiskShape } from "./plan-runs.ts";
import { NOTHING_SALVAGED, type PredecessorPacks, type SalvagedLeaf } from "./predecessor-packs.ts";

export type MutableStats = { -readonly [Field in keyof DiskPointStats]: DiskPointStats[Field] };

export interface ReadsDisk {
  read(range: DiskRange, signal: AbortSignal): Promise<Uint8Array>;
}

/**
 * `check` = a block that should be unchanged is read and compared; nothing is stored. `carry` =
 * unchanged blocks are read, compared and stored again, so that their old pack falls out of use.
 */
export type PipelineRun = Omit<BlockRun, "kind"> & {
  readonly kind: BlockRun["kind"] | "check" | "carry";
};

/** A block that the change list called unchanged differs from the parent. */
export class ChangeHintWrong extends Error {}

export interface PipelineOptions {
  readonly source: ReadsDisk;
  readonly shape: DiskShape;
  readonly codec: BlockCodec;
  readonly hashKey: Uint8Array;
  readonly packs: PackWriter;
  readonly index: IndexWriter;
  readonly map: MapBuilder;
  readonly parent: BlockMap | undefined;
  /** Hashes of entries under other keys or block sizes cannot be compared. */
  readonly isComparable: (entry: BlockEntry) => boolean;
  /** Entries in packs that the new point shall not refer to any more. */
  readonly isCarried: (entry: BlockEntry) => boolean;
  /** Leaf of the parent; may answer undefined for a damaged one when the point does not inherit. */
  readonly readParentLeaf: (leafNumber: number) => Promise<Leaf | undefined>;
  readonly predecessor: PredecessorPacks;
  /** Blocks that may share a frame: those between multiples of this number. 1 = none. */
  readonly frameBlocks: number;
  readonly windowBytes: number;
  readonly onProgress: (stats: DiskPointStats) => void;
  readonly signal: AbortSignal;
}

/** Bound on runs under way, for small runs whose bytes alone would allow thousands. */
const MAX_RUNS_UNDER_WAY = 64;

interface LeafInWork {
  readonly leafNumber: number;
  readonly base: Promise<Leaf | undefined>;
  /** There when `base` is. */
  salvaged: SalvagedLeaf;
  entries: MutableLeaf | undefined;
}

interface RunUnderWay {
  readonly run: PipelineRun;
  readonly leaf: LeafInWork;
  readonly rawBytes: number;
  readonly result: Promise<RunResult>;
}

interface RunResult {
  readonly base: Leaf | undefined;
  readonly blocks: readonly EncodedBlock[];
  readonly stored: readonly (BlockEntry | undefined)[];
}

export class RunPipeline {
  readonly #options: PipelineOptions;
  readonly stats: MutableStats = {
    readBytes: 0,
    storedBytes: 0,
    zeroBytes: 0,
    unchangedBytes: 0,
    changedBytes: 0,
    blockCount: 0,
  };
  readonly #underWay: RunUnderWay[] = [];
  #windowBytes = 0;
  /** Leaf of the newest run that was started. */
  #newestLeaf: LeafInWork | undefined;
  /** Leaf that results are applied to. */
  #currentLeaf: LeafInWork | undefined;

  constructor(options: PipelineOptions) {
    this.#options = options;
  }

  /** Starts a run; waits while the window is full. Runs must ascend. */
  async push(run: PipelineRun): Promise<void> {
    this.#options.signal.throwIfAborted();
    const leaf = this.#leafOf(Math.floor(run.firstBlock / LEAF_BLOCKS));
    const rawBytes = run.kind === "zero" ? 0 : this.#lengthOf(run);
    while (
      this.#underWay.length >= MAX_RUNS_UNDER_WAY ||
      (this.#underWay.length > 0 && this.#windowBytes + rawBytes > this.#options.windowBytes)
    ) {
      await this.#applyOldest();
    }
    const result = this.#process(run, leaf);
    // A failure is reported when its turn comes; until then it must not count as unhandled.
    result.catch(() => undefined);
    this.#underWay.push({ run, leaf, rawBytes, result });
    this.#windowBytes += rawBytes;
  }

  async finish(): Promise<void> {
    while (this.#underWay.length > 0) await this.#applyOldest();
    if (this.#currentLeaf !== undefined) await this.#finishLeaf(this.#currentLeaf);
    this.#currentLeaf = undefined;
  }

  /** After a failure: waits until no run works any more. The signal must be aborted. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#underWay.map(({ result }) => result));
  }

  #leafOf(leafNumber: number): LeafInWork {
    if (this.#newestLeaf?.leafNumber === leafNumber) return this.#newestLeaf;
    const leaf: LeafInWork = {
      leafNumber,
      base: this.#readBase(leafNumber, (salvaged) => {
        leaf.salvaged = salvaged;
      }),
      salvaged: NOTHING_SALVAGED,
      entries: undefined,
    };
    // A failure is reported by the runs that need it.
    leaf.base.catch(() => undefined);
    this.#newestLeaf = leaf;
    return leaf;
  }

  async #readBase(
    leafNumber: number,
    onSalvaged: (salvaged: SalvagedLeaf) => void,
  ): Promise<Leaf | undefined> {
    const { readParentLeaf, predecessor, map, signal } = this.#options;
    const [base, salvaged] = await Promise.all([
      readParentLeaf(leafNumber),
      predecessor.readLeaf(leafNumber, signal),
    ]);
    for (const { packId, objectBytes } of salvaged.packs) map.addPack(packId, objectBytes);
    onSalvaged(salvaged);
    return base;
  }

  #lengthOf(run: PipelineRun): number {
    const { blockBytes } = this.#options.shape;
    const last = run.firstBlock + run.blockCount - 1;
    return (run.blockCount - 1) * blockBytes + blockLengthBytes(this.#options.shape, last);
  }

  async #process(run: PipelineRun, leaf: LeafInWork): Promise<RunResult> {
    const { source, shape, signal } = this.#options;
    if (run.kind === "zero") {
      const zero: EncodedBlock = { kind: "zero" };
      const blocks = Array.from({ length: run.blockCount }, () => zero);
      return { base: await leaf.base, blocks, stored: [] };
    }
    const lengthBytes = this.#lengthOf(run);
    const offsetBytes = run.firstBlock * shape.blockBytes;
    const [bytes, base] = await Promise.all([
      source.read({ offsetBytes, lengthBytes }, signal),
      leaf.base,
    ]);
    if (bytes.length !== lengthBytes) {
      throw new HoldfastError(
        "DiskReadFailed",
        `The disk returned ${bytes.length} bytes at ${offsetBytes} instead of ${lengthBytes}. Try again.`,
        { retry: "backoff", context: { offsetBytes, lengthBytes } },
      );
    }
    signal.throwIfAborted();
    return this.#encode(run, leaf, base, bytes);
  }

  async #encode(
    run: PipelineRun,
    leaf: LeafInWork,
    base: Leaf | undefined,
    bytes: Uint8Array,
  ): Promise<RunResult> {
    const { shape, codec, hashKey, packs, frameBlocks, signal } = this.#options;
    const rawBytes = bytes.length;
    const reservation = await packs.reserve(run.blockCount, rawBytes);
    try {
      const blocks = Array.from({ length: run.blockCount }, (_, position) => ({
        offsetBytes: position * shape.blockBytes,
        lengthBytes: blockLengthBytes(shape, run.firstBlock + position),
        knownHashes: this.#knownEntries(leaf, base, run, position).map((entry) => entry.hash),
        // Bounds that depend on the place alone: who reads aligned pieces opens each frame once.
        group: Math.floor((run.firstBlock + position) / frameBlocks),
      }));
      const { packId, frameKey, firstFrameNumber } = reservation;
      const job = { bytes, blocks, hashKey, packId, frameKey, firstFrameNumber };
      const encoded = await codec.encode(job, signal);
      this.stats.readBytes += rawBytes;
      if (run.kind === "check") return { base, blocks: encoded.blocks, stored: [] };
      return { base, blocks: encoded.blocks, stored: reservation.append(run.firstBlock, encoded) };
    } finally {
      reservation.cancel();
    }
  }

  /** What may already hold this block's content: the parent's entry first, then predecessors'. */
  #knownEntries(
    leaf: LeafInWork,
    base: Leaf | undefined,
    run: PipelineRun,
    position: number,
  ): BlockEntry[] {
    const { isComparable, isCarried } = this.#options;
    const block = run.firstBlock + position;
    const fromParent = base?.[block % LEAF_BLOCKS];
    const entries: BlockEntry[] = [];
    const isUsable = (entry: BlockEntry): boolean =>
      isComparable(entry) && (run.kind === "check" || !isCarried(entry));
    if (fromParent !== undefined && isUsable(fromParent)) entries.push(fromParent);
    entries.push(...(leaf.salvaged.entries.get(block) ?? []));
    return entries;
  }

  async #applyOldest(): Promise<void> {
    const oldest = this.#underWay[0];
    if (oldest === undefined) return;
    const result = await oldest.result;
    this.#underWay.shift();
    this.#windowBytes -= oldest.rawBytes;
    if (oldest.run.kind === "check") {
      this.#requireUnchanged(oldest, result);
      return;
    }
    if (oldest.run.kind === "carry") this.#requireCarried(oldest, result);
    if (this.#currentLeaf !== oldest.leaf) {
      if (this.#currentLeaf !== undefined) await this.#finishLeaf(this.#currentLeaf);
      this.#currentLeaf = oldest.leaf;
    }
    oldest.leaf.entries ??= this.#options.map.startLeaf(result.base);
    const entries = oldest.leaf.entries;
    result.blocks.forEach((block, position) => {
      const number = oldest.run.firstBlock + position;
      entries[number % LEAF_BLOCKS] = this.#apply(oldest, result, block, position);
    });
    this.#options.onProgress(this.stats);
  }

  #apply(
    { leaf, run }: RunUnderWay,
    result: RunResult,
    block: EncodedBlock,
    position: number,
  ): BlockEntry | undefined {
    const number = run.firstBlock + position;
    const lengthBytes = blockLengthBytes(this.#options.shape, number);
    const stats = this.stats;
    stats.blockCount++;
    switch (block.kind) {
      case "zero":
        stats.zeroBytes += lengthBytes;
        if (result.base?.[number % LEAF_BLOCKS] !== undefined) stats.changedBytes += lengthBytes;
        return undefined;
      case "known":
        stats.unchangedBytes += lengthBytes;
        return this.#knownEntries(leaf, result.base, run, position)[block.which];
      case "stored":
        if (run.kind === "carry") stats.unchangedBytes += lengthBytes;
        else stats.changedBytes += lengthBytes;
        if (block.position === 0) stats.storedBytes += block.storedBytes;
        return result.stored[position];
    }
  }

  #requireUnchanged({ run }: RunUnderWay, result: RunResult): void {
    const expected = result.base?.[run.firstBlock % LEAF_BLOCKS];
    const found = result.blocks[0];
    if (expected === undefined && found?.kind === "zero") return;
    if (expected !== undefined && found?.kind === "known" && found.which === 0) return;
    throw new ChangeHintWrong();
  }

  /** Carried blocks are a sample, too: what was read must be what the parent holds. */
  #requireCarried({ run, leaf }: RunUnderWay, result: RunResult): void {
    result.blocks.forEach((block, position) => {
      const expected = result.base?.[(run.firstBlock + position) % LEAF_BLOCKS];
      if (expected === undefined || block.kind === "zero") throw new ChangeHintWrong();
      const known = this.#knownEntries(leaf, result.base, run, position);
      const hash = block.kind === "stored" ? block.hash : known[block.which]?.hash;
      if (hash === undefined || !timingSafeEqual(hash, expected.hash)) throw new ChangeHintWrong();
    });
  }

  async #finishLeaf(leaf: LeafInWork): Promise<void> {
    if (leaf.entries === undefined) return;
    const { map, index } = this.#options;
    await map.finishLeaf(leaf.leafNumber, await leaf.base, leaf.entries, index);
  }
}
