/** One disk of several leaves whose parts are written apart and joined, in a repository in memory. */
import { LEAF_BLOCKS } from "#core/repository/format/layout.ts";
import {
  joinDiskParts,
  writeDiskPart,
  type JoinDiskPartsOptions,
  type Repository,
  type WriteDiskPartOptions,
} from "#core/repository/index.ts";
import type { DiskRange } from "#core/ports/disk-data.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { SECTOR, TestDisk, newRepository, seededRandom, signal } from "../fixtures.ts";

export const BLOCK = 4096;
export const LEAF = BLOCK * LEAF_BLOCKS;
export const DISK = "disk-1";
export const SECTORS_PER_LEAF = LEAF / SECTOR;

/** Parts that begin at these leaves, up to the end of the disk. */
export function partsAt(firstLeaves: readonly number[], sizeBytes: number): DiskRange[] {
  return firstLeaves.map((leaf, number) => {
    const next = firstLeaves[number + 1];
    const endBytes = next === undefined ? sizeBytes : next * LEAF;
    return { offsetBytes: leaf * LEAF, lengthBytes: endBytes - leaf * LEAF };
  });
}

export interface PartsBackup {
  readonly repository: Repository;
  readonly disk: TestDisk;
  readonly pointId: string;
  readonly process: string;
}

export function writePart(
  { repository, disk, pointId, process }: PartsBackup,
  part: DiskRange,
  options: Partial<WriteDiskPartOptions> = {},
) {
  return writeDiskPart(
    repository,
    {
      diskId: DISK,
      pointId,
      sizeBytes: disk.bytes.length,
      source: disk,
      part,
      allocated: () => disk.allocated(),
      random: seededRandom(`${process}/${part.offsetBytes}`),
      now: () => new Date("2026-02-03T04:05:06Z"),
      blockBytes: BLOCK,
      limits: { maxReadBytes: 4 * BLOCK, windowBytes: 16 * BLOCK, packBytes: 16 * BLOCK },
      ...options,
    },
    signal,
  );
}

export function joinParts(
  { repository, disk, pointId, process }: PartsBackup,
  parts: readonly DiskRange[],
  options: Partial<JoinDiskPartsOptions> = {},
) {
  return joinDiskParts(
    repository,
    {
      diskId: DISK,
      pointId,
      sizeBytes: disk.bytes.length,
      parts,
      random: seededRandom(`${process}/join`),
      now: () => new Date("2026-02-03T04:05:06Z"),
      ...options,
    },
    signal,
  );
}

/** Four leaves and a bit, with content in all but the third. */
export function sampleDisk(): TestDisk {
  const disk = new TestDisk(4 * LEAF + 3 * SECTOR);
  for (const leaf of [0, 1, 3]) {
    disk.write(leaf * SECTORS_PER_LEAF, seededRandom(`leaf ${leaf}`)(20 * BLOCK));
  }
  disk.write(4 * SECTORS_PER_LEAF + 1, seededRandom("tail")(2 * SECTOR));
  return disk;
}

export async function scene(now: () => Date = () => new Date(0)) {
  const store = new MemoryStore(now);
  const repository = await newRepository(store);
  const disk = sampleDisk();
  const backup = { repository, disk, pointId: "p1", process: "one" };
  const parts = partsAt([0, 2, 3], disk.bytes.length);
  return { store, repository, disk, backup, parts };
}

export const namesOf = (store: MemoryStore, text: string) =>
  [...store.objects.keys()].filter((name) => name.includes(text));
