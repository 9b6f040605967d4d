import { codeOf } from "../../lib/errors.ts";
import { requireFeatures } from "../format/descriptor.ts";
import { damaged, requireSafeName } from "../format/layout.ts";
import { requireImmutability } from "../immutability.ts";
import type { Repository } from "../repository.ts";
import { committedBefore } from "./commit-disk-point.ts";
import { withDiskLock } from "./disk-lock.ts";
import { openMapIfReadable, openNewestMap, readNewestPoint } from "./disk-state.ts";
import { findHealing } from "./plan-healing.ts";
import { ChangeHintWrong } from "./run-pipeline.ts";
import { writeAttempt, type Attempt } from "./write-attempt.ts";
import {
  requireDiskSize,
  type WriteDiskPointOptions,
  type WrittenDiskPoint,
} from "./write-options.ts";

/**
 * Writes one restore point of one disk: packs, then the map, then the manifest with
 * create-if-absent. Until the manifest lies there, nothing of it can be seen.
 *
 * With `wait` it holds the disk's lock from before the parent is read until after the commit, so
 * that nothing which the parent needs can be collected meanwhile. Of two writers without a lock the
 * second one ends with `DiskPointConflict` and harms nothing. Other errors: `DiskLocked`,
 * `LockLost`, `ImmutabilityNotSupported`, those of the store and of the source.
 */
export async function writeDiskPoint(
  repository: Repository,
  options: WriteDiskPointOptions,
  signal: AbortSignal,
): Promise<WrittenDiskPoint> {
  requireFeatures(repository.descriptor, "write");
  requireSafeName("disk id", options.diskId);
  requireSafeName("point id", options.pointId);
  requireDiskSize(options.sizeBytes);
  const { store } = repository;
  const immutability = await requireImmutability(store, options.immutableUntil, signal);
  const write = (inner: AbortSignal) => writeLocked({ repository, options, immutability }, inner);
  const { diskId, wait } = options;
  return wait === undefined ? write(signal) : withDiskLock(store, { diskId, wait }, signal, write);
}

async function writeLocked(
  target: Pick<Attempt, "repository" | "options" | "immutability">,
  signal: AbortSignal,
): Promise<WrittenDiskPoint> {
  const { repository, options } = target;
  const newest = await readNewestPoint(repository, options.diskId, signal);
  if (newest?.point?.manifest.pointId === options.pointId) return committedBefore(newest.point);
  const attempt = { ...target, sequence: (newest?.sequence ?? 0) + 1 };
  const { ranges } = options;
  if (ranges.kind === "full") {
    const parent = await openNewestMap(repository, newest?.point, signal);
    const healing = await findHealing(repository, parent, signal);
    const mode = { kind: "full", reason: "asked-for" } as const;
    return writeAttempt({ ...attempt, parent, healing, mode }, signal);
  }
  const parent = await openMapIfReadable(repository, ranges.parent, signal);
  if (parent !== undefined && parent.point.manifest.sizeBytes <= options.sizeBytes) {
    const healing = await findHealing(repository, parent, signal);
    const healed = { ...attempt, parent, healing };
    try {
      if (healing.lostLeaves.size > 0) throw damaged("leaves of the parent are lost");
      return await writeAttempt({ ...healed, mode: { kind: "incremental" } }, signal);
    } catch (error) {
      const isHintWrong = error instanceof ChangeHintWrong;
      if (!isHintWrong && codeOf(error) !== "RepositoryDamaged") throw error;
      const reason = isHintWrong ? "change-hint-wrong" : "parent-unreadable";
      return writeAttempt({ ...healed, mode: { kind: "full", reason } }, signal);
    }
  }
  const fallback = await openNewestMap(repository, newest?.point, signal);
  const healing = await findHealing(repository, fallback, signal);
  const mode = { kind: "full", reason: "parent-unreadable" } as const;
  return writeAttempt({ ...attempt, parent: fallback, healing, mode }, signal);
}
