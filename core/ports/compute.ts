import type { WorkerImage } from "../model/worker-configuration.ts";
import type { DiskConfiguration, VmConfiguration, VmSummary } from "../model/vm-configuration.ts";

/**
 * Virtual machines, disks, snapshots and their SAS, as the control plane needs them. Implemented in
 * `azure/compute` over Resource Manager.
 *
 * Obligations of every method: `start*` sends the request and returns without waiting for the long
 * running operation (the orchestrator polls `read*` with durable timers); all are idempotent:
 * `start…` of what exists with the same content is a success, `startDelete…` of what is gone is a
 * success; `read…` of what is missing answers `undefined`. Errors are `HoldfastError`s whose `code`
 * is Azure's error code, `retry: "backoff"` for 408, 409 conflicts that pass, 429 and 5xx.
 */
export type ProvisioningState = "pending" | "succeeded" | "failed";

export interface SnapshotRequest {
  readonly snapshotId: string;
  readonly sourceDiskId: string;
  /** The disk's location; never inherited from the resource group. */
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
  /** The only way to its bytes, from its first moment on. */
  readonly diskAccessId: string;
  /** That of the disk: whether a token is asked for beside the SAS. */
  readonly dataAccessAuthMode?: DiskConfiguration["dataAccessAuthMode"];
}

/** Who may reach the bytes of a disk or snapshot over the network. */
export interface NetworkAccess {
  readonly policy: "AllowAll" | "AllowPrivate" | "DenyAll";
  readonly publicAccess: boolean;
  /** With `AllowPrivate`. */
  readonly diskAccessId?: string | undefined;
}

export interface SnapshotState {
  readonly snapshotId: string;
  readonly provisioning: ProvisioningState;
  /** 100 when the background copy is done: only then a SAS works. */
  readonly completionPercent: number;
  readonly sizeBytes: number;
  readonly familyId: string | undefined;
  /** `creationData.sourceUniqueId`: unique id of the disk it was taken from. */
  readonly sourceDiskUniqueId: string | undefined;
  readonly createdAt: Date | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly location: string;
  readonly networkAccess: NetworkAccess;
  /** Its mode asks for a token beside the SAS. */
  readonly needsToken: boolean;
}

export interface DiskAccessState {
  readonly diskAccessId: string;
  readonly name: string;
  readonly location: string;
  readonly provisioning: ProvisioningState;
}

