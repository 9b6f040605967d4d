/**
 * Garbage collection: deletes packs, indexes and attempts that no restore point needs.
 *
 * It works disk by disk under the disk's lock, so that no backup of the disk runs meanwhile. An
 * object goes only after two runs found it unreferenced, `markedSeconds` apart. A disk of which a
 * single manifest cannot be read keeps everything.
 */
import { mapBounded } from "../../lib/bounded-pool.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";
import { readGarbageLists, writeGarbageLists } from "./garbage-lists.ts";
import { readLiveObjects } from "./live-objects.ts";
import { DEFAULT_MARGINS, type MaintenanceMargins } from "./margins.ts";
import { findStaleQuarantine } from "./stale-quarantine.ts";
import { planGarbage, type GarbageObject } from "./plan-garbage.ts";

export interface CollectGarbageOptions {
  readonly now: () => Date;
  readonly random: (byteCount: number) => Uint8Array;
  /** Default: 7 days for a session, 24 hours between marking and deleting. */
  readonly margins?: MaintenanceMargins;
}

export interface SkippedDisk {
  readonly diskId: string;
  readonly reason: string;
}

export interface CollectedGarbage {
  readonly deletedObjects: number;
  readonly deletedBytes: number;
  readonly markedObjects: number;
  readonly markedBytes: number;
  /** Unreferenced, but protected by the store for some time. */
  readonly immutableObjects: number;
  /** Disks whose garbage was left alone, with why. */
  readonly skippedDisks: readonly SkippedDisk[];
}

/** A root of 32 TiB takes some 50 MiB while it is read: few disks at a time. */
const PARALLEL_DISKS = 2;
const PARALLEL_DELETIONS = 8;

/** Throws `RepositoryFeatureUnknown` and the store's errors; whatever it has done is whole. */
export async function collectGarbage(
  repository: Repository,
  options: CollectGarbageOptions,
  signal: AbortSignal,
): Promise<CollectedGarbage> {
  requireFeatures(repository.descriptor, "delete");
  const diskIds = await listDiskIds(repository, signal);
  const outcomes = await mapBounded(diskIds, PARALLEL_DISKS, (diskId) =>
    collectUnderLock({ repository, options, diskId }, signal),
  );
  const sum = (count: (outcome: DiskOutcome) => number): number =>
    outcomes.reduce((total, outcome) => total + count(outcome), 0);
  return {
    deletedObjects: sum((outcome) => outcome.deletedObjects),
    deletedBytes: sum((outcome) => outcome.deletedBytes),
    markedObjects: sum((outcome) => outcome.markedObjects),
    markedBytes: sum((outcome) => outcome.markedBytes),
    immutableObjects: sum((outcome) => outcome.immutableObjects),
    skippedDisks: outcomes.flatMap(({ skipped }) => skipped),
  };
}

const COLLECTABLE = [
  /^disks\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})\/(?:packs|indexes|attempts|garbage)\//,
  /^quarantine\/([A-Za-z0-9][A-Za-z0-9._-]{0,127})\//,
];

/** Disks that hold anything which may become garbage. */
async function listDiskIds(repository: Repository, signal: AbortSignal): Promise<Set<string>> {
  const diskIds = new Set<string>();
  for (const prefix of ["disks/", "quarantine/"]) {
    for await (const { name } of repository.store.list(prefix, signal)) {
      for (const pattern of COLLECTABLE) {
        const diskId = pattern.exec(name)?.[1];
        if (diskId !== undefined) diskIds.add(diskId);
      }
    }
  }
  return diskIds;
}

interface DiskTask {
  readonly repository: Repository;
  readonly options: CollectGarbageOptions;
  readonly diskId: string;
}

interface DiskOutcome {
  deletedObjects: number;
  deletedBytes: number;
  markedObjects: number;
  markedBytes: number;
  immutableObjects: number;
  readonly skipped: SkippedDisk[];
}

async function collectUnderLock(task: DiskTask, signal: AbortSignal): Promise<DiskOutcome> {
  const { repository, diskId } = task;
  const outcome: DiskOutcome = {
    deletedObjects: 0,
    deletedBytes: 0,
    markedObjects: 0,
    markedBytes: 0,
    immutableObjects: 0,
    skipped: [],
  };
  const lock = await repository.store.lock(objectNames.diskLock(diskId), signal);
  if (lock === undefined) {
    outcome.skipped.push({ diskId, reason: "a backup or another collection holds its lock" });
    return outcome;
  }
  try {
    await collectDisk(task, outcome, AbortSignal.any([signal, lock.lost]));
  } catch (error) {
    if (!lock.lost.aborted || signal.aborted) throw error;
    // What was deleted had been marked, and no manifest that was there needed it.
    outcome.skipped.push({ diskId, reason: "its lock was lost on the way" });
  } finally {
    await lock.release();
  }
  return outcome;
}

async function collectDisk(
  task: DiskTask,
  outcome: DiskOutcome,
  signal: AbortSignal,
): Promise<void> {
  const { repository, options, diskId } = task;
  const { lists, unreadable, newestNumber } = await readGarbageLists(repository, diskId, signal);
  // After the lists: what a run marked must be proved to be garbage once more.
  const live = await readLiveObjects(repository, diskId, signal);
  if (live.kind === "unknown") {
    outcome.skipped.push({ diskId, reason: live.reason });
    return;
  }
  const unreferenced = await listUnreferenced(repository, diskId, live.names, signal);
  const now = options.now();
  const margins = options.margins ?? DEFAULT_MARGINS;
  const plan = planGarbage({ unreferenced, lists, unreadableLists: unreadable, now, margins });
  const staleRecords = await findStaleQuarantine(repository, diskId, live.names, signal);
  await deleteObjects(repository, [...plan.delete, ...staleRecords], outcome, signal);
  // The lists go last: until then their objects count as marked for every writer.
  await mapBounded(plan.finishedLists, PARALLEL_DELETIONS, async (name) => {
    signal.throwIfAborted();
    await repository.store.delete(name, signal);
  });
  outcome.immutableObjects += plan.wait.filter(({ reason }) => reason === "immutable").length;
  const objects = plan.mark.map(({ name }) => name);
  const firstNumber = newestNumber + 1;
  const { random } = options;
  const garbage = { diskId, markedAt: now, objects, firstNumber, random };
  await writeGarbageLists(repository, garbage, signal);
  outcome.markedObjects += objects.length;
  outcome.markedBytes += plan.mark.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}

async function listUnreferenced(
  { store }: Repository,
  diskId: string,
  liveNames: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<GarbageObject[]> {
  const unreferenced: GarbageObject[] = [];
  const { packs, indexes, attempts } = objectNames;
  for (const folder of [packs(diskId), indexes(diskId), attempts(diskId)]) {
    for await (const blob of store.list(folder, signal)) {
      if (!liveNames.has(blob.name)) unreferenced.push(blob);
    }
  }
  return unreferenced;
}

async function deleteObjects(
  { store }: Repository,
  objects: readonly { readonly name: string; readonly sizeBytes: number }[],
  outcome: DiskOutcome,
  signal: AbortSignal,
): Promise<void> {
  await mapBounded(objects, PARALLEL_DELETIONS, async ({ name, sizeBytes }) => {
    signal.throwIfAborted();
    const answer = await store.delete(name, signal);
    if (answer === "immutable") outcome.immutableObjects++;
    if (answer !== "deleted") return;
    outcome.deletedObjects++;
    outcome.deletedBytes += sizeBytes;
  });
}
