import { SESSION_TAG } from "#core/backup/snapshot-tags.ts";
import type { JobRecord } from "#core/model/job-record.ts";
import type { AppContext } from "../app-context.ts";

/**
 * Where the next dispatch of a restore goes on: each disk's low-water mark, as the worker before told
 * it. Only while the target is the disk that was written: one that somebody made again does not carry
 * the session's tag, and one that still waits for its upload holds nothing.
 */
export async function readResumePoints(
  context: AppContext,
  { spec, sessionId, progress, resumeAt = {} }: JobRecord,
): Promise<Readonly<Record<string, number>> | undefined> {
  if (spec.kind !== "restore") return undefined;
  const marks: Record<string, number> = {};
  for (const { diskId, sizeBytes, targetDiskId } of spec.disks) {
    const told = progress.find((each) => each.diskId === diskId)?.writtenToBytes ?? 0;
    const mark = Math.min(sizeBytes, Math.max(told, resumeAt[diskId] ?? 0));
    if (mark === 0) continue;
    const disk = await context.compute.readDisk(targetDiskId);
    const isSame = disk?.tags[SESSION_TAG] === sessionId && disk.sizeBytes === sizeBytes;
    if (isSame && disk.diskState !== "ReadyToUpload") marks[diskId] = mark;
  }
  return marks;
}
