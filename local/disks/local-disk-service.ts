import {
  activeSas,
  conflict,
  DiskServiceError,
  invalidParameter,
  notAllowed,
} from "./disk-errors.ts";
import { grantAccess, revokeAccess, usableDisk } from "./disk-grants.ts";
import type { DiskRecord, SnapshotRecord } from "./disk-catalogue.ts";
import { describeDiskRecord, describeGrant, describeSnapshotRecord } from "./disk-descriptions.ts";
import {
  checkDiskSize,
  checkSnapshotCount,
  checkSnapshotRate,
  checkUploadSize,
  snapshotWindowMs,
} from "./disk-limits.ts";
import type {
  DiskDescription,
  DiskService,
  DiskServiceOptions,
  GrantDescription,
  GrantRequest,
  ResourceKey,
  SnapshotDescription,
} from "./disk-service.ts";
import { DiskState } from "./disk-state.ts";
import { exportImage, importImage, readImageSize } from "./raw-image.ts";
import { emptyCounters, type ResourceCounters } from "./resource-counters.ts";
import { sectorSizeBytes } from "./sector-map.ts";

const footerSizeBytes = 512;

export async function openDiskService(options: DiskServiceOptions): Promise<LocalDiskService> {
  return new LocalDiskService(await DiskState.open(options));
}

/** The one implementation of `DiskService`; `state` is for the data plane only. */
export class LocalDiskService implements DiskService {
  readonly state: DiskState;
  /** Set by the data plane when it listens. */
  dataPlaneOrigin: string | undefined;
  readonly #counters = new Map<string, ResourceCounters>();

  constructor(state: DiskState) {
    this.state = state;
  }

  async createEmptyDisk(options: { id: string; sizeBytes: number }): Promise<DiskDescription> {
    checkDiskSize(options.sizeBytes);
    return this.#createDisk(options);
  }

