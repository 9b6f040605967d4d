/** Finds the blocks that a carry-forward moves: footers of the packs say where to look. */
import { mapBounded } from "../../lib/bounded-pool.ts";
import type { BlockMap } from "../block-map.ts";
import { FRAME_PURPOSES } from "../format/frame.ts";
import { LEAF_BLOCKS, objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";
import type { DataKey } from "./pack-writer.ts";
import { readPackFooter } from "./pack-footer.ts";
import {
  chooseCandidates,
  planCarryForward,
  type CarryForwardLimits,
} from "./plan-carry-forward.ts";

export interface CarriedBlocks {
  readonly packIds: ReadonlySet<string>;
  /** Ascending. The parent finds each of them in one of the packs. */
  readonly blocks: readonly number[];
}

export const NOTHING_CARRIED: CarriedBlocks = { packIds: new Set(), blocks: [] };

const PARALLEL_READS = 8;

export async function findCarriedBlocks(
  repository: Repository,
  parent: BlockMap,
  writing: {
    readonly dataKey: DataKey;
    readonly keyNumber: number;
    readonly now: Date;
    readonly limits: CarryForwardLimits;
  },
  signal: AbortSignal,
): Promise<CarriedBlocks> {
  const { store } = repository;
  const { diskId } = parent.point.manifest;
  const { keyNumber, now, limits } = writing;
  const candidates = chooseCandidates(parent.root, keyNumber, limits);
  const storedAt = new Map<string, Date>();
  await mapBounded(candidates, PARALLEL_READS, async ({ packId }) => {
    const properties = await store.readProperties(objectNames.pack(diskId, packId), signal);
    if (properties !== undefined) storedAt.set(packId, properties.modifiedAt);
  });
  const plan = planCarryForward(parent.root, { keyNumber, storedAt, now }, limits);
  const packIds = new Set<string>();
  const numbers = new Set<number>();
  await mapBounded(plan.packs, PARALLEL_READS, async ({ packId, objectBytes }) => {
    const blob = { name: objectNames.pack(diskId, packId), sizeBytes: objectBytes };
    const footer = await readPackFooter(store, blob, writing.dataKey, signal);
    // A pack whose footer is damaged stays as it is: a health check will name it.
    if (footer === undefined) return;
    packIds.add(packId);
    for (const { number, purpose } of footer.lines) {
      if (purpose === FRAME_PURPOSES.block) numbers.add(number);
    }
  });
  const blocks = await stillThere(parent, packIds, numbers, signal);
  return { packIds, blocks };
}

/** Blocks whose entry in the parent really lies in one of the packs; the others were replaced. */
async function stillThere(
  parent: BlockMap,
  packIds: ReadonlySet<string>,
  numbers: ReadonlySet<number>,
  signal: AbortSignal,
): Promise<number[]> {
  const leafNumbers = new Set([...numbers].map((number) => Math.floor(number / LEAF_BLOCKS)));
  const blocks: number[] = [];
  await mapBounded(leafNumbers, PARALLEL_READS, async (leafNumber) => {
    const leaf = (await parent.readLeaf(leafNumber, signal)) ?? [];
    leaf.forEach((entry, position) => {
      if (entry !== undefined && packIds.has(entry.packId)) {
        blocks.push(leafNumber * LEAF_BLOCKS + position);
      }
    });
  });
  return blocks.sort((left, right) => left - right);
}
