import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BlockMap } from "#core/repository/block-map.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import { checkRepository, readDiskPoint } from "#core/repository/index.ts";
import { liveBytesOf } from "#core/repository/format/leaf.ts";
import { objectNames } from "#core/repository/format/layout.ts";
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
} from "../fixtures.ts";
import {
  BLOCK,
  DISK,
  LEAF,
  SECTORS_PER_LEAF,
  joinParts,
  namesOf,
  partsAt,
  sampleDisk,
  scene,
  writePart,
} from "./parts-world.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

/** Live bytes by pack, as the leaves tell them. */
async function countLiveBytes(map: BlockMap): Promise<Map<string, number>> {
  const live = new Map<string, number>();
  for (const leafNumber of map.root.leaves.stored()) {
    for (const entry of (await map.readLeaf(leafNumber, signal)) ?? []) {
      if (entry === undefined) continue;
      live.set(entry.packId, (live.get(entry.packId) ?? 0) + liveBytesOf(entry));
    }
  }
  return live;
}

describe("parts of a disk", () => {
  it("become one point that restores byte for byte, and each read only its own range", async () => {
    const { repository, disk, backup, parts, store } = await scene();
    for (const part of parts) {
      const from = disk.reads.length;
      await writePart(backup, part);
      for (const { offsetBytes, lengthBytes } of disk.reads.slice(from)) {
        expect(offsetBytes).toBeGreaterThanOrEqual(part.offsetBytes);
        expect(offsetBytes + lengthBytes).toBeLessThanOrEqual(part.offsetBytes + part.lengthBytes);
      }
    }
    expect(namesOf(store, "/points/")).toEqual([]);
    const joined = await joinParts(backup, parts);
    expect(joined).toMatchObject({ kind: "full", alreadyCommitted: false });
    expect(joined.reference.sequence).toBe(1);
    expect((await restore(repository, joined.reference)).equals(disk.bytes)).toBe(true);
    const single = await newRepository(new MemoryStore());
    const { stats } = await backUp(single, sampleDisk(), "p1", sampleDisk().full());
    expect(joined.stats).toEqual({ ...stats, storedBytes: joined.stats.storedBytes });
  });

  it("are sound for a health check before and after the join", async () => {
    const { repository, store, backup, parts } = await scene();
    const check = () =>
      checkRepository(
        repository,
        { level: "complete", samplePercent: 100, random: seededRandom("check") },
        signal,
      );
    for (const part of parts) await writePart(backup, part);
    expect((await check()).findings).toEqual([]);
    await joinParts(backup, parts);
    expect((await check()).findings).toEqual([]);
    const [record] = namesOf(store, "-part-");
    store.objects.get(record!)!.bytes[80]! ^= 1;
    expect((await check()).findings).toMatchObject([
      { kind: "unreadable-metadata", object: record, affectedPoints: [] },
    ]);
  });

  it("use the parent's blocks, and its whole leaves, where nothing changed", async () => {
    const { repository, disk, backup, store } = await scene();
    const first = await backUp(repository, disk, "p0", disk.full());
    const indexesBefore = namesOf(store, "/indexes/").length;
    disk.write(3 * SECTORS_PER_LEAF, seededRandom("changed")(BLOCK));
    const parts = partsAt([0, 1, 3], disk.bytes.length);
    for (const part of parts) await writePart(backup, part);
    const joined = await joinParts(backup, parts);
    expect(joined.reference.sequence).toBe(2);
    expect(joined.manifest.parentSequence).toBe(1);
    expect(joined.stats.changedBytes).toBe(BLOCK);
    // One leaf, three roots of parts that have content, the joined root.
    expect(namesOf(store, "/indexes/").length - indexesBefore).toBe(5);
    const { dataKeys } = await readDiskPoint(repository, DISK, 1, signal);
    const point = await readDiskPoint(repository, DISK, 2, signal);
    expect(point.dataKeys).toEqual(dataKeys);
    const before = await BlockMap.open(
      repository,
      await readDiskPoint(repository, DISK, 1, signal),
      signal,
    );
    const map = await BlockMap.open(repository, point, signal);
    expect(map.root.leaves.get(1)).toEqual(before.root.leaves.get(1));
    expect((await restore(repository, joined.reference)).equals(disk.bytes)).toBe(true);
    expect((await restore(repository, first.reference)).equals(disk.bytes)).toBe(false);
  });

  it("seal everything by one data key, whoever came first", async () => {
    const { repository, backup, parts, store } = await scene();
    await Promise.all(
      parts.map((part, number) => writePart({ ...backup, process: `${number}` }, part)),
    );
    const joined = await joinParts(backup, parts);
    expect(joined.manifest.dataKeys).toHaveLength(1);
    expect(namesOf(store, "/attempts/").filter((name) => !name.includes("-part-"))).toEqual([
      objectNames.attempt(DISK, 1),
    ]);
    expect((await restore(repository, joined.reference)).equals(backup.disk.bytes)).toBe(true);
  });

  it("are found by a retry, which reads nothing, also after the join", async () => {
    const { disk, backup, parts } = await scene();
    const written = await writePart(backup, parts[0]!);
    const reads = disk.reads.length;
    const again = await writePart({ ...backup, process: "two" }, parts[0]!);
    expect(again).toEqual({ stats: written.stats, alreadyWritten: true });
    for (const part of parts.slice(1)) await writePart(backup, part);
    const joined = await joinParts(backup, parts);
    const readsAfter = disk.reads.length;
    expect(await writePart({ ...backup, process: "three" }, parts[2]!)).toMatchObject({
      alreadyWritten: true,
    });
    expect(disk.reads.length).toBe(readsAfter);
    expect(reads).toBeLessThan(readsAfter);
    const twice = await joinParts({ ...backup, process: "two" }, parts);
    expect(twice).toMatchObject({ reference: joined.reference, alreadyCommitted: true });
  });

  it("go on with what a dead worker had sealed of the same part", async () => {
    const { store, repository, disk, backup } = await scene();
    const parts = partsAt([0, 1], disk.bytes.length);
    store.beforeOperation = (operation, name) => {
      if (operation === "create" && name.includes("/indexes/"))
        throw new HoldfastError("Dead", "dead");
    };
    expect(await failureOf(writePart(backup, parts[1]!))).toBe("Dead");
    store.beforeOperation = () => undefined;
    const again = await writePart({ ...backup, process: "two" }, parts[1]!);
    expect(again.stats).toMatchObject({ storedBytes: 0, changedBytes: 0 });
    await writePart(backup, parts[0]!);
    const joined = await joinParts(backup, parts);
    expect((await restore(repository, joined.reference)).equals(disk.bytes)).toBe(true);
  });

  it("of an empty disk make an empty point", async () => {
    const repository = await newRepository(new MemoryStore());
    const disk = new TestDisk(2 * LEAF);
    const backup = { repository, disk, pointId: "p1", process: "one" };
    const parts = partsAt([0, 1], disk.bytes.length);
    for (const part of parts) await writePart(backup, part);
    const joined = await joinParts(backup, parts);
    expect(joined.manifest.root).toBeNull();
    expect((await restore(repository, joined.reference)).equals(disk.bytes)).toBe(true);
  });

  it("lock what the point needs until it expires, and not their own roots and records", async () => {
    const now = () => new Date("2026-03-01T00:00:00Z");
    const { store, repository, disk, backup, parts } = await scene(now);
    await backUp(repository, disk, "p0", disk.full());
    disk.write(0, seededRandom("changed")(BLOCK));
    const immutableUntil = new Date(now().getTime() + 5 * DAY_MS);
    for (const part of parts) await writePart(backup, part, { immutableUntil });
    const { reference } = await joinParts(backup, parts, { immutableUntil });
    const point = await readDiskPoint(repository, DISK, reference.sequence, signal);
    const { root } = await BlockMap.open(repository, point, signal);
    const needed = [
      ...[...root.packs.keys()].map((id) => objectNames.pack(DISK, id)),
      ...[...root.indexes.keys()].map((id) => objectNames.index(DISK, id)),
      objectNames.index(DISK, point.manifest.root?.indexId ?? ""),
      objectNames.diskPoint(DISK, reference.sequence),
    ];
    for (const name of needed) {
      expect(store.objects.get(name)?.immutableUntil?.getTime()).toBeGreaterThanOrEqual(
        immutableUntil.getTime(),
      );
    }
    for (const name of namesOf(store, "-part-")) {
      expect(store.objects.get(name)?.immutableUntil).toBeUndefined();
    }
    expect([...root.packs.values()].every((use) => use.immutableUntilDay > 0)).toBe(true);
  });

  it("store again what the parent holds damaged, and count it", async () => {
    const { repository, disk, backup, parts, store } = await scene();
    await backUp(repository, disk, "p0", disk.full());
    const spoilt = namesOf(store, "/packs/")[0]!;
    store.objects.get(spoilt)!.bytes[100]! ^= 1;
    const quarantine = { now: new Date(0), foundBy: "test" };
    const random = seededRandom("check");
    await checkRepository(
      repository,
      { level: "complete", samplePercent: 100, random, quarantine },
      signal,
    );
    for (const part of parts) await writePart(backup, part);
    const joined = await joinParts(backup, parts);
    expect(joined.healedBlocks).toBeGreaterThan(0);
    expect(joined.stats.changedBytes).toBe(joined.healedBlocks * BLOCK);
    expect((await restore(repository, joined.reference)).equals(disk.bytes)).toBe(true);
  });

  it("round trip for random sparse disks, parts and parents, with exact live bytes", async () => {
    const write = fc.record({
      sector: fc.integer({ min: 0, max: 5 * SECTORS_PER_LEAF - 17 }),
      sectors: fc.integer({ min: 1, max: 16 }),
    });
    const plan = fc.record({
      before: fc.array(write, { maxLength: 5 }),
      after: fc.array(write, { maxLength: 5 }),
      hasParent: fc.boolean(),
      firstLeaves: fc.uniqueArray(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }),
      tailSectors: fc.integer({ min: 1, max: 40 }),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ before, after, hasParent, tailSectors, seed, ...rest }) => {
        const repository = await newRepository(new MemoryStore(), `${seed}`);
        const disk = new TestDisk(4 * LEAF + tailSectors * SECTOR);
        const change = (writes: typeof before, name: string) => {
          for (const [number, { sector, sectors }] of writes.entries()) {
            const at = Math.min(sector, disk.bytes.length / SECTOR - sectors);
            disk.write(at, seededRandom(`${seed}/${name}/${number}`)(sectors * SECTOR));
          }
        };
        change(before, "before");
        if (hasParent) await backUp(repository, disk, "p0", disk.full());
        change(after, "after");
        const firstLeaves = [0, ...rest.firstLeaves.sort((left, right) => left - right)];
        const parts = partsAt(firstLeaves, disk.bytes.length);
        const backup = { repository, disk, pointId: "p1", process: "one" };
        await Promise.all(parts.map((part) => writePart(backup, part)));
        const { reference } = await joinParts(backup, [...parts].reverse());
        expect((await restore(repository, reference)).equals(disk.bytes)).toBe(true);
        const point = await readDiskPoint(repository, DISK, reference.sequence, signal);
        const map = await BlockMap.open(repository, point, signal);
        const live = [...map.root.packs].map(([id, use]) => [id, use.liveBytes] as const);
        expect(new Map(live)).toEqual(await countLiveBytes(map));
      }),
      { numRuns: 25 },
    );
  });
});

describe("a part refuses", () => {
  it.each([
    { offsetBytes: BLOCK, lengthBytes: LEAF },
    { offsetBytes: 0, lengthBytes: LEAF - BLOCK },
    { offsetBytes: 4 * LEAF, lengthBytes: LEAF },
    { offsetBytes: LEAF, lengthBytes: 0 },
  ])("bytes that are no whole leaves of the disk: %o", async (part) => {
    const { backup } = await scene();
    expect(await failureOf(writePart(backup, part))).toBe("InvalidDiskPart");
  });

  it("a record of its own that was written against another point", async () => {
    const { repository, disk, backup, parts, store } = await scene();
    await backUp(repository, disk, "p0", disk.full());
    await writePart(backup, parts[0]!);
    const manifest = objectNames.diskPoint(DISK, 1);
    store.objects.delete(manifest);
    await backUp(repository, disk, "other", disk.full(), { random: seededRandom("other") });
    const again = writePart({ ...backup, process: "two" }, parts[0]!);
    expect(await failureOf(again)).toBe("DiskPartsUnusable");
  });
});
