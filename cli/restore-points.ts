/** Finding what a repository holds: VMs, their restore points, and the disks of one point. */
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { HoldfastError, codeOf, messageOf } from "#core/lib/errors.ts";
import {
  listVmPoints,
  objectNames,
  readVmPoint,
  type Repository,
  type VmPoint,
} from "#core/repository/index.ts";

export type FoundVmPoint =
  | { readonly kind: "readable"; readonly point: VmPoint }
  | { readonly kind: "unreadable"; readonly name: string; readonly message: string };

const PARALLEL_READS = 8;
/** Points whose manifests are in memory at the same time. */
const BATCH_POINTS = 64;
/** What another try does not cure: said of the point, the others are shown. */
const UNREADABLE_CODES: ReadonlySet<string> = new Set([
  "RepositoryDamaged",
  "VmPointNotFound",
  "InvalidRepositoryName",
]);

/** Every restore point, of one VM or of all, in the order of their names. */
export async function* findVmPoints(
  repository: Repository,
  vmId: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<FoundVmPoint> {
  let batch: { readonly vmId: string; readonly pointId: string }[] = [];
  const readBatch = async (): Promise<FoundVmPoint[]> =>
    mapBounded(batch, PARALLEL_READS, async (listed) => findVmPoint(repository, listed, signal));
  for await (const listed of listVmPoints(repository, vmId, signal)) {
    batch.push(listed);
    if (batch.length < BATCH_POINTS) continue;
    yield* await readBatch();
    batch = [];
  }
  yield* await readBatch();
}

async function findVmPoint(
  repository: Repository,
  { vmId, pointId }: { readonly vmId: string; readonly pointId: string },
  signal: AbortSignal,
): Promise<FoundVmPoint> {
  try {
    return { kind: "readable", point: await readVmPoint(repository, vmId, pointId, signal) };
  } catch (error) {
    if (!UNREADABLE_CODES.has(codeOf(error))) throw error;
    const name = objectNames.vmPoint(vmId, pointId);
    return { kind: "unreadable", name, message: messageOf(error) };
  }
}

export type DiskOfPoint = VmPoint["disks"][number];

/** @param disk id of a disk, or its place in the VM: `os` or the number of a data disk */
export function findDisk(point: VmPoint, disk: string): DiskOfPoint {
  const found =
    point.disks.find(({ diskPoint }) => diskPoint.diskId === disk) ??
    point.disks.find(({ lun }) => String(lun) === disk);
  if (found !== undefined) return found;
  const known = point.disks.map(({ lun, diskPoint }) => `${diskPoint.diskId} (${lun})`);
  throw new HoldfastError(
    "DiskNotInPoint",
    `Restore point ${point.pointId} of VM ${point.vmId} holds no disk "${disk}". It holds: ${known.join(", ")}.`,
  );
}

/** Name of the VM or of a disk as the configuration has it; empty when it does not say. */
export function nameIn(configuration: unknown): string {
  const hasName =
    typeof configuration === "object" && configuration !== null && "name" in configuration;
  return hasName && typeof configuration.name === "string" ? configuration.name : "";
}

/** Configuration of a disk in the VM's, by id. */
export function diskConfigurationIn(vm: unknown, diskId: string): unknown {
  if (typeof vm !== "object" || vm === null) return undefined;
  const disks: unknown[] = [];
  if ("osDisk" in vm) disks.push(vm.osDisk);
  if ("dataDisks" in vm && Array.isArray(vm.dataDisks)) disks.push(...vm.dataDisks);
  return disks.find(
    (disk) =>
      typeof disk === "object" && disk !== null && "diskId" in disk && disk.diskId === diskId,
  );
}
