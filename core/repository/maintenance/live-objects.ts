import { codeOf, messageOf } from "../../lib/errors.ts";
import { BlockMap } from "../block-map.ts";
import { listDiskPointSequences, readDiskPoint } from "../disk-points.ts";
import { objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";

export type LiveObjects =
  | { readonly kind: "known"; readonly names: ReadonlySet<string> }
  /** Some manifest or root cannot be read: what it needs is not known, so nothing is garbage. */
  | { readonly kind: "unknown"; readonly reason: string };

/**
 * Every object that some point of the disk needs: the tables of all roots, without reading leaves.
 * Call it before the objects are listed: what a point that appears later needs is either named
 * here, or young.
 */
export async function readLiveObjects(
  repository: Repository,
  diskId: string,
  signal: AbortSignal,
): Promise<LiveObjects> {
  const names = new Set<string>();
  for (const sequence of await listDiskPointSequences(repository, diskId, signal)) {
    try {
      const point = await readDiskPoint(repository, diskId, sequence, signal);
      const { root } = await BlockMap.open(repository, point, signal);
      const reference = point.manifest.root;
      if (reference !== null) names.add(objectNames.index(diskId, reference.indexId));
      for (const packId of root.packs.keys()) names.add(objectNames.pack(diskId, packId));
      for (const indexId of root.indexes.keys()) names.add(objectNames.index(diskId, indexId));
    } catch (error) {
      const code = codeOf(error);
      // Expired since it was listed.
      if (code === "DiskPointNotFound") continue;
      if (!isUnreadable(code)) throw error;
      const name = objectNames.diskPoint(diskId, sequence);
      return { kind: "unknown", reason: `${name} cannot be read: ${messageOf(error)}` };
    }
  }
  return { kind: "known", names };
}

/** Trouble with the object itself. Any other error (network, rights) ends the run. */
export function isUnreadable(code: string): boolean {
  return code === "RepositoryDamaged" || code === "BlobArchived" || code === "BlobTooShort";
}
