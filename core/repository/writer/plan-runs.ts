/**
 * Turns ranges of a disk into *runs*: consecutive whole blocks of one leaf that are either read
 * together or known to be zero without reading. Ascending, disjoint, each block at most once.
 */
import { HoldfastError } from "../../lib/errors.ts";
import type { ChangedRange, DiskRange } from "../../ports/disk-data.ts";
import { LEAF_BLOCKS } from "../format/layout.ts";

export interface BlockRun {
  readonly kind: "read" | "zero";
  readonly firstBlock: number;
  readonly blockCount: number;
}

export interface DiskShape {
  readonly sizeBytes: number;
  readonly blockBytes: number;
}

export function blockCountOf(shape: DiskShape): number {
  return Math.ceil(shape.sizeBytes / shape.blockBytes);
}

/** The last block of a disk may be shorter than the others. */
export function blockLengthBytes(shape: DiskShape, block: number): number {
  return Math.min(shape.blockBytes, shape.sizeBytes - block * shape.blockBytes);
}

/** Every listed range holds data. */
export async function* asChanges(ranges: AsyncIterable<DiskRange>): AsyncGenerator<ChangedRange> {
  for await (const range of ranges) yield { ...range, kind: "data" };
}

/**
 * A block that any data range touches is read; one that clear ranges cover completely is zero; one
 * that they cover partly is read. Ranges must ascend by offset; they may touch or overlap.
 */
export async function* planRuns(
  ranges: AsyncIterable<ChangedRange>,
  shape: DiskShape,
  maxRunBlocks: number,
): AsyncGenerator<BlockRun> {
  const joiner = new RunJoiner(maxRunBlocks);
  let block: BlockUnderPlan | undefined;
  const order = new RangeOrder();
  for await (const given of ranges) {
    order.check(given);
    const range = clip(given, shape.sizeBytes);
    if (range === undefined) continue;
    const lastBlock = Math.floor((range.endBytes - 1) / shape.blockBytes);
    let number = Math.floor(range.startBytes / shape.blockBytes);
    // A range may start before the end of the one before it: those blocks are planned already,
    // except the one still open.
    if (block !== undefined && number < block.number) number = block.number;
    for (; number <= lastBlock; number++) {
      if (block !== undefined && block.number !== number) {
        yield* joiner.add(block.number, block.decide());
        block = undefined;
      }
      block ??= new BlockUnderPlan(number, shape);
      block.cover(range.startBytes, range.endBytes, given.kind);
    }
  }
  if (block !== undefined) yield* joiner.add(block.number, block.decide());
  yield* joiner.end();
}

function clip(
  { offsetBytes, lengthBytes }: ChangedRange,
  sizeBytes: number,
): { readonly startBytes: number; readonly endBytes: number } | undefined {
  const endBytes = Math.min(offsetBytes + lengthBytes, sizeBytes);
  return endBytes > offsetBytes ? { startBytes: offsetBytes, endBytes } : undefined;
}

/** Refuses a list that would be misread: blocks are decided as the list goes by. */
class RangeOrder {
  #previousOffsetBytes = 0;
  readonly #endBytes = { data: 0, clear: 0 };

  check({ kind, offsetBytes, lengthBytes }: ChangedRange): void {
    const otherKind = kind === "data" ? "clear" : "data";
    const isSound =
      Number.isSafeInteger(offsetBytes) &&
      Number.isSafeInteger(lengthBytes) &&
      lengthBytes >= 0 &&
      offsetBytes >= this.#previousOffsetBytes &&
      offsetBytes >= this.#endBytes[otherKind];
    if (!isSound) {
      throw new HoldfastError(
        "InvalidRangeList",
        `The list of ranges is not ascending at offset ${offsetBytes}, length ${lengthBytes}. ` +
          "Read the whole disk instead.",
        { context: { offsetBytes, lengthBytes } },
      );
    }
    this.#previousOffsetBytes = offsetBytes;
    this.#endBytes[kind] = Math.max(this.#endBytes[kind], offsetBytes + lengthBytes);
  }
}

/** Collects what the ranges say about one block. */
class BlockUnderPlan {
  readonly number: number;
  readonly #endBytes: number;
  /** Everything before this is covered by clear ranges. */
  #clearedToBytes: number;
  #hasData = false;

  constructor(number: number, shape: DiskShape) {
    this.number = number;
    this.#clearedToBytes = number * shape.blockBytes;
    this.#endBytes = this.#clearedToBytes + blockLengthBytes(shape, number);
  }

  cover(startBytes: number, endBytes: number, kind: ChangedRange["kind"]): void {
    if (kind === "data") this.#hasData = true;
    else if (startBytes <= this.#clearedToBytes && endBytes > this.#clearedToBytes) {
      this.#clearedToBytes = endBytes;
    }
  }

  decide(): BlockRun["kind"] {
    return !this.#hasData && this.#clearedToBytes >= this.#endBytes ? "zero" : "read";
  }
}

/**
 * Joins neighbours of one kind. A run never leaves its leaf, and a run that is read ends at a multiple
 * of `maxRunBlocks`: wherever ranges begin, the same blocks are read, and stored, together.
 */
class RunJoiner {
  readonly #maxRunBlocks: number;
  #run: { kind: BlockRun["kind"]; firstBlock: number; blockCount: number } | undefined;

  constructor(maxRunBlocks: number) {
    this.#maxRunBlocks = maxRunBlocks;
  }

  *add(block: number, kind: BlockRun["kind"]): Generator<BlockRun> {
    const run = this.#run;
    const isContinued =
      run !== undefined &&
      run.kind === kind &&
      run.firstBlock + run.blockCount === block &&
      block % LEAF_BLOCKS !== 0 &&
      (kind === "zero" || block % this.#maxRunBlocks !== 0);
    if (isContinued) {
      run.blockCount++;
      return;
    }
    yield* this.end();
    this.#run = { kind, firstBlock: block, blockCount: 1 };
  }

  *end(): Generator<BlockRun> {
    if (this.#run !== undefined) yield this.#run;
    this.#run = undefined;
  }
}
