import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, it } from "vitest";
import { BlockMap } from "#core/repository/block-map.ts";
import { readReferencedDiskPoint } from "#core/repository/disk-points.ts";
import { SHARED_FRAMES } from "#core/repository/format/descriptor.ts";
import { liveBytesOf, type BlockEntry } from "#core/repository/format/leaf.ts";
import {
  openRepository,
  type DiskPointReference,
  type Repository,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import {
  SECTOR,
  TestDisk,
  backUp,
  newRepository,
  restore,
  seededRandom,
  signal,
} from "../fixtures.ts";

const BLOCK = 4096;
const SECTORS = BLOCK / SECTOR;
/** Four blocks are read, and so stored, together. */
const limits = { maxReadBytes: 4 * BLOCK, windowBytes: 64 * BLOCK, packBytes: 64 * BLOCK };

async function entriesOf(repository: Repository, reference: DiskPointReference) {
  const point = await readReferencedDiskPoint(repository, reference, signal);
  const map = await BlockMap.open(repository, point, signal);
  const leaf = (await map.readLeaf(0, signal)) ?? [];
  return { leaf, packs: map.root.packs };
}

function shapeOf(entry: BlockEntry | undefined): string {
  return entry === undefined ? "zero" : `${entry.position}/${entry.frameBlocks}`;
}

it("stores neighbours together, in aligned pieces wherever the ranges begin", async () => {
  const repository = await newRepository(new MemoryStore());
  const disk = new TestDisk(13 * BLOCK);
  disk.write(3 * SECTORS, seededRandom("data")(8 * BLOCK));
  disk.write(6 * SECTORS, Buffer.alloc(BLOCK));
  const { reference } = await backUp(repository, disk, "p1", disk.full(), { limits });
  const { leaf } = await entriesOf(repository, reference);
  // Block 6 is zero: the frame around it holds three blocks.
  const shapes = leaf.slice(0, 13).map(shapeOf);
  expect(shapes.slice(0, 4)).toEqual(["zero", "zero", "zero", "0/1"]);
  expect(shapes.slice(4, 8)).toEqual(["0/3", "1/3", "zero", "2/3"]);
  expect(shapes.slice(8)).toEqual(["0/3", "1/3", "2/3", "zero", "zero"]);
  expect((await restore(repository, reference)).equals(disk.bytes)).toBe(true);
});

it("counts a frame as used by the share of its blocks that a point uses", async () => {
  const repository = await newRepository(new MemoryStore());
  const disk = new TestDisk(8 * BLOCK);
  disk.write(0, seededRandom("data")(8 * BLOCK));
  const first = await backUp(repository, disk, "p1", disk.full(), { limits });
  const before = await entriesOf(repository, first.reference);
  const [packId = ""] = before.packs.keys();
  const usedBytes = before.packs.get(packId)?.liveBytes ?? 0;
  expect(usedBytes).toBe(first.stats.storedBytes);
  disk.takeChanges();
  disk.write(SECTORS, seededRandom("change")(2 * BLOCK));
  const ranges = disk.incremental(first.reference, disk.takeChanges());
  const second = await backUp(repository, disk, "p2", ranges, { limits });
  const after = await entriesOf(repository, second.reference);
  const kept = after.leaf.filter((entry) => entry?.packId === packId);
  expect(kept.map(shapeOf)).toEqual(["0/4", "3/4", "0/4", "1/4", "2/4", "3/4"]);
  const keptBytes = kept.reduce((sum, entry) => sum + (entry ? liveBytesOf(entry) : 0), 0);
  expect(after.packs.get(packId)?.liveBytes).toBe(keptBytes);
  expect(keptBytes).toBeLessThan(0.8 * usedBytes);
  expect(keptBytes).toBeGreaterThan(0.7 * usedBytes);
  expect((await restore(repository, first.reference)).equals(disk.bytes)).toBe(false);
  expect((await restore(repository, second.reference)).equals(disk.bytes)).toBe(true);
});

it("gives every block a frame of its own where the repository does not know shared ones", async () => {
  const folder = join(import.meta.dirname, "../../../../vectors/repository/v1/encrypted");
  const store = new MemoryStore();
  for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const path = join(file.parentPath, file.name);
    await store.create(relative(folder, path), readFileSync(path), signal);
  }
  const secret = { kind: "password", password: "correct horse battery staplé" } as const;
  const repository = await openRepository(store, secret, signal);
  expect(repository.descriptor.features.read).not.toContain(SHARED_FRAMES);
  const disk = new TestDisk(8 * BLOCK);
  disk.write(0, seededRandom("data")(8 * BLOCK));
  const written = await backUp(repository, disk, "new", disk.full(), {
    diskId: "disk-new",
    limits,
  });
  const { leaf } = await entriesOf(repository, written.reference);
  expect(leaf.slice(0, 8).map(shapeOf)).toEqual(Array.from({ length: 8 }, () => "0/1"));
  expect((await restore(repository, written.reference)).equals(disk.bytes)).toBe(true);
});
