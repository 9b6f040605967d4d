/**
 * The block map of a disk from the maps of its parts. Memory: two tables of leaves (18 bytes per
 * leaf) and the table of packs, like the map of any point.
 */
import { BlockMap, leafCountOf } from "../block-map.ts";
import type { DiskPart } from "../disk-parts.ts";
import { LeafTable } from "../format/leaf-table.ts";
import type { DiskPointStats } from "../format/manifests.ts";
import type { IndexUse, PackUse, Root } from "../format/root.ts";
import type { Repository } from "../repository.ts";
import { partsUnusable } from "./parts-unusable.ts";

/**
 * Joins tables that do not overlap: leaves lie side by side, live bytes of a pack that several parts
 * use are added. Throws `DiskPartsUnusable` when the parts do not cover the disk exactly once or a
 * part names leaves outside of its range, and `RepositoryDamaged` when a root cannot be read.
 * @param parts by their first leaf, ascending
 */
export async function mergeDiskParts(
  repository: Repository,
  parts: readonly DiskPart[],
  signal: AbortSignal,
): Promise<Root> {
  const leafCount = requireCover(parts);
  const leaves = LeafTable.zero(leafCount);
  const packs = new Map<string, PackUse>();
  const indexes = new Map<string, IndexUse>();
  for (const part of parts) {
    const { root } = await BlockMap.open(repository, part, signal);
    const { firstLeaf, endLeaf } = part.manifest;
    for (const leafNumber of root.leaves.stored()) {
      if (leafNumber < firstLeaf || leafNumber >= endLeaf) {
        throw partsUnusable(part.manifest, `leaf ${leafNumber} lies outside of its part`);
      }
      leaves.set(leafNumber, root.leaves.get(leafNumber));
    }
    for (const [packId, use] of root.packs) packs.set(packId, joinUse(packs.get(packId), use));
    for (const [indexId, use] of root.indexes) {
      indexes.set(indexId, joinUse(indexes.get(indexId), use));
    }
  }
  return { leaves, packs, indexes };
}

/** Each part vouches for the days that it knows: the latest one holds. */
function joinUse<Use extends PackUse | IndexUse>(known: Use | undefined, use: Use): Use {
  if (known === undefined) return use;
  const immutableUntilDay = Math.max(known.immutableUntilDay, use.immutableUntilDay);
  if (!("liveBytes" in known) || !("liveBytes" in use)) return { ...use, immutableUntilDay };
  return { ...use, immutableUntilDay, liveBytes: known.liveBytes + use.liveBytes };
}

function requireCover(parts: readonly DiskPart[]): number {
  const [first] = parts;
  let nextLeaf = 0;
  for (const { manifest } of parts) {
    if (manifest.firstLeaf !== nextLeaf || manifest.endLeaf <= nextLeaf) {
      throw partsUnusable(manifest, `leaf ${nextLeaf} is in no part, or in two`);
    }
    nextLeaf = manifest.endLeaf;
  }
  if (first === undefined || nextLeaf !== leafCountOf(first.manifest)) {
    throw partsUnusable(first?.manifest, `the parts end with leaf ${nextLeaf}`);
  }
  return nextLeaf;
}

export function addStats(parts: readonly DiskPart[]): DiskPointStats {
  const sumOf = (field: keyof DiskPointStats): number =>
    parts.reduce((sum, { manifest }) => sum + manifest.stats[field], 0);
  return {
    readBytes: sumOf("readBytes"),
    storedBytes: sumOf("storedBytes"),
    zeroBytes: sumOf("zeroBytes"),
    unchangedBytes: sumOf("unchangedBytes"),
    changedBytes: sumOf("changedBytes"),
    blockCount: sumOf("blockCount"),
  };
}
