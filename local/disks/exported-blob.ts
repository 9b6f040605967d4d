import { encodeVhdFooter, findVhdFooterDefect, vhdFooterSizeBytes } from "#core/lib/vhd-footer.ts";
import type { DiskRecord, GrantRecord, SnapshotRecord } from "./disk-catalogue.ts";
import { diffGrowthBoundaryBytes } from "./disk-limits.ts";
import type { DiskState } from "./disk-state.ts";
import type { ResourceKind } from "./disk-service.ts";
import { joinRanges, sectorSizeBytes, type SectorRange } from "./sector-map.ts";
import { isSasValid } from "./shared-access.ts";
import { authenticationFailed, StorageError } from "./storage-error.ts";

/**
 * A disk or snapshot as the Blob service shows it: a page blob of the disk's bytes and, after them,
 * the 512-byte footer of a fixed VHD.
 */
export class ExportedBlob {
  readonly kind: ResourceKind;
  readonly record: DiskRecord | SnapshotRecord;
  readonly #state: DiskState;

  constructor(state: DiskState, kind: ResourceKind, record: DiskRecord | SnapshotRecord) {
    this.#state = state;
    this.kind = kind;
    this.record = record;
  }

  get id(): string {
    return this.record.id;
  }

  /** With the footer. */
  get sizeBytes(): number {
    return this.record.sizeBytes + vhdFooterSizeBytes;
  }

  /** Checks signature, expiry and revocation of a SAS query; throws 403 otherwise. */
  authenticate(url: URL): GrantRecord {
    const grant = this.#state.anyGrant({ kind: this.kind, id: this.id });
    if (grant === undefined || grant.identifier !== url.searchParams.get("si")) {
      throw authenticationFailed("The access was not granted or is revoked.");
    }
    const signed = { ...grant, path: url.pathname };
    if (!isSasValid(this.#state.sasKey, signed, url.searchParams)) {
      throw authenticationFailed("Signature did not match.");
    }
    if (new Date(grant.expiresAt) <= this.#state.now()) {
      throw authenticationFailed(`Signature not valid in the specified time frame.`);
    }
    return grant;
  }

  /** Bytes `[from, to)` in pieces; `bytes` is undefined for zeros. */
  async *read(
    from: number,
    to: number,
  ): AsyncGenerator<{ lengthBytes: number; bytes: Uint8Array | undefined }> {
    const diskSizeBytes = this.record.sizeBytes;
    const diskEnd = Math.min(to, diskSizeBytes);
    if (from < diskEnd) yield* this.#state.layers.read(this.record.layerId, from, diskEnd);
    if (to <= diskSizeBytes) return;
    const footer = this.footer().subarray(
      Math.max(0, from - diskSizeBytes),
      Math.max(0, to - diskSizeBytes),
    );
    yield { lengthBytes: footer.byteLength, bytes: footer };
  }

  footer(): Uint8Array {
    return encodeVhdFooter({
      sizeBytes: this.record.sizeBytes,
      uniqueId: Buffer.from(this.record.uniqueId.replaceAll("-", ""), "hex"),
      createdAtMs: new Date(this.record.createdAt).getTime(),
    });
  }

  /** Ranges with data in `[from, to)` bytes, in sectors, the footer's page among them. */
  listAllocated(from: number, to: number): SectorRange[] {
    const [fromSector, toSector] = this.#sectorWindow(from, to);
    const ranges = this.#state.layers.allocated(
      this.record.layerId,
      fromSector,
      Math.min(toSector, this.record.sizeBytes / sectorSizeBytes),
    );
    return joinRanges([...ranges, ...this.#footerRange(fromSector, toSector)]);
  }

  listChanged(previous: ExportedBlob, from: number, to: number): SectorRange[] {
    this.#checkComparable(previous);
    const [fromSector, toSector] = this.#sectorWindow(from, to);
    const ranges = this.#state.layers.changed(
      this.record.layerId,
      previous.record.layerId,
      fromSector,
      Math.min(toSector, this.record.sizeBytes / sectorSizeBytes),
    );
    return joinRanges([...ranges, ...this.#footerRange(fromSector, toSector)]);
  }

  /** @param offsetBytes multiple of 512; the footer's page may be part of the bytes */
  async write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    const dataLength = Math.min(bytes.byteLength, this.record.sizeBytes - offsetBytes);
    if (dataLength > 0) {
      await this.#state.writeBytes(async () => {
        this.#checkUploading();
        const layer = this.#state.layers.writable(this.record.layerId);
        await layer.write(offsetBytes / sectorSizeBytes, bytes.subarray(0, dataLength));
      });
    }
    if (dataLength < bytes.byteLength) {
      await this.#setFooter(bytes.subarray(Math.max(0, dataLength)));
    }
  }

