import { codeOf } from "../../lib/errors.ts";
import { BlockMap } from "../block-map.ts";
import { readReferencedDiskPoint } from "../disk-points.ts";
import type { VmPoint } from "../format/manifests.ts";
import type { Repository } from "../repository.ts";
import { isUnreadable } from "./live-objects.ts";

/** True when manifest and root of every disk can be read. Packs are a health check's matter. */
export async function isPointComplete(
  repository: Repository,
  point: Pick<VmPoint, "disks">,
  signal: AbortSignal,
): Promise<boolean> {
  for (const { diskPoint } of point.disks) {
    try {
      await BlockMap.open(
        repository,
        await readReferencedDiskPoint(repository, diskPoint, signal),
        signal,
      );
    } catch (error) {
      const code = codeOf(error);
      if (code === "DiskPointNotFound" || isUnreadable(code)) return false;
      throw error;
    }
  }
  return true;
}
