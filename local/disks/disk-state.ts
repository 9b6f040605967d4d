import { join } from "node:path";
import { notFound } from "./disk-errors.ts";
import {
  readCatalogue,
  writeCatalogue,
  type DiskRecord,
  type GrantRecord,
  type SnapshotRecord,
} from "./disk-catalogue.ts";
import type { DiskServiceOptions, ResourceKey } from "./disk-service.ts";
import { LayerStore } from "./layer-store.ts";
import { sectorSizeBytes } from "./sector-map.ts";
import { SerialQueue } from "./serial-queue.ts";

const sasKeySizeBytes = 32;

/** Memory and disk form of all disks, snapshots, layers and grants. Changes run inside `change`. */
export class DiskState {
  readonly disks: Map<string, DiskRecord>;
  readonly snapshots: Map<string, SnapshotRecord>;
  readonly layers: LayerStore;
  readonly sasKey: Uint8Array;
  readonly now: () => Date;
  readonly random: (byteCount: number) => Uint8Array;
  readonly #grants: Map<string, GrantRecord>;
  readonly #path: string;
  readonly #queue = new SerialQueue();
  readonly #allocated = new Map<string, { stamp: string; bytes: number }>();

  private constructor(parts: {
    options: DiskServiceOptions;
    path: string;
    layers: LayerStore;
    sasKey: Uint8Array;
    disks: DiskRecord[];
    snapshots: SnapshotRecord[];
    grants: GrantRecord[];
  }) {
    this.now = parts.options.now;
    this.random = parts.options.random;
    this.#path = parts.path;
    this.layers = parts.layers;
    this.sasKey = parts.sasKey;
    this.disks = new Map(parts.disks.map((disk) => [disk.id, disk]));
    this.snapshots = new Map(parts.snapshots.map((snapshot) => [snapshot.id, snapshot]));
    this.#grants = new Map(parts.grants.map((grant) => [keyText(grant), grant]));
  }

  static async open(options: DiskServiceOptions): Promise<DiskState> {
    const path = join(options.stateDirectory, "catalogue.json");
    const content = await readCatalogue(path);
    const layers = await LayerStore.open(
      join(options.stateDirectory, "layers"),
      content?.layers ?? [],
    );
    const state = new DiskState({
      options,
      path,
      layers,
      sasKey: content ? Buffer.from(content.sasKey, "base64") : options.random(sasKeySizeBytes),
      disks: content?.disks ?? [],
      snapshots: content?.snapshots ?? [],
      grants: content?.grants ?? [],
    });
    await state.change(() => state.collectLayers());
    return state;
  }

  /** Runs one change alone, and saves the catalogue when it succeeds. */
  change<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#queue.run(async () => {
      const result = await work();
      await this.#save();
      return result;
    });
  }

  /** Like `change` for writes of bytes, which the layers record themselves. */
  writeBytes<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#queue.run(work);
  }

  disk(id: string): DiskRecord {
    const disk = this.disks.get(id);
    if (disk === undefined) throw notFound("disk", id);
    return disk;
  }

  snapshot(id: string): SnapshotRecord {
    const snapshot = this.snapshots.get(id);
    if (snapshot === undefined) throw notFound("snapshot", id);
    return snapshot;
  }

  resource(key: ResourceKey): DiskRecord | SnapshotRecord {
    return key.kind === "disk" ? this.disk(key.id) : this.snapshot(key.id);
  }

  liveGrant(key: ResourceKey): GrantRecord | undefined {
    const grant = this.#grants.get(keyText(key));
    return grant !== undefined && new Date(grant.expiresAt) > this.now() ? grant : undefined;
  }

  /** The grant even when it has expired, so that the data plane can say so. */
  anyGrant(key: ResourceKey): GrantRecord | undefined {
    return this.#grants.get(keyText(key));
  }

  liveGrants(): GrantRecord[] {
    return [...this.#grants.values()].filter((grant) => new Date(grant.expiresAt) > this.now());
  }

  putGrant(grant: GrantRecord): void {
    this.#grants.set(keyText(grant), grant);
  }

  dropGrant(key: ResourceKey): void {
    this.#grants.delete(keyText(key));
  }

  /** Bytes that hold data in what a layer shows; remembered while nothing is written. */
  allocatedBytes(layerId: string): number {
    const stamp = this.layers
      .stack(layerId)
      .map((layer) => `${layer.id}@${layer.map.version}`)
      .join();
    const known = this.#allocated.get(layerId);
    if (known?.stamp === stamp) return known.bytes;
    const ranges = this.layers.allocated(layerId, 0, Number.MAX_SAFE_INTEGER);
    const sectors = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    const bytes = sectors * sectorSizeBytes;
    this.#allocated.set(layerId, { stamp, bytes });
    return bytes;
  }

  /** After a deletion: joins or removes layers that no disk and no snapshot points at. */
  async collectLayers(): Promise<void> {
    // Joining writes into layers of what was deleted: first the catalogue must forget it for good.
    await this.#save();
    const owners = [...this.disks.values(), ...this.snapshots.values()];
    const { replaced, obsolete } = await this.layers.collect(
      new Set(owners.map((owner) => owner.layerId)),
    );
    for (const owner of owners) {
      let layerId: string | undefined = owner.layerId;
      while ((layerId = replaced.get(owner.layerId)) !== undefined) owner.layerId = layerId;
    }
    // The files go only after the catalogue no longer names them: a kill must not lose them early.
    await this.#save();
    for (const layer of obsolete) {
      this.#allocated.delete(layer.id);
      await layer.remove();
    }
  }

  async createLayer(parentId: string | null): Promise<string> {
    const id = Buffer.from(this.random(8)).toString("hex");
    await this.layers.create(id, parentId);
    return id;
  }

  newGuid(): string {
    const bytes = Buffer.from(this.random(16));
    bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
    bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
    return bytes
      .toString("hex")
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, (_, ...parts) => parts.slice(0, 5).join("-"));
  }

  /** A name for a path segment of the data plane, as unguessable as Azure's. */
  newName(byteCount: number): string {
    return Buffer.from(this.random(byteCount)).toString("hex");
  }

  async close(): Promise<void> {
    await this.#queue.run(() => this.layers.close());
  }

  async #save(): Promise<void> {
    await writeCatalogue(this.#path, {
      version: 1,
      sasKey: Buffer.from(this.sasKey).toString("base64"),
      layers: this.layers.links(),
      disks: [...this.disks.values()],
      snapshots: [...this.snapshots.values()],
      grants: [...this.#grants.values()],
    });
  }
}

function keyText({ kind, id }: ResourceKey): string {
  return `${kind}:${id}`;
}
