import type { DiskService } from "#local/disks/disk-service.ts";
import { objectAt, stringAt } from "../json.ts";
import type { ResourceStore } from "../provider.ts";
import { idKey } from "../resource-id.ts";

/**
 * The most live grants that there were at the same time, of disks and snapshots of one disk access and
 * of snapshots of one family, since the start. Tests hold them against Azure's limits of five each.
 */
export class ExportPeaks {
  readonly #byDiskAccess = new Map<string, number>();
  readonly #byFamily = new Map<string, number>();

  /** By lower-case id. */
  get byDiskAccess(): ReadonlyMap<string, number> {
    return this.#byDiskAccess;
  }

  get byFamily(): ReadonlyMap<string, number> {
    return this.#byFamily;
  }

  /** After each grant. */
  look(disks: DiskService, resources: ResourceStore): void {
    const byDiskAccess = new Map<string, number>();
    const byFamily = new Map<string, number>();
    for (const { kind, id } of disks.listGrants()) {
      const properties = objectAt(resources.get(id)?.body ?? {}, "properties");
      const diskAccessId = stringAt(properties, "diskAccessId");
      if (diskAccessId !== undefined) addOne(byDiskAccess, idKey(diskAccessId));
      const family = kind === "snapshot" ? disks.describeSnapshot(id)?.familyId : undefined;
      if (family !== undefined) addOne(byFamily, family);
    }
    keepLargest(this.#byDiskAccess, byDiskAccess);
    keepLargest(this.#byFamily, byFamily);
  }
}

function addOne(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function keepLargest(peaks: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [key, count] of counts) peaks.set(key, Math.max(count, peaks.get(key) ?? 0));
}