  async clear(offsetBytes: number, lengthBytes: number): Promise<void> {
    const end = Math.min(offsetBytes + lengthBytes, this.record.sizeBytes);
    if (offsetBytes < end) {
      await this.#state.writeBytes(async () => {
        this.#checkUploading();
        const layer = this.#state.layers.writable(this.record.layerId);
        await layer.clear(offsetBytes / sectorSizeBytes, end / sectorSizeBytes);
      });
    }
    if (offsetBytes + lengthBytes > this.record.sizeBytes) {
      await this.#setFooter(new Uint8Array(vhdFooterSizeBytes));
    }
  }

  async #setFooter(footer: Uint8Array): Promise<void> {
    const hasFooter = findVhdFooterDefect(footer, this.record.sizeBytes) === undefined;
    await this.#state.change(async () => {
      this.#checkUploading().hasFooter = hasFooter;
    });
  }

  /** A revocation may have come between authentication and the turn of this write. */
  #checkUploading() {
    const { upload } = this.#state.disk(this.id);
    if (upload?.phase !== "active") throw authenticationFailed("The upload has ended.");
    return upload;
  }

  #checkComparable(previous: ExportedBlob): void {
    const family = familyOf(this);
    if (family === undefined || family !== familyOf(previous)) {
      throw new StorageError(
        409,
        "PreviousSnapshotOperationNotSupported",
        "Get Page Range Diff can only be called on incremental snapshots with same family id.",
      );
    }
    if (!this.#state.layers.isAncestor(previous.record.layerId, this.record.layerId)) {
      throw new StorageError(
        400,
        "PreviousSnapshotCannotBeNewer",
        "The prevsnapshot query parameter value cannot be newer than snapshot query parameter value.",
      );
    }
    const grewOver =
      previous.record.sizeBytes <= diffGrowthBoundaryBytes &&
      this.record.sizeBytes > diffGrowthBoundaryBytes;
    if (grewOver) {
      throw new StorageError(
        409,
        "PreviousSnapshotOperationNotSupported",
        "Differential Get Page Ranges is not supported on the previous snapshot: the disk grew " +
          "over 4 TiB since.",
      );
    }
  }

  /** A window covers every page that it touches. */
  #sectorWindow(from: number, to: number): [number, number] {
    return [Math.floor(from / sectorSizeBytes), Math.ceil(to / sectorSizeBytes)];
  }

  #footerRange(fromSector: number, toSector: number): SectorRange[] {
    const start = this.record.sizeBytes / sectorSizeBytes;
    const inside = fromSector <= start && start < toSector;
    return inside ? [{ start, end: start + 1, kind: "data" }] : [];
  }
}

function familyOf(blob: ExportedBlob): string | undefined {
  return blob.kind === "snapshot" ? (blob.record.familyId ?? undefined) : undefined;
}

/** The blob at a path of the data plane, or undefined. */
export function findBlob(state: DiskState, pathname: string): ExportedBlob | undefined {
  const [, storeName, containerName, blobName, ...rest] = pathname.split("/");
  if (blobName !== "abcd" || rest.length > 0) return undefined;
  for (const [kind, records] of [
    ["disk", state.disks],
    ["snapshot", state.snapshots],
  ] as const) {
    for (const record of records.values()) {
      if (record.storeName === storeName && record.containerName === containerName) {
        return new ExportedBlob(state, kind, record);
      }
    }
  }
  return undefined;
}
