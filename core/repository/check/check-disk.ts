/**
 * The check of one disk: its points in ascending order, each against the objects that the store
 * lists. What several points share is looked at once; a defect in it affects all of them.
 */
import { mapBounded } from "../../lib/bounded-pool.ts";
import { BlockMap } from "../block-map.ts";
import { listDiskPointSequences, readDiskPoint, type DiskPoint } from "../disk-points.ts";
import { objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";
import {
  orDefect,
  type CheckProgress,
  type ContentLevel,
  type DiskCheck,
} from "./check-context.ts";
import { checkContainer } from "./check-container.ts";
import { checkLeaves } from "./check-leaves.ts";
import { isDamage } from "./damage.ts";
import { DiskObjects, containerName, type ContainerKind } from "./disk-objects.ts";
import { DiskDefects, reasonsOf, type DiskDefect } from "./findings.ts";
import { checkAttempt } from "./check-attempt.ts";
import { DamageRecorder } from "./damage-recorder.ts";

/** Containers whose ends are read at the same time: a few hundred bytes to some KiB each. */
const CONTAINERS_UNDER_WAY = 8;

export interface CheckedDisk {
  /** Committed points, readable or not. */
  readonly points: ReadonlyMap<number, string | undefined>;
  readonly defects: DiskDefects;
  readonly damage: DamageRecorder;
}

/** @returns by sequence number, the manifest id of each point (undefined: cannot be read) */
export async function checkDisk(
  repository: Repository,
  diskId: string,
  level: ContentLevel,
  progress: CheckProgress,
  signal: AbortSignal,
): Promise<CheckedDisk> {
  // Points before objects: a point that is committed meanwhile must not look as if it lacked some.
  const sequences = await listDiskPointSequences(repository, diskId, signal);
  const objects = await DiskObjects.list(repository, diskId, signal);
  const defects = new DiskDefects();
  const damage = new DamageRecorder();
  const check = { repository, diskId, objects, defects, damage, level, progress, signal };
  const points = new Map<number, string | undefined>();
  for (const sequence of sequences) {
    signal.throwIfAborted();
    progress.checkedObjects++;
    points.set(sequence, await checkPoint(check, sequence));
    progress.tell();
  }
  if (level.kind !== "presence") {
    for (const name of objects.attemptNames) await checkAttempt(check, name);
  }
  return { points, defects, damage };
}

async function checkPoint(check: DiskCheck, sequence: number): Promise<string | undefined> {
  const { repository, diskId, signal } = check;
  const name = objectNames.diskPoint(diskId, sequence);
  const point = await orDefect(
    check,
    sequence,
    { kind: "unreadable-metadata", object: name },
    readDiskPoint(repository, diskId, sequence, signal),
  );
  if (point === undefined) return undefined;
  const map = await openMap(check, point);
  if (map === undefined) return point.reference.manifestId;
  await checkObjects(check, map);
  if (check.level.kind !== "presence") await checkLeaves(check, map);
  return point.reference.manifestId;
}

async function openMap(check: DiskCheck, point: DiskPoint): Promise<BlockMap | undefined> {
  const { root } = point.manifest;
  const { sequence } = point.reference;
  if (root === null) return BlockMap.open(check.repository, point, check.signal);
  const name = objectNames.index(check.diskId, root.indexId);
  try {
    return await BlockMap.open(check.repository, point, check.signal);
  } catch (error) {
    if (!isDamage(error)) throw error;
    const isThere = await isStillThere(check, name);
    const kind = isThere ? "unreadable-metadata" : "missing";
    const message = isThere
      ? `The map of the restore point cannot be read: ${reasonsOf(error)}`
      : "The index with the map of the restore point is not in the repository.";
    check.defects.add({ kind, object: name, message, harmsRestores: true }, sequence);
    // Nothing to keep away from: without its root the point is no parent for the next backup.
    return undefined;
  }
}

/** Presence and size of everything that the root names; from level `metadata` also the ends. */
async function checkObjects(check: DiskCheck, map: BlockMap): Promise<void> {
  const { sequence } = map.point.reference;
  const uses = function* () {
    for (const [id, use] of map.root.indexes) yield { kind: "index" as const, id, ...use };
    for (const [id, use] of map.root.packs) yield { kind: "pack" as const, id, ...use };
    const { root } = map.point.manifest;
    if (root === null) return;
    // The index of the root lies in no table; its size is known only to the store.
    const { indexId: id, keyNumber } = root;
    yield { kind: "index" as const, id, keyNumber, objectBytes: undefined };
  };
  await mapBounded(uses(), CONTAINERS_UNDER_WAY, async ({ kind, id, keyNumber, objectBytes }) => {
    const defect = await checkPresence(check, kind, id, objectBytes);
    if (defect !== undefined) {
      check.defects.add(defect, sequence);
      check.damage.addObject(kind, id);
      return;
    }
    const object = check.objects.find(kind, id);
    const dataKey = map.point.dataKeys[keyNumber];
    if (object === undefined || dataKey === undefined) return;
    if (check.level.kind === "presence" || object.isContainerChecked) return;
    object.isContainerChecked = true;
    check.progress.checkedObjects++;
    await orDefect(
      check,
      sequence,
      { kind: "unreadable-metadata", object: object.name, harmsRestores: false },
      checkContainer(check.repository, object, dataKey, check.signal),
    );
  });
}

async function checkPresence(
  check: DiskCheck,
  kind: ContainerKind,
  id: string,
  expectedBytes: number | undefined,
): Promise<DiskDefect | undefined> {
  const object = containerName(check.diskId, kind, id);
  const found = check.objects.find(kind, id);
  if (found !== undefined && (expectedBytes ?? found.sizeBytes) === found.sizeBytes) {
    if (check.level.kind === "presence" && !found.isContainerChecked) {
      found.isContainerChecked = true;
      check.progress.checkedObjects++;
    }
    return undefined;
  }
  if (found !== undefined) {
    const message = `The object has ${found.sizeBytes} bytes instead of ${expectedBytes}.`;
    return { kind: "wrong-size", object, message, harmsRestores: true };
  }
  if (await isStillThere(check, object)) return undefined;
  const message = "The object is not in the repository.";
  return { kind: "missing", object, message, harmsRestores: true };
}

async function isStillThere(check: DiskCheck, name: string): Promise<boolean> {
  return (await check.repository.store.readProperties(name, check.signal)) !== undefined;
}