export interface DiskAccessRequest {
  readonly diskAccessId: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface UploadDiskRequest {
  readonly diskId: string;
  readonly location: string;
  readonly zones: readonly string[];
  /** Size of the disk; the adapter adds the footer that `uploadSizeBytes` includes. */
  readonly sizeBytes: number;
  readonly skuName: string;
  readonly osType?: "Linux" | "Windows" | undefined;
  readonly hyperVGeneration?: string | undefined;
  /** Of the VM that is to start from it; Azure decides by what the disk says of itself. */
  readonly securityType?: string | undefined;
  readonly purchasePlan?: DiskConfiguration["purchasePlan"];
  readonly supportedCapabilities?: DiskConfiguration["supportedCapabilities"];
  /** The only way to upload: Azure takes no upload to a disk that has a disk encryption set too. */
  readonly diskAccessId: string;
  /** From its first moment on: the upload asks for a token, too. */
  readonly dataAccessAuthMode?: DiskConfiguration["dataAccessAuthMode"];
  readonly tags: Readonly<Record<string, string>>;
}

/** What a disk gets once its bytes are in it. */
export interface DiskSettings {
  readonly networkAccess: NetworkAccess;
  readonly diskEncryptionSetId?: string | undefined;
  readonly dataAccessAuthMode?: DiskConfiguration["dataAccessAuthMode"];
}

export interface DiskState {
  readonly diskId: string;
  readonly provisioning: ProvisioningState;
  /** Azure's `diskState`, e.g. `ReadyToUpload`, `ActiveUpload`, `Unattached`, `Attached`. */
  readonly diskState: string;
  readonly sizeBytes: number;
  readonly tags: Readonly<Record<string, string>>;
  readonly settings: DiskSettings;
}

export interface NicRequest {
  readonly nicId: string;
  readonly location: string;
  readonly subnetId: string;
  readonly networkSecurityGroupId?: string | undefined;
  readonly enableAcceleratedNetworking: boolean;
  readonly tags: Readonly<Record<string, string>>;
}

/** A VM made of disks that exist: the last step of a restore. */
export interface AttachVmRequest {
  readonly vmResourceId: string;
  readonly location: string;
  readonly zones: readonly string[];
  readonly vmSize: string;
  readonly osDiskId: string;
  readonly dataDisks: readonly {
    readonly diskId: string;
    readonly lun: number;
    readonly caching: string;
  }[];
  readonly nicIds: readonly string[];
  /** Everything that is taken over from the source VM (plan, security, licence, caching, tags). */
  readonly source: VmConfiguration;
  readonly tags: Readonly<Record<string, string>>;
}

export interface WorkerVmRequest {
  readonly vmResourceId: string;
  readonly nicId: string;
  readonly location: string;
  readonly vmSize: string;
  readonly image: WorkerImage;
  /** Spot: evicted machines are deleted; paid up to the price of a regular one. */
  readonly priority: "spot" | "regular";
  readonly osDisk: "ephemeral" | "managed";
  readonly diskEncryptionSetId?: string | undefined;
  readonly identityResourceId: string;
  /** Azure puts them on the OS disk too. */
  readonly tags: Readonly<Record<string, string>>;
}

export interface WorkerVmState {
  readonly provisioning: ProvisioningState;
  /** `PowerState/...` of its instance view; `unknown` while Azure says nothing of it. */
  readonly power: "running" | "starting" | "stopped" | "deallocating" | "deallocated" | "unknown";
  /** Azure's code for why it could not be made, e.g. `AllocationFailed`. */
  readonly failureCode: string | undefined;
}

export interface RunCommandRequest {
  readonly vmResourceId: string;
  readonly name: string;
  readonly location: string;
  readonly script: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** Values that Azure never returns. */
  readonly protectedParameters: Readonly<Record<string, string>>;
  readonly timeoutSeconds: number;
}

export interface RunCommandState {
  readonly executionState: "Pending" | "Running" | "Succeeded" | "Failed" | "TimedOut" | "Canceled";
  readonly exitCode: number | undefined;
  /** Last 4 KiB of standard output and error. */
  readonly output: string;
  readonly error: string;
}

/** A resource that carries our tags, for sweeping. */
export interface OwnedResource {
  readonly resourceId: string;
  readonly type: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface ComputePort {
  listVms(subscriptionId: string): AsyncIterable<VmSummary>;
  /** Reads the VM with its disks and NICs. */
  readVm(vmResourceId: string): Promise<VmConfiguration | undefined>;
  readVmProvisioning(
    vmResourceId: string,
  ): Promise<{ provisioning: ProvisioningState } | undefined>;

  startSnapshot(request: SnapshotRequest): Promise<void>;
  readSnapshot(snapshotId: string): Promise<SnapshotState | undefined>;
  startDeleteSnapshot(snapshotId: string): Promise<void>;
  /** Makes the disk access the only way to the snapshot. Azure refuses it while a SAS lives. */
  startSnapshotAccess(snapshotId: string, diskAccessId: string): Promise<void>;

  /** Those of the resource group that carry the tag; none when there is no such group. */
  listDiskAccesses(
    resourceGroupId: string,
    tagName: string,
    tagValue: string,
  ): AsyncIterable<DiskAccessState>;
  readDiskAccess(diskAccessId: string): Promise<DiskAccessState | undefined>;
  startDiskAccess(request: DiskAccessRequest): Promise<void>;
  /** Azure refuses it while a disk or snapshot names it. */
  startDeleteDiskAccess(diskAccessId: string): Promise<void>;
  /**
   * By lower-case id of a disk access: ids of the snapshots and disks of the subscription that name it.
   */
  listUsedDiskAccesses(subscriptionId: string): Promise<ReadonlyMap<string, readonly string[]>>;

  startUploadDisk(request: UploadDiskRequest): Promise<void>;
  readDisk(diskId: string): Promise<DiskState | undefined>;
  startDeleteDisk(diskId: string): Promise<void>;
  /** Changes an unattached disk without a live SAS. */
  startDiskSettings(diskId: string, settings: DiskSettings): Promise<void>;

  /** Grants and waits for the SAS (seconds). The caller has written the ledger before. */
  grantAccess(
    resourceId: string,
    access: "Read" | "Write",
    durationSeconds: number,
    signal: AbortSignal,
  ): Promise<string>;
  /** Revokes and waits; success when there is nothing to revoke or the resource is gone. */
  revokeAccess(resourceId: string, signal: AbortSignal): Promise<void>;

  startNic(request: NicRequest): Promise<void>;
  startDeleteNic(nicId: string): Promise<void>;
  readNicProvisioning(nicId: string): Promise<{ provisioning: ProvisioningState } | undefined>;

  startAttachVm(request: AttachVmRequest): Promise<void>;
  /** Creates the worker's NIC-attached VM; disks and NIC are deleted with it. */
  startWorkerVm(request: WorkerVmRequest): Promise<void>;
  readWorkerVm(vmResourceId: string): Promise<WorkerVmState | undefined>;
  /** Stops it and gives its cores back; its disk stays. */
  startDeallocateVm(vmResourceId: string): Promise<void>;
  /** Starts a VM that is deallocated or stopped. */
  startPowerOnVm(vmResourceId: string): Promise<void>;
  /** Deletes the VM; what was created with `deleteOption: Delete` goes with it. */
  startDeleteVm(vmResourceId: string): Promise<void>;

  startRunCommand(request: RunCommandRequest): Promise<void>;
  readRunCommand(vmResourceId: string, name: string): Promise<RunCommandState | undefined>;

  /** Everything in the subscription that has the tag with this value (eventually consistent). */
  listOwned(
    subscriptionId: string,
    tagName: string,
    tagValue: string,
  ): AsyncIterable<OwnedResource>;
}
