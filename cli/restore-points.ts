/**
 * What can be restored. A *restorable* is a restore point of a VM or an archive of one; both name
 * the VM's configuration and its disks.
 */
import type { z } from "zod";
import { mapBounded } from "#core/lib/bounded-pool.ts";
import { HoldfastError, codeOf, messageOf } from "#core/lib/errors.ts";
import {
  DiskPointReader,
  listArchives,
  listVmPoints,
  objectNames,
  openArchivedDisk,
  readArchive,
  readDiskPoint,
  readVmPoint,
  type BlockCodec,
  type Repository,
} from "#core/repository/index.ts";

export interface RestorableDisk {
  /** `os` or the number of a data disk. */
  readonly slot: "os" | number;
  readonly diskId: string;
  readonly sizeBytes: number;
}

export interface Restorable {
  readonly kind: "point" | "archive";
  readonly vmId: string;
  readonly id: string;
  /** The restore point, also of an archive. */
  readonly pointId: string;
  readonly takenAt: string;
  /** When everything of it was there. */
  readonly completeAt: string;
  readonly vm: z.core.util.JSONType;
  readonly disks: readonly RestorableDisk[];
}

export type RestorableName = Pick<Restorable, "kind" | "vmId" | "id">;

export type FoundRestorable =
  | { readonly kind: "readable"; readonly restorable: Restorable }
  | { readonly kind: "unreadable"; readonly name: string; readonly message: string };

const PARALLEL_READS = 8;
/** Manifests that are in memory at the same time. */
const BATCH_MANIFESTS = 64;
/** What another try does not cure: said of the point, the others are shown. */
const UNREADABLE_CODES: ReadonlySet<string> = new Set([
  "RepositoryDamaged",
  "VmPointNotFound",
  "ArchiveNotFound",
  "InvalidRepositoryName",
]);

/** Every restore point and every archive, of one VM or of all, in the order of their names. */
export async function* findRestorables(
  repository: Repository,
  vmId: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<FoundRestorable> {
  let batch: RestorableName[] = [];
  const readBatch = async (): Promise<FoundRestorable[]> =>
    mapBounded(batch, PARALLEL_READS, async (name) => findRestorable(repository, name, signal));
  for await (const name of listRestorables(repository, vmId, signal)) {
    batch.push(name);
    if (batch.length < BATCH_MANIFESTS) continue;
    yield* await readBatch();
    batch = [];
  }
  yield* await readBatch();
}

async function* listRestorables(
  repository: Repository,
  vmId: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<RestorableName> {
  for await (const point of listVmPoints(repository, vmId, signal)) {
    yield { kind: "point", vmId: point.vmId, id: point.pointId };
  }
  for await (const archive of listArchives(repository, vmId, signal)) {
    yield { kind: "archive", vmId: archive.vmId, id: archive.archiveId };
  }
}

async function findRestorable(
  repository: Repository,
  name: RestorableName,
  signal: AbortSignal,
): Promise<FoundRestorable> {
  try {
    return { kind: "readable", restorable: await readRestorable(repository, name, signal) };
  } catch (error) {
    if (!UNREADABLE_CODES.has(codeOf(error))) throw error;
    const { kind, vmId, id } = name;
    const object = kind === "point" ? objectNames.vmPoint(vmId, id) : objectNames.archive(vmId, id);
    return { kind: "unreadable", name: object, message: messageOf(error) };
  }
}

/** Throws `VmPointNotFound`, `ArchiveNotFound` or `RepositoryDamaged`. */
export async function readRestorable(
  repository: Repository,
  { kind, vmId, id }: RestorableName,
  signal: AbortSignal,
): Promise<Restorable> {
  if (kind === "archive") {
    const archive = await readArchive(repository, { vmId, archiveId: id }, signal);
    const { pointId, takenAt, archivedAt, vm } = archive;
    const disks = archive.disks.map(({ lun, image }) => {
      const { diskId, sizeBytes } = image;
      return { slot: lun, diskId, sizeBytes };
    });
    return { kind, vmId, id, pointId, takenAt, completeAt: archivedAt, vm, disks };
  }
  const { takenAt, committedAt, vm, ...point } = await readVmPoint(repository, vmId, id, signal);
  const disks = point.disks.map(({ lun, sizeBytes, diskPoint }) => {
    return { slot: lun, diskId: diskPoint.diskId, sizeBytes };
  });
  return { kind, vmId, id, pointId: id, takenAt, completeAt: committedAt, vm, disks };
}

/** How a disk is stored. */
export interface StoredDisk extends RestorableDisk {
  readonly backup: "full" | "incremental";
  /** What this backup, or this archive, added. */
  readonly storedBytes: number;
}

export async function readStoredDisks(
  repository: Repository,
  { kind, vmId, id }: RestorableName,
  signal: AbortSignal,
): Promise<StoredDisk[]> {
  if (kind === "archive") {
    const { disks } = await readArchive(repository, { vmId, archiveId: id }, signal);
    return disks.map(({ lun, storedBytes, image }) => {
      const { diskId, sizeBytes } = image;
      return { slot: lun, diskId, sizeBytes, backup: image.kind, storedBytes };
    });
  }
  const stored: StoredDisk[] = [];
  for (const { lun, diskPoint } of (await readVmPoint(repository, vmId, id, signal)).disks) {
    const { diskId, sequence } = diskPoint;
    const { manifest } = await readDiskPoint(repository, diskId, sequence, signal);
    const { sizeBytes, stats } = manifest;
    const { storedBytes } = stats;
    stored.push({ slot: lun, diskId, sizeBytes, backup: manifest.kind, storedBytes });
  }
  return stored;
}

export interface DiskName extends RestorableName {
  /** Id of a disk, or its place in the VM: `os` or the number of a data disk. */
  readonly disk: string;
  /** Of an archive whose content is in the archive tier. */
  readonly retrievalId: string | undefined;
}

/** Opens the content of one disk. Errors as of `readRestorable`, and `DiskNotInPoint`. */
export async function openDisk(
  repository: Repository,
  { disk, retrievalId, ...name }: DiskName,
  codec: BlockCodec | undefined,
  signal: AbortSignal,
): Promise<DiskPointReader> {
  const options = codec === undefined ? {} : { codec };
  const restorable = await readRestorable(repository, name, signal);
  const { vmId, id } = name;
  const { diskId } = findDisk(restorable, disk);
  if (name.kind === "archive") {
    const reference = { vmId, archiveId: id, diskId };
    const retrieved = retrievalId === undefined ? {} : { retrievalId };
    return openArchivedDisk(repository, { ...reference, ...retrieved }, signal, options);
  }
  const point = await readVmPoint(repository, vmId, id, signal);
  const stored = point.disks.find(({ diskPoint }) => diskPoint.diskId === diskId);
  if (stored === undefined) throw missingDisk(restorable, disk);
  return DiskPointReader.open(repository, stored.diskPoint, signal, options);
}

function findDisk(restorable: Restorable, disk: string): RestorableDisk {
  const { disks } = restorable;
  const found =
    disks.find(({ diskId }) => diskId === disk) ?? disks.find(({ slot }) => String(slot) === disk);
  if (found !== undefined) return found;
  throw missingDisk(restorable, disk);
}

function missingDisk({ kind, vmId, id, disks }: Restorable, disk: string): HoldfastError {
  const known = disks.map(({ slot, diskId }) => `${diskId} (${slot})`).join(", ");
  return new HoldfastError(
    "DiskNotInPoint",
    `The ${kind} ${id} of VM ${vmId} holds no disk "${disk}". It holds: ${known}.`,
  );
}
