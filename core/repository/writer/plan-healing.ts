/**
 * *Healing*: blocks of the parent that lie in quarantine are read from the disk and stored again,
 * whatever the change list says, so that the new point is whole.
 */
import { mapBounded } from "../../lib/bounded-pool.ts";
import type { BlockMap } from "../block-map.ts";
import { LEAF_BLOCKS } from "../format/layout.ts";
import type { BlockEntry } from "../format/leaf.ts";
import { readQuarantine } from "../quarantine.ts";
import type { Repository } from "../repository.ts";
import { unlessUnreadable } from "./disk-state.ts";

export interface Healing {
  /** Ascending. The parent finds each of them in quarantine. */
  readonly blocks: readonly number[];
  /** Leaves of the parent that are lost: only a full read makes up for them. */
  readonly lostLeaves: ReadonlySet<number>;
  isQuarantined(entry: BlockEntry): boolean;
}

const NOTHING_TO_HEAL: Healing = {
  blocks: [],
  lostLeaves: new Set(),
  isQuarantined: () => false,
};

const LEAVES_UNDER_WAY = 8;

/** Blocks of the parent that cannot be read, and that the new point does not refer to. */
export function healedBlockCount({ blocks, lostLeaves }: Healing): number {
  return blocks.length + lostLeaves.size * LEAF_BLOCKS;
}

/** One list request as long as nothing is in quarantine; otherwise all leaves of the parent. */
export async function findHealing(
  repository: Repository,
  parent: BlockMap | undefined,
  signal: AbortSignal,
): Promise<Healing> {
  if (parent === undefined) return NOTHING_TO_HEAL;
  const { root } = parent;
  const quarantine = await readQuarantine(repository, parent.point.manifest.diskId, signal);
  const indexIds = [...root.indexes.keys(), parent.point.manifest.root?.indexId ?? ""];
  const isHarmed =
    quarantine.hasAnyOf("pack", root.packs.keys()) || quarantine.hasAnyOf("index", indexIds);
  if (!isHarmed) return NOTHING_TO_HEAL;
  const blocks: number[] = [];
  const lostLeaves = new Set<number>();
  await mapBounded(root.leaves.stored(), LEAVES_UNDER_WAY, async (leafNumber) => {
    const reference = root.leaves.get(leafNumber);
    if (reference === undefined) return;
    const { indexId, frameNumber } = reference;
    const isLost = quarantine.holds("index", indexId, frameNumber);
    const leaf = isLost ? undefined : await unlessUnreadable(parent.readLeaf(leafNumber, signal));
    if (leaf === undefined) lostLeaves.add(leafNumber);
    leaf?.forEach((entry, position) => {
      const isBad =
        entry !== undefined && quarantine.holds("pack", entry.packId, entry.frameNumber);
      if (isBad) blocks.push(leafNumber * LEAF_BLOCKS + position);
    });
  });
  return {
    blocks: blocks.sort((left, right) => left - right),
    lostLeaves,
    isQuarantined: ({ packId, frameNumber }) => quarantine.holds("pack", packId, frameNumber),
  };
}
