/** A VM with one disk, its backups over time, and what every restore point must give back. */
import { expect } from "vitest";
import { BlockMap } from "#core/repository/block-map.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { listDiskPointSequences } from "#core/repository/disk-points.ts";
import { objectNames } from "#core/repository/format/layout.ts";
import {
  collectGarbage,
  commitVmPoint,
  expireVmPoints,
  listVmPoints,
  readDiskPoint,
  readVmPoint,
  type Repository,
  type WriteDiskPointOptions,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { TestDisk, backUp, newRepository, restore, seededRandom, signal } from "../fixtures.ts";

export const BLOCK = 4096;
const BLOCK_COUNT = 48;
const SECTORS_PER_BLOCK = 8;
const DAY_MS = 24 * 60 * 60 * 1000;
export const DISK = "disk-1";
export const VM = "vm-1";

export class VmWorld {
  nowMs = Date.parse("2026-03-01T00:00:00Z");
  /** Disks that the VM still has. */
  activeDiskIds: readonly string[] = [DISK];
  store = new MemoryStore(() => this.now());
  /** Key and descriptor; `through` says which store is used. */
  #opened: Repository | undefined;
  /** Content of the disk by point id. */
  readonly images = new Map<string, Buffer>();
  #processCount = 0;

  now(): Date {
    return new Date(this.nowMs);
  }

  passDays(days: number): void {
    this.nowMs += days * DAY_MS;
  }

  static async create(): Promise<VmWorld> {
    const world = new VmWorld();
    world.#opened = await newRepository(world.store);
    return world;
  }

  through(store: BlobStore = this.store): Repository {
    if (this.#opened === undefined) throw new Error("not created");
    return { ...this.#opened, store };
  }

  /** The same repository and time, to be changed apart. */
  copy(): VmWorld {
    const world = new VmWorld();
    world.nowMs = this.nowMs;
    world.activeDiskIds = this.activeDiskIds;
    world.#opened = this.#opened;
    world.#processCount = this.#processCount;
    for (const [name, object] of this.store.objects) world.store.objects.set(name, object);
    for (const [pointId, image] of this.images) world.images.set(pointId, image);
    return world;
  }

  /** Random bytes that no other process has. */
  random(): (byteCount: number) => Uint8Array {
    return seededRandom(`process ${this.#processCount++}`);
  }

  /** Blocks of the disk that differ from a point's, by number; seeded content. */
  change(fromPointId: string | undefined, seed: string, blocks: readonly number[]): Buffer {
    const from = fromPointId === undefined ? undefined : this.images.get(fromPointId);
    const image = Buffer.from(from ?? Buffer.alloc(BLOCK_COUNT * BLOCK));
    for (const block of blocks) image.set(seededRandom(`${seed}/${block}`)(BLOCK), block * BLOCK);
    return image;
  }

  /** One backup of the VM; the image becomes what the point must give back. */
  async backUp(
    backup: {
      readonly pointId: string;
      readonly image: Buffer;
      readonly parentId?: string;
      readonly changed?: readonly number[];
    } & Partial<
      Pick<WriteDiskPointOptions, "wait" | "immutableUntil" | "carryForward" | "diskId" | "random">
    >,
    store: BlobStore = this.store,
  ) {
    const { pointId, image, parentId, changed = [], ...options } = backup;
    const repository = this.through(store);
    const disk = new TestDisk(image.length);
    disk.write(0, image);
    const parent =
      parentId === undefined ? undefined : await readVmPoint(repository, VM, parentId, signal);
    const parentDisk = parent?.disks[0]?.diskPoint;
    const ranges =
      parentDisk === undefined
        ? disk.full()
        : disk.incremental(
            parentDisk,
            changed.map((block) => ({
              kind: "data",
              offsetBytes: block * BLOCK,
              lengthBytes: SECTORS_PER_BLOCK * 512,
            })),
          );
    this.images.set(pointId, image);
    const random = options.random ?? this.random();
    const written = await backUp(repository, disk, pointId, ranges, {
      ...options,
      random,
      now: () => this.now(),
    });
    const { immutableUntil } = options;
    await commitVmPoint(
      repository,
      {
        vmId: VM,
        pointId,
        takenAt: this.now(),
        vm: { name: "web" },
        disks: [{ lun: "os", sizeBytes: image.length, diskPoint: written.reference }],
        random,
        now: () => this.now(),
        ...(immutableUntil === undefined ? {} : { immutableUntil }),
      },
      signal,
    );
    return { ...written, reads: disk.reads };
  }

  async expire(pointIds: readonly string[], store: BlobStore = this.store) {
    const points = pointIds.map((pointId) => ({ vmId: VM, pointId }));
    const options = { points, activeDiskIds: this.activeDiskIds, now: () => this.now() };
    return expireVmPoints(this.through(store), options, signal);
  }

  async collect(store: BlobStore = this.store) {
    const options = { now: () => this.now(), random: this.random() };
    return collectGarbage(this.through(store), options, signal);
  }

  /** Enough collections, far enough apart, that all garbage of now is gone. */
  async collectAll(): Promise<void> {
    for (let run = 0; run < 3; run++) {
      this.passDays(8);
      await this.collect();
    }
  }

  async pointIds(): Promise<string[]> {
    const found: string[] = [];
    for await (const { pointId } of listVmPoints(this.through(), VM, signal)) found.push(pointId);
    return found;
  }

  /** Every visible point restores byte for byte, and everything that it names is there. */
  async requireIntact(): Promise<string[]> {
    const repository = this.through();
    const pointIds = await this.pointIds();
    for (const pointId of pointIds) {
      const point = await readVmPoint(repository, VM, pointId, signal);
      for (const { diskPoint } of point.disks) {
        const content = await restore(repository, diskPoint);
        expect(content.equals(this.images.get(pointId)!), `content of ${pointId}`).toBe(true);
      }
    }
    const names = new Set(this.store.objects.keys());
    for (const name of await this.#needed()) expect(names).toContain(name);
    return pointIds;
  }

  /** Objects of the disk that some disk point needs. */
  async #needed(): Promise<Set<string>> {
    const repository = this.through();
    const needed = new Set<string>();
    for (const sequence of await listDiskPointSequences(repository, DISK, signal)) {
      const point = await readDiskPoint(repository, DISK, sequence, signal);
      const { root } = await BlockMap.open(repository, point, signal);
      for (const packId of root.packs.keys()) needed.add(objectNames.pack(DISK, packId));
      for (const indexId of root.indexes.keys()) needed.add(objectNames.index(DISK, indexId));
      const reference = point.manifest.root;
      if (reference !== null) needed.add(objectNames.index(DISK, reference.indexId));
    }
    return needed;
  }

  /**
   * Names of what nobody needs: packs, indexes, attempts and garbage lists that no disk point names,
   * and disk points that no VM point names, but for the newest one of an active disk.
   */
  async leftovers(): Promise<string[]> {
    const needed = await this.#needed();
    for (const name of await this.#namedDiskPoints()) needed.add(name);
    return [...this.store.objects.keys()].filter(
      (name) =>
        /^disks\/[^/]+\/(packs|indexes|attempts|garbage|points)\//.test(name) && !needed.has(name),
    );
  }

  async #namedDiskPoints(): Promise<string[]> {
    const repository = this.through();
    const named: string[] = [];
    for (const pointId of await this.pointIds()) {
      const { disks } = await readVmPoint(repository, VM, pointId, signal);
      for (const { diskPoint } of disks) {
        named.push(objectNames.diskPoint(diskPoint.diskId, diskPoint.sequence));
      }
    }
    for (const diskId of this.activeDiskIds) {
      const newest = (await listDiskPointSequences(repository, diskId, signal)).at(-1);
      if (newest !== undefined) named.push(objectNames.diskPoint(diskId, newest));
    }
    return named;
  }

  names(part: string): string[] {
    return [...this.store.objects.keys()].filter((name) => name.includes(part)).sort();
  }
}

export const range = (start: number, end: number): number[] =>
  Array.from({ length: end - start }, (_, index) => start + index);

/** Three points a day apart: p1 is a full, p2 and p3 change blocks; then 30 days pass. */
export async function worldOfThreePoints(): Promise<VmWorld> {
  const world = await VmWorld.create();
  const first = world.change(undefined, "first", range(0, 40));
  await world.backUp({ pointId: "p1", image: first });
  world.passDays(1);
  const second = world.change("p1", "second", range(0, 20));
  await world.backUp({ pointId: "p2", image: second, parentId: "p1", changed: range(0, 20) });
  world.passDays(1);
  const third = world.change("p2", "third", range(10, 30));
  await world.backUp({ pointId: "p3", image: third, parentId: "p2", changed: range(10, 30) });
  world.passDays(30);
  return world;
}
