import * as fc from "fast-check";
import { expect, it } from "vitest";
import { DiskPointReader, type WrittenDiskPoint } from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import {
  SECTOR,
  TestDisk,
  backUp,
  failureOf,
  newRepository,
  restore,
  seededRandom,
  signal,
} from "./fixtures.ts";

const BLOCK = 4096;

interface Change {
  readonly kind: "write" | "clear";
  readonly at: number;
  readonly sectorCount: number;
  readonly content: "random" | "text" | "zeros";
}

const change = fc.record({
  kind: fc.constantFrom("write", "write", "clear"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  sectorCount: fc.integer({ min: 1, max: 40 }),
  content: fc.constantFrom("random", "text", "zeros"),
}) satisfies fc.Arbitrary<Change>;

function apply(disk: TestDisk, changes: readonly Change[], seed: string): void {
  const sectorTotal = disk.bytes.length / SECTOR;
  changes.forEach((each, position) => {
    const sector = Math.min(sectorTotal - 1, Math.floor(each.at * sectorTotal));
    const sectorCount = Math.min(each.sectorCount, sectorTotal - sector);
    if (each.kind === "clear") return disk.clear(sector, sectorCount);
    const lengthBytes = sectorCount * SECTOR;
    const content =
      each.content === "random"
        ? seededRandom(`${seed}/${position}`)(lengthBytes)
        : Buffer.alloc(lengthBytes, each.content === "text" ? `${seed} holdfast ` : 0);
    return disk.write(sector, content);
  });
}

it("restores what was backed up, for any disk and any chain of changes", async () => {
  await fc.assert(
    fc.asyncProperty(
      // Up to three leaves of 4 MiB each; rarely a multiple of the block.
      fc.integer({ min: 1, max: 20_000 }),
      fc.array(fc.array(change, { maxLength: 12 }), { minLength: 1, maxLength: 4 }),
      async (sectorTotal, generations) => {
        const repository = await newRepository(new MemoryStore());
        const disk = new TestDisk(sectorTotal * SECTOR);
        const images: Buffer[] = [];
        const points: WrittenDiskPoint[] = [];
        for (const [generation, changes] of generations.entries()) {
          apply(disk, changes, `g${generation}`);
          const changed = disk.takeChanges();
          const parent = points.at(-1);
          const ranges =
            parent === undefined ? disk.full() : disk.incremental(parent.reference, changed, 3);
          points.push(await backUp(repository, disk, `p${generation}`, ranges));
          images.push(Buffer.from(disk.bytes));
        }
        expect(points.every((point) => !point.changeHintWrong)).toBe(true);
        for (const [position, point] of points.entries()) {
          const restored = await restore(repository, point.reference);
          expect(restored.equals(images[position]!)).toBe(true);
        }
      },
    ),
    { numRuns: 40 },
  );
});

it("reads any range of a point correctly through cache and read-ahead", async () => {
  const repository = await newRepository(new MemoryStore());
  const disk = new TestDisk(5 * 1024 * 1024 + SECTOR);
  disk.write(10, seededRandom("a")(3 * 1024 * 1024));
  const { reference } = await backUp(repository, disk, "p", disk.full());
  const options = { cacheBytes: 2 * 1024 * 1024 };
  const reader = await DiskPointReader.open(repository, reference, signal, options);
  const range = fc
    .tuple(fc.nat(disk.bytes.length - 1), fc.integer({ min: 1, max: 2_000_000 }))
    .map(([offsetBytes, length]) => ({
      offsetBytes,
      lengthBytes: Math.min(length, disk.bytes.length - offsetBytes),
    }));
  await fc.assert(
    fc.asyncProperty(range, async ({ offsetBytes, lengthBytes }) => {
      const found = await reader.read({ offsetBytes, lengthBytes }, signal);
      const expected = disk.bytes.subarray(offsetBytes, offsetBytes + lengthBytes);
      expect(expected.equals(found)).toBe(true);
    }),
    { numRuns: 30 },
  );
  const outside = { offsetBytes: disk.bytes.length - 1, lengthBytes: 2 };
  expect(await failureOf(reader.read(outside, signal))).toBe("OutsideOfDisk");
});

it("stores nothing for an all-zero disk, allocated or not", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = new TestDisk(1024 * 1024);
  const untouched = await backUp(repository, disk, "p1", disk.full());
  expect(untouched.stats).toMatchObject({ readBytes: 0, storedBytes: 0, blockCount: 0 });
  disk.write(0, new Uint8Array(disk.bytes.length));
  const allocated = await backUp(repository, disk, "p2", disk.full());
  expect(allocated.stats).toMatchObject({ zeroBytes: 1024 * 1024, storedBytes: 0 });
  expect([...store.objects.keys()].filter((name) => /packs|indexes/.test(name))).toEqual([]);
  expect((await restore(repository, allocated.reference)).equals(disk.bytes)).toBe(true);
});