  async createUploadDisk(options: {
    id: string;
    uploadSizeBytes: number;
  }): Promise<DiskDescription> {
    checkUploadSize(options.uploadSizeBytes);
    return this.#createDisk({
      id: options.id,
      sizeBytes: options.uploadSizeBytes - footerSizeBytes,
      isUpload: true,
    });
  }

  async createDiskFromSnapshot(options: {
    id: string;
    snapshotId: string;
    sizeBytes?: number;
  }): Promise<DiskDescription> {
    const snapshot = this.state.snapshot(options.snapshotId);
    const sizeBytes = options.sizeBytes ?? snapshot.sizeBytes;
    checkDiskSize(sizeBytes);
    if (sizeBytes < snapshot.sizeBytes) {
      throw invalidParameter(
        `Disk size ${sizeBytes} is below ${snapshot.sizeBytes} bytes of the source snapshot.`,
      );
    }
    return this.#createDisk({
      id: options.id,
      sizeBytes,
      snapshotId: options.snapshotId,
    });
  }

  async importDisk(options: { id: string; file: string }): Promise<DiskDescription> {
    const sizeBytes = await readImageSize(options.file);
    checkDiskSize(sizeBytes);
    return this.#createDisk({ ...options, sizeBytes });
  }

  async exportToFile(options: { source: ResourceKey; file: string }): Promise<void> {
    await exportImage(this.state.layers, this.state.resource(options.source), options.file);
  }

  async resizeDisk(diskId: string, sizeBytes: number): Promise<DiskDescription> {
    checkDiskSize(sizeBytes);
    return this.state.change(async () => {
      const disk = usableDisk(this.state, diskId);
      if (this.state.liveGrant({ kind: "disk", id: diskId }) !== undefined) {
        throw new DiskServiceError(
          409,
          "ChangeDiskSizeWhileActiveSasNotAllowed",
          `The disk ${diskId} has an active SAS URI. Revoke it before changing the size.`,
        );
      }
      if (sizeBytes < disk.sizeBytes) throw notAllowed(`The size of disk ${diskId} cannot shrink.`);
      disk.sizeBytes = sizeBytes;
      return describeDiskRecord(this.state, disk);
    });
  }

  async guestWrite(diskId: string, offsetBytes: number, bytes: Uint8Array): Promise<void> {
    await this.state.writeBytes(async () => {
      const disk = this.#writableByGuest(diskId, offsetBytes, bytes.byteLength);
      await this.state.layers.writable(disk.layerId).write(offsetBytes / sectorSizeBytes, bytes);
    });
  }

  async guestClear(diskId: string, offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.state.writeBytes(async () => {
      const disk = this.#writableByGuest(diskId, offsetBytes, lengthBytes);
      const start = offsetBytes / sectorSizeBytes;
      const end = start + lengthBytes / sectorSizeBytes;
      await this.state.layers.writable(disk.layerId).clear(start, end);
    });
  }

  async guestRead(diskId: string, offsetBytes: number, lengthBytes: number): Promise<Uint8Array> {
    const disk = usableDisk(this.state, diskId);
    checkGuestRange(disk, offsetBytes, lengthBytes);
    const bytes = new Uint8Array(lengthBytes);
    const end = offsetBytes + lengthBytes;
    for await (const piece of this.state.layers.read(disk.layerId, offsetBytes, end)) {
      if (piece.bytes !== undefined) bytes.set(piece.bytes, piece.offsetBytes - offsetBytes);
    }
    return bytes;
  }

  assertAttachable(diskId: string): void {
    usableDisk(this.state, diskId);
    if (this.state.liveGrant({ kind: "disk", id: diskId }) !== undefined) {
      throw activeSas("disk", diskId, "attaching it to a virtual machine");
    }
  }

  async createSnapshot(options: {
    snapshotId: string;
    diskId: string;
    incremental?: boolean;
  }): Promise<SnapshotDescription> {
    const { snapshotId, diskId, incremental = true } = options;
    return this.state.change(async () => {
      const disk = usableDisk(this.state, diskId);
      if (this.state.snapshots.has(snapshotId)) throw conflict(`${snapshotId} exists already.`);
      if (incremental) this.#countSnapshot(disk);
      const frozenLayerId = disk.layerId;
      disk.layerId = await this.state.createLayer(frozenLayerId);
      const snapshot: SnapshotRecord = {
        ...this.#newResource(snapshotId, disk.sizeBytes),
        layerId: frozenLayerId,
        familyId: incremental ? disk.familyId : null,
        sourceUniqueId: disk.uniqueId,
      };
      this.state.snapshots.set(snapshotId, snapshot);
      return describeSnapshotRecord(this.state, snapshot);
    });
  }

  async deleteDisk(diskId: string): Promise<boolean> {
    return this.#delete({ kind: "disk", id: diskId }, "deleting the disk");
  }

  async deleteSnapshot(snapshotId: string): Promise<boolean> {
    return this.#delete({ kind: "snapshot", id: snapshotId }, "deleting the snapshot");
  }

  describeDisk(diskId: string): DiskDescription | undefined {
    const disk = this.state.disks.get(diskId);
    return disk && describeDiskRecord(this.state, disk);
  }

  describeSnapshot(snapshotId: string): SnapshotDescription | undefined {
    const snapshot = this.state.snapshots.get(snapshotId);
    return snapshot && describeSnapshotRecord(this.state, snapshot);
  }

  listDisks(): DiskDescription[] {
    return [...this.state.disks.values()].map((disk) => describeDiskRecord(this.state, disk));
  }

  listSnapshots(): SnapshotDescription[] {
    return [...this.state.snapshots.values()].map((snapshot) =>
      describeSnapshotRecord(this.state, snapshot),
    );
  }

  async grantAccess(request: GrantRequest): Promise<{ accessSas: string; expiresAt: Date }> {
    const origin = this.dataPlaneOrigin;
    if (origin === undefined) throw new Error("start the data plane before granting access");
    return grantAccess(this.state, origin, request);
  }

  async revokeAccess(key: ResourceKey): Promise<void> {
    await revokeAccess(this.state, key);
  }

  listGrants(): GrantDescription[] {
    return this.state.liveGrants().map(describeGrant);
  }

  countersOf({ kind, id }: ResourceKey): ResourceCounters {
    const key = `${kind}:${id}`;
    const counters = this.#counters.get(key) ?? emptyCounters();
    this.#counters.set(key, counters);
    return counters;
  }

  resetCounters(): void {
    this.#counters.clear();
  }

  async close(): Promise<void> {
    await this.state.close();
  }

  async #createDisk(options: {
    id: string;
    sizeBytes: number;
    snapshotId?: string;
    isUpload?: boolean;
    file?: string;
  }): Promise<DiskDescription> {
    return this.state.change(async () => {
      if (this.state.disks.has(options.id)) throw conflict(`${options.id} exists already.`);
      // Asked for inside the change: the snapshot may have gone, or its layer been joined, meanwhile.
      const source =
        options.snapshotId === undefined ? undefined : this.state.snapshot(options.snapshotId);
      const layerId = await this.state.createLayer(source?.layerId ?? null);
      if (options.file !== undefined) {
        await importImage(options.file, this.state.layers.writable(layerId));
      }
      const disk: DiskRecord = {
        ...this.#newResource(options.id, options.sizeBytes),
        layerId,
        familyId: this.state.newGuid(),
        sourceUniqueId: source?.uniqueId ?? null,
        upload: options.isUpload === true ? { phase: "offered", hasFooter: false } : null,
        snapshotTimes: [],
      };
      this.state.disks.set(disk.id, disk);
      return describeDiskRecord(this.state, disk);
    });
  }

  #newResource(id: string, sizeBytes: number) {
    return {
      id,
      sizeBytes,
      uniqueId: this.state.newGuid(),
      createdAt: this.state.now().toISOString(),
      storeName: `md-${this.state.newName(6)}`,
      containerName: this.state.newName(6),
    };
  }

  async #delete(key: ResourceKey, purpose: string): Promise<boolean> {
    return this.state.change(async () => {
      const records = key.kind === "disk" ? this.state.disks : this.state.snapshots;
      if (!records.has(key.id)) return false;
      if (this.state.liveGrant(key) !== undefined) throw activeSas(key.kind, key.id, purpose);
      this.state.dropGrant(key);
      records.delete(key.id);
      await this.state.collectLayers();
      return true;
    });
  }

  #writableByGuest(diskId: string, offsetBytes: number, lengthBytes: number): DiskRecord {
    const disk = usableDisk(this.state, diskId);
    checkGuestRange(disk, offsetBytes, lengthBytes);
    if (this.state.liveGrant({ kind: "disk", id: diskId }) !== undefined) {
      throw activeSas("disk", diskId, "writing to it");
    }
    return disk;
  }

  #countSnapshot(disk: DiskRecord): void {
    const now = this.state.now().getTime();
    const recent = disk.snapshotTimes.filter(
      (time) => now - new Date(time).getTime() < snapshotWindowMs,
    );
    checkSnapshotRate(disk.id, recent.length);
    const existing = [...this.state.snapshots.values()].filter(
      (snapshot) => snapshot.familyId === disk.familyId,
    );
    checkSnapshotCount(disk.id, existing.length);
    disk.snapshotTimes = [...recent, new Date(now).toISOString()];
  }
}

function checkGuestRange(disk: DiskRecord, offsetBytes: number, lengthBytes: number): void {
  const aligned = offsetBytes % sectorSizeBytes === 0 && lengthBytes % sectorSizeBytes === 0;
  if (!aligned || offsetBytes < 0 || lengthBytes < 0) {
    throw invalidParameter(`Range ${offsetBytes}+${lengthBytes} is not aligned to 512 bytes.`);
  }
  if (offsetBytes + lengthBytes > disk.sizeBytes) {
    throw invalidParameter(
      `Range ${offsetBytes}+${lengthBytes} ends after disk ${disk.id} of ${disk.sizeBytes} bytes.`,
    );
  }
}
