import { DiskServiceError, invalidParameter, notAllowed } from "./disk-errors.ts";

/** Azure's limits on disks, snapshots and their SAS; sources in docs/local-azure.md. */
const maxLiveSasPerFamily = 5;
const maxSnapshotsPerWindow = 7;
export const snapshotWindowMs = 5 * 60 * 1000;
const maxSnapshotsPerDisk = 500;
const maxGrantSeconds = 60 * 24 * 60 * 60;
/** No diff between snapshots that a growth over this size lies between. */
export const diffGrowthBoundaryBytes = 4 * 1024 ** 4;
const maxDiskSizeBytes = 32767 * 1024 ** 3;
const minUploadSizeBytes = 20_972_032;
const maxUploadSizeBytes = 35_183_298_347_520;

export function checkDiskSize(sizeBytes: number): void {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % 512 !== 0) {
    throw invalidParameter(`Disk size ${sizeBytes} is not a positive multiple of 512 bytes.`);
  }
  if (sizeBytes > maxDiskSizeBytes) {
    throw invalidParameter(`Disk size ${sizeBytes} is above 32767 GiB.`);
  }
}

export function checkUploadSize(uploadSizeBytes: number): void {
  const valid =
    Number.isSafeInteger(uploadSizeBytes) &&
    uploadSizeBytes % 512 === 0 &&
    uploadSizeBytes >= minUploadSizeBytes &&
    uploadSizeBytes <= maxUploadSizeBytes;
  if (!valid) {
    throw invalidParameter(
      `The value ${uploadSizeBytes} of parameter uploadSizeBytes is out of range: a multiple of ` +
        `512 between ${minUploadSizeBytes} and ${maxUploadSizeBytes} is required.`,
    );
  }
}

export function checkGrantDuration(durationSeconds: number): void {
  const valid =
    Number.isInteger(durationSeconds) && durationSeconds > 0 && durationSeconds <= maxGrantSeconds;
  if (!valid) {
    throw invalidParameter(
      `The value ${durationSeconds} of parameter durationInSeconds is not in 1..${maxGrantSeconds}.`,
    );
  }
}

/** @param liveCount live SAS on snapshots of the family, without the one asked for */
export function checkFamilyGrants(familyId: string, liveCount: number): void {
  if (liveCount >= maxLiveSasPerFamily) {
    throw notAllowed(
      `Snapshot family ${familyId} has ${liveCount} active shared access signatures; ` +
        `at most ${maxLiveSasPerFamily} are allowed at one time.`,
    );
  }
}

export function checkSnapshotCount(diskId: string, existingCount: number): void {
  if (existingCount >= maxSnapshotsPerDisk) {
    throw new DiskServiceError(
      409,
      "SnapshotsLimitReached",
      `The snapshot count was exceeded for disk ${diskId}: at most ${maxSnapshotsPerDisk}.`,
    );
  }
}

export function checkSnapshotRate(diskId: string, countInWindow: number): void {
  if (countInWindow >= maxSnapshotsPerWindow) {
    throw new DiskServiceError(
      409,
      "SnapshotOperationRateExceeded",
      `At most ${maxSnapshotsPerWindow} incremental snapshots of disk ${diskId} can be created ` +
        "in 5 minutes. Retry later.",
    );
  }
}