it("reads only changed blocks, clipped to the disk, and joins neighbours", async () => {
  const repository = await newRepository(new MemoryStore());
  const disk = new TestDisk(100 * BLOCK + SECTOR);
  disk.write(0, seededRandom("all")(disk.bytes.length));
  const first = await backUp(repository, disk, "p1", disk.full());
  disk.takeChanges();
  disk.write(9, seededRandom("x")(SECTOR));
  disk.write(16, seededRandom("y")(2 * SECTOR));
  disk.write(800, seededRandom("z")(SECTOR));
  disk.clear(400, 8);
  disk.clear(420, 8);
  disk.reads.length = 0;
  const ranges = disk.incremental(first.reference, disk.takeChanges());
  const second = await backUp(repository, disk, "p2", ranges);
  expect(disk.reads).toEqual([
    { offsetBytes: BLOCK, lengthBytes: 2 * BLOCK },
    { offsetBytes: 52 * BLOCK, lengthBytes: 2 * BLOCK },
    { offsetBytes: 100 * BLOCK, lengthBytes: SECTOR },
  ]);
  expect(second.stats).toMatchObject({
    readBytes: 4 * BLOCK + SECTOR,
    zeroBytes: BLOCK,
    changedBytes: 5 * BLOCK + SECTOR,
    blockCount: 6,
  });
  expect((await restore(repository, second.reference)).equals(disk.bytes)).toBe(true);
});

it("stores nothing for content that is the same behind a change hint", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = new TestDisk(64 * BLOCK);
  disk.write(0, seededRandom("all")(disk.bytes.length));
  const first = await backUp(repository, disk, "p1", disk.full());
  const objectCount = store.objects.size;
  const everything = disk.takeChanges();
  const ranges = disk.incremental(first.reference, everything);
  const second = await backUp(repository, disk, "p2", ranges);
  expect(second.stats).toMatchObject({ storedBytes: 0, unchangedBytes: 64 * BLOCK });
  expect(store.objects.size).toBe(objectCount + 1);
  const again = await backUp(repository, disk, "p3", disk.full());
  expect(again.stats).toMatchObject({ storedBytes: 0, unchangedBytes: 64 * BLOCK });
});

it("reads at most the sampled blocks of a disk on which nothing changed", async () => {
  const repository = await newRepository(new MemoryStore());
  const disk = new TestDisk(300 * BLOCK);
  disk.write(0, seededRandom("all")(disk.bytes.length));
  const first = await backUp(repository, disk, "p1", disk.full());
  disk.reads.length = 0;
  const sampled = await backUp(repository, disk, "p2", disk.incremental(first.reference, [], 16));
  const readBytes = disk.reads.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
  expect(readBytes).toBeGreaterThan(0);
  expect(readBytes).toBeLessThanOrEqual(16 * BLOCK);
  expect(sampled.stats).toMatchObject({ readBytes, changedBytes: 0, storedBytes: 0 });
  disk.reads.length = 0;
  await backUp(repository, disk, "p3", disk.incremental(sampled.reference, [], 0));
  expect(disk.reads).toEqual([]);
});

