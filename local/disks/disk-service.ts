/**
 * Managed disks and snapshots with real bytes, as the simulated Azure sees them.
 *
 * A *disk* is a stack of *layers*. Guest writes go to the top layer at the granularity of a
 * 512-byte *sector*. A *snapshot* freezes the top layer and puts an empty one above it, so that it
 * costs the same for any size. All snapshots of one disk are a *family*; a diff exists only inside
 * a family. A *grant* is one live SAS; at most one exists per disk or snapshot.
 *
 * Ids are opaque strings of the caller (the Resource Manager passes lower-cased resource ids); disks
 * and snapshots have separate name spaces. Whatever Azure would refuse is thrown as `DiskServiceError`
 * with Azure's error code and HTTP status. All state lives under one directory and survives a kill.
 */
import { DiskServiceError } from "./disk-errors.ts";
import type { ResourceCounters } from "./resource-counters.ts";

export type ResourceKind = "disk" | "snapshot";
export type GrantedAccess = "Read" | "Write";

/** Values of `properties.diskState` that the bytes decide; `Attached` and `Reserved` are the caller's. */
export type DiskState = "Unattached" | "ReadyToUpload" | "ActiveUpload" | "ActiveSAS";

export interface ResourceKey {
  readonly kind: ResourceKind;
  readonly id: string;
}

/** One live grant. The SAS itself is not part of it, so that listings can be logged. */
export interface GrantDescription extends ResourceKey {
  readonly access: GrantedAccess;
  readonly grantedAt: Date;
  readonly expiresAt: Date;
}

export interface DiskDescription extends ResourceKey {
  readonly kind: "disk";
  /** `properties.diskSizeBytes`: without the VHD footer. */
  readonly sizeBytes: number;
  /** `properties.uniqueId`: a GUID that a disk re-created under the same name does not share. */
  readonly uniqueId: string;
  /** `properties.incrementalSnapshotFamilyId` of every snapshot of this disk. */
  readonly familyId: string;
  /** `creationData.sourceUniqueId` of a disk created from a snapshot. */
  readonly sourceUniqueId: string | undefined;
  readonly createdAt: Date;
  /** Bytes that hold data, whichever layer they are in. */
  readonly allocatedBytes: number;
  readonly state: DiskState;
  readonly liveGrant: GrantDescription | undefined;
  /** Why an ended upload left a disk that cannot be used, if it did. */
  readonly uploadDefect: "FooterMissing" | undefined;
}

export interface SnapshotDescription extends ResourceKey {
  readonly kind: "snapshot";
  /** Size of the disk when the snapshot was taken. */
  readonly sizeBytes: number;
  readonly uniqueId: string;
  /** `properties.incrementalSnapshotFamilyId`; undefined for a full snapshot. */
  readonly familyId: string | undefined;
  /** `creationData.sourceUniqueId`: unique id of the disk it was taken of. */
  readonly sourceUniqueId: string;
  readonly incremental: boolean;
  readonly createdAt: Date;
  readonly allocatedBytes: number;
  /** `properties.diskState` of a snapshot. */
  readonly state: "Unattached" | "ActiveSAS";
  readonly liveGrant: GrantDescription | undefined;
}

export interface GrantRequest extends ResourceKey {
  readonly access: GrantedAccess;
  readonly durationSeconds: number;
  /** Resource id of the running VM that the disk is attached to; such a disk is refused. */
  readonly attachedToRunningVmId?: string;
}

export interface DiskService {
  createEmptyDisk(options: { id: string; sizeBytes: number }): Promise<DiskDescription>;
  /** @param options.uploadSizeBytes `creationData.uploadSizeBytes`: disk and 512-byte footer */
  createUploadDisk(options: { id: string; uploadSizeBytes: number }): Promise<DiskDescription>;
  /** `createOption: Copy`; `sizeBytes` may be larger than the snapshot. Begins a new family. */
  createDiskFromSnapshot(options: {
    id: string;
    snapshotId: string;
    sizeBytes?: number;
  }): Promise<DiskDescription>;
  /** A disk with the bytes of a raw image file; its size is rounded up to whole sectors. */
  importDisk(options: { id: string; file: string }): Promise<DiskDescription>;
  /** Writes the disk's (or snapshot's) bytes to a new sparse file, without the footer. */
  exportToFile(options: { source: ResourceKey; file: string }): Promise<void>;
  /** Grows a disk; Azure never shrinks one. */
  resizeDisk(diskId: string, sizeBytes: number): Promise<DiskDescription>;

  /** What a guest does. Offset and length are multiples of 512. Refused during an export or upload. */
  guestWrite(diskId: string, offsetBytes: number, bytes: Uint8Array): Promise<void>;
  /** Discard (TRIM): the range reads as zeros and shows as cleared in diffs. */
  guestClear(diskId: string, offsetBytes: number, lengthBytes: number): Promise<void>;
  guestRead(diskId: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array>;
  /** Throws unless a VM may attach (and start with) the disk now. */
  assertAttachable(diskId: string): void;

  /** @param options.incremental default true; only incremental snapshots have diffs */
  createSnapshot(options: {
    snapshotId: string;
    diskId: string;
    incremental?: boolean;
  }): Promise<SnapshotDescription>;
  /** Deleting what is not there is no error (returns false). Snapshots outlive their disk. */
  deleteDisk(diskId: string): Promise<boolean>;
  deleteSnapshot(snapshotId: string): Promise<boolean>;

  /** undefined when it does not exist. */
  describeDisk(diskId: string): DiskDescription | undefined;
  describeSnapshot(snapshotId: string): SnapshotDescription | undefined;
  listDisks(): DiskDescription[];
  listSnapshots(): SnapshotDescription[];

  /** `beginGetAccess`. A repeated call during a live grant answers the same SAS. */
  grantAccess(request: GrantRequest): Promise<{ accessSas: string; expiresAt: Date }>;
  /** `endGetAccess`; idempotent. Ends the upload of an upload disk. */
  revokeAccess(key: ResourceKey): Promise<void>;
  listGrants(): GrantDescription[];

  /** What the data plane did for one disk or snapshot since the start or the last reset. */
  countersOf(key: ResourceKey): ResourceCounters;
  resetCounters(): void;
  close(): Promise<void>;
}

export interface DiskServiceOptions {
  /** Created when missing; belongs to one process at a time. */
  readonly stateDirectory: string;
  readonly now: () => Date;
  /** Random bytes, for ids and keys. */
  readonly random: (byteCount: number) => Uint8Array;
}

/** Narrows an error that Azure would answer with `statusCode` and `code`. */
export function isDiskServiceError(error: unknown): error is DiskServiceError {
  return error instanceof DiskServiceError;
}
