/**
 * Which disks several workers read together. A full of a huge disk takes one worker days; parts of it
 * are read at the same time and joined. Incrementals move little: they stay with one worker.
 */
import { DISK_PART_ALIGNMENT_BYTES, DISK_PARTS_MAX, type DiskPart } from "../model/disk-part.ts";

export interface SharingFacts {
  /** Disks of this size and more are shared. */
  readonly sharedFromBytes: number;
  /** Workers that the region may have at the same time. */
  readonly workersMax: number;
}

export interface DiskSharing {
  /** At least two; none when the disk is read by one worker after all. */
  readonly parts: readonly DiskPart[];
  readonly reason: string;
}

/**
 * Parts of the disks that are read in full, by disk id; a disk that is too small has no entry. All
 * parts together are never more than the workers of the region, so that they can run at the same
 * time; when they do not suffice for all huge disks, the largest ones come first.
 */
export function shareDisks(
  disks: readonly { readonly diskId: string; readonly sizeBytes: number }[],
  { sharedFromBytes, workersMax }: SharingFacts,
): ReadonlyMap<string, DiskSharing> {
  const huge = disks
    .filter(({ sizeBytes }) => sizeBytes >= sharedFromBytes && piecesOf(sizeBytes) >= 2)
    .toSorted((one, other) => other.sizeBytes - one.sizeBytes);
  const each = Math.min(DISK_PARTS_MAX, Math.floor(workersMax / Math.max(1, huge.length)));
  const workersOfEach = Math.max(2, each);
  const sharedCount = Math.floor(workersMax / workersOfEach);
  return new Map(
    huge.map(({ diskId, sizeBytes }, rank) => {
      if (rank >= sharedCount) {
        const reason = `read by one worker: the region may have ${workersMax} at the same time`;
        return [diskId, { parts: [], reason }];
      }
      const parts = partsOf(sizeBytes, Math.min(workersOfEach, piecesOf(sizeBytes)));
      return [diskId, { parts, reason: `shared by ${parts.length} workers for its size` }];
    }),
  );
}

function piecesOf(sizeBytes: number): number {
  return Math.ceil(sizeBytes / DISK_PART_ALIGNMENT_BYTES);
}

/** Of about the same size, one behind the other, the last one up to the end of the disk. */
function partsOf(sizeBytes: number, count: number): DiskPart[] {
  const pieces = piecesOf(sizeBytes);
  const startOf = (part: number): number =>
    Math.min(sizeBytes, Math.floor((part * pieces) / count) * DISK_PART_ALIGNMENT_BYTES);
  return Array.from({ length: count }, (_, part) => ({
    offsetBytes: startOf(part),
    lengthBytes: startOf(part + 1) - startOf(part),
  }));
}