it("turns to a full read when a sample contradicts the change list", async () => {
  const repository = await newRepository(new MemoryStore());
  const disk = new TestDisk(300 * BLOCK);
  disk.write(0, seededRandom("all")(disk.bytes.length));
  const first = await backUp(repository, disk, "p1", disk.full());
  disk.write(0, seededRandom("other")(disk.bytes.length));
  const hidden = disk.incremental(first.reference, [], 16);
  const second = await backUp(repository, disk, "p2", hidden);
  expect(second).toMatchObject({
    changeHintWrong: true,
    kind: "full",
    fullReason: "change-hint-wrong",
  });
  expect((await restore(repository, second.reference)).equals(disk.bytes)).toBe(true);
});

it("reads everything when the parent cannot be read, and heals it", async () => {
  for (const kind of ["points", "indexes"]) {
    const store = new MemoryStore();
    const repository = await newRepository(store);
    const disk = new TestDisk(50 * BLOCK);
    disk.write(0, seededRandom("all")(disk.bytes.length));
    const first = await backUp(repository, disk, "p1", disk.full());
    for (const [name, object] of store.objects)
      if (name.includes(`/${kind}/`)) object.bytes[70]! ^= 1;
    disk.takeChanges();
    disk.write(0, seededRandom("new")(SECTOR));
    const ranges = disk.incremental(first.reference, disk.takeChanges());
    const second = await backUp(repository, disk, "p2", ranges);
    expect(second).toMatchObject({ kind: "full", fullReason: "parent-unreadable" });
    expect(second.reference.sequence).toBe(2);
    expect((await restore(repository, second.reference)).equals(disk.bytes)).toBe(true);
  }
});

it.each(["untouched", "written", "cleared"])(
  "follows a disk that grows, its tail %s",
  async (tail) => {
    const repository = await newRepository(new MemoryStore());
    const disk = new TestDisk(10 * BLOCK + 3 * SECTOR);
    disk.write(0, seededRandom("all")(disk.bytes.length));
    const first = await backUp(repository, disk, "p1", disk.full());
    disk.takeChanges();
    disk.bytes = Buffer.concat([disk.bytes, Buffer.alloc(5000 * BLOCK)]);
    disk.write(30_000, seededRandom("far")(SECTOR));
    if (tail === "written") disk.write(81, seededRandom("tail")(4 * SECTOR));
    if (tail === "cleared") disk.clear(60, 900);
    const ranges = disk.incremental(first.reference, disk.takeChanges(), 5);
    const second = await backUp(repository, disk, "p2", ranges);
    expect(second).toMatchObject({ kind: "incremental", changeHintWrong: false });
    expect((await restore(repository, second.reference)).equals(disk.bytes)).toBe(true);
  },
);

it("keeps newer points readable when older ones are deleted", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = new TestDisk(200 * BLOCK);
  disk.write(0, seededRandom("all")(disk.bytes.length));
  let newest = await backUp(repository, disk, "p0", disk.full());
  for (let generation = 1; generation < 5; generation++) {
    disk.takeChanges();
    disk.write(generation * 100, seededRandom(`g${generation}`)(SECTOR));
    const ranges = disk.incremental(newest.reference, disk.takeChanges());
    newest = await backUp(repository, disk, `p${generation}`, ranges);
    await store.delete(
      `disks/disk-1/points/${String(generation).padStart(10, "0")}.manifest`,
      signal,
    );
  }
  expect((await restore(repository, newest.reference)).equals(disk.bytes)).toBe(true);
});

it("refuses sizes and names that cannot be stored", async () => {
  const repository = await newRepository(new MemoryStore());
  const disk = new TestDisk(BLOCK);
  const ranges = disk.full();
  const write = (options: object) => failureOf(backUp(repository, disk, "p", ranges, options));
  expect(await write({ sizeBytes: 1000 })).toBe("InvalidDiskSize");
  expect(await write({ sizeBytes: 0 })).toBe("InvalidDiskSize");
  expect(await write({ diskId: "../x" })).toBe("InvalidRepositoryName");
  expect(await write({ pointId: "a/b" })).toBe("InvalidRepositoryName");
});
