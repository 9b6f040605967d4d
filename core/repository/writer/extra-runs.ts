/** Blocks that are looked at although the change list does not name them. */
import { LEAF_BLOCKS } from "../format/layout.ts";
import type { BlockRun } from "./plan-runs.ts";
import type { PipelineRun } from "./run-pipeline.ts";

export interface ExtraBlocks {
  /** Ascending: read again and compared with the parent. */
  readonly samples: readonly number[];
  /** Ascending: read again and stored again. A block in both lists is carried. */
  readonly carried: readonly number[];
  /** Ascending: read as if the change list named them, because what is stored is damaged. */
  readonly healed: readonly number[];
}

/**
 * Merges extra blocks into planned runs, in ascending order. Blocks that a run covers are left to
 * it. Neighbours that are stored again are joined into runs between multiples of `maxRunBlocks`.
 */
export async function* withExtraRuns(
  runs: AsyncIterable<BlockRun>,
  extra: ExtraBlocks,
  maxRunBlocks: number,
): AsyncGenerator<PipelineRun> {
  const carried = new Set(extra.carried);
  const healed = new Set(extra.healed);
  const blocks = [...new Set([...extra.samples, ...extra.carried, ...extra.healed])].sort(
    (left, right) => left - right,
  );
  const kindOf = (block: number): PipelineRun["kind"] =>
    healed.has(block) ? "read" : carried.has(block) ? "carry" : "check";
  let next = 0;
  /** Length of the run of blocks of one kind that begins with the next one. */
  const neighbourCount = (firstBlock: number): number => {
    let count = 1;
    for (; ; count++) {
      const block = firstBlock + count;
      const isSplit = block % maxRunBlocks === 0 || block % LEAF_BLOCKS === 0;
      const isNeighbour = blocks[next + count] === block && !isSplit;
      if (!isNeighbour || kindOf(block) !== kindOf(firstBlock)) break;
    }
    return count;
  };
  function* before(endBlock: number): Generator<PipelineRun> {
    for (let block = blocks[next]; block !== undefined && block < endBlock; block = blocks[next]) {
      const kind = kindOf(block);
      // A planned run begins at `endBlock`: what belongs to it is not ours.
      const blockCount = kind === "check" ? 1 : Math.min(neighbourCount(block), endBlock - block);
      next += blockCount;
      yield { kind, firstBlock: block, blockCount };
    }
  }
  for await (const run of runs) {
    yield* before(run.firstBlock);
    const endBlock = run.firstBlock + run.blockCount;
    while ((blocks[next] ?? endBlock) < endBlock) next++;
    yield run;
  }
  yield* before(Number.POSITIVE_INFINITY);
}
