/**
 * The check of one disk: its points in ascending order, each against the objects that the store
 * lists. What several points share is looked at once; a defect in it affects all of them.
 */
import { listDiskPointSequences, readDiskPoint } from "../disk-points.ts";
import { objectNames } from "../format/layout.ts";
import type { Repository } from "../repository.ts";
import {
  orDefect,
  type CheckProgress,
  type ContentLevel,
  type DiskCheck,
} from "./check-context.ts";
import { checkAttempt } from "./check-attempt.ts";
import { checkContent } from "./check-content.ts";
import { checkDeadFrames } from "./check-dead-frames.ts";
import { DamageRecorder } from "./damage-recorder.ts";
import { DiskObjects } from "./disk-objects.ts";
import { DiskDefects } from "./findings.ts";

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
  const { store } = repository;
  const objects = await DiskObjects.list({ store, diskId }, signal);
  const defects = new DiskDefects();
  const damage = new DamageRecorder();
  const check = { repository, store, diskId, objects, defects, damage, level, progress, signal };
  const points = new Map<number, string | undefined>();
  for (const sequence of sequences) {
    signal.throwIfAborted();
    progress.checkedObjects++;
    points.set(sequence, await checkPoint(check, sequence));
    progress.tell();
  }
  if (level.kind === "complete") await checkDeadFrames(check);
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
  await checkContent(check, point);
  return point.reference.manifestId;
}
