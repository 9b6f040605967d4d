import { expect } from "vitest";
import {
  checkRepository,
  commitVmPoint,
  type CheckReport,
  type CheckRepositoryOptions,
  type Repository,
  type WrittenDiskPoint,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { SECTOR, TestDisk, backUp, newRepository, seededRandom, signal } from "../fixtures.ts";

export const BLOCK_SECTORS = 4096 / SECTOR;
export const BLOCK_BYTES = 4096;

/** Blocks of one point lie in one pack, in order. */
const ONE_PACK = { maxReadBytes: 16 * 1024, windowBytes: 16 * 1024, packBytes: 256 * 1024 };

export interface Scene {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly disk: TestDisk;
  readonly points: WrittenDiskPoint[];
}

export async function check(
  repository: Repository,
  options: Partial<CheckRepositoryOptions> = {},
): Promise<CheckReport> {
  const random = seededRandom("check");
  const all = { level: "complete", samplePercent: 100, random, ...options } as const;
  return checkRepository(repository, all, signal);
}

/** What matters of each finding, in one line. */
export function summaryOf({ findings }: Pick<CheckReport, "findings">): string[] {
  return findings.map(({ kind, object, blocks, affectedPoints }) => {
    const place = blocks === undefined ? "" : ` ${blocks.first}+${blocks.count}`;
    const points = affectedPoints.map(({ pointId }) => pointId).join(",");
    return `${kind} ${object}${place} [${points}]`;
  });
}

export async function commitVm(
  repository: Repository,
  pointId: string,
  written: readonly WrittenDiskPoint[],
  vmId = "vm-1",
): Promise<void> {
  await commitVmPoint(
    repository,
    {
      vmId,
      pointId,
      takenAt: new Date(0),
      vm: { name: vmId },
      disks: written.map(({ reference, manifest }, position) => ({
        lun: position === 0 ? "os" : position - 1,
        sizeBytes: manifest.sizeBytes,
        diskPoint: reference,
      })),
      random: seededRandom(`${vmId}/${pointId}`),
      now: () => new Date(0),
    },
    signal,
  );
}

export async function backUpNext(scene: Scene, pointId: string): Promise<WrittenDiskPoint> {
  const { repository, disk, points } = scene;
  const parent = points.at(-1);
  const ranges =
    parent === undefined ? disk.full() : disk.incremental(parent.reference, disk.takeChanges());
  const written = await backUp(repository, disk, pointId, ranges, { limits: ONE_PACK });
  disk.takeChanges();
  points.push(written);
  await commitVm(repository, pointId, [written]);
  return written;
}

/** Three points of one disk of 40 blocks; the second and the third change one block each. */
export async function threePoints(): Promise<Scene> {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = new TestDisk(40 * BLOCK_BYTES);
  disk.write(0, seededRandom("a")(20 * BLOCK_BYTES));
  const scene: Scene = { store, repository, disk, points: [] };
  await backUpNext(scene, "p1");
  disk.write(3 * BLOCK_SECTORS, seededRandom("b")(BLOCK_BYTES));
  await backUpNext(scene, "p2");
  disk.write(30 * BLOCK_SECTORS, seededRandom("c")(BLOCK_BYTES));
  await backUpNext(scene, "p3");
  return scene;
}

/** The only object whose name matches, or the one at a position among several. */
export function nameOf(store: MemoryStore, pattern: RegExp, position = 0): string {
  const names = [...store.objects.keys()].filter((name) => pattern.test(name)).sort();
  const name = names[position];
  expect(name, `${pattern} among ${names.length}`).toBeDefined();
  return name ?? "";
}

export function edit(store: MemoryStore, name: string, change: (bytes: Buffer) => Uint8Array) {
  const object = store.objects.get(name);
  if (object === undefined) throw new Error(`no object ${name}`);
  store.objects.set(name, { ...object, bytes: change(Buffer.from(object.bytes)) });
}

export function flip(store: MemoryStore, name: string, position: number, bit = 1): void {
  edit(store, name, (bytes) => {
    bytes.writeUInt8(bytes.readUInt8(position) ^ bit, position);
    return bytes;
  });
}
