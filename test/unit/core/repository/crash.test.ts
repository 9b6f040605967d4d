import { describe, expect, it } from "vitest";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import {
  commitVmPoint,
  listVmPoints,
  readDiskPoint,
  readVmPoint,
  type Repository,
} from "#core/repository/index.ts";
import { DyingStore } from "#core/repository/testing/dying-store.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { SINGLE_FAULTS } from "./single-faults.ts";
import {
  SECTOR,
  TestDisk,
  backUp,
  failureOf,
  newRepository,
  reopen,
  restore,
  seededRandom,
  signal,
} from "./fixtures.ts";

const DISK_BYTES = 60 * 4096;

function firstDisk(): TestDisk {
  const disk = new TestDisk(DISK_BYTES);
  disk.write(0, seededRandom("first")(DISK_BYTES));
  return disk;
}

/** A disk with one committed point, and a second state with its changes. */
async function startingPoint() {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = firstDisk();
  const first = await backUp(repository, disk, "p1", disk.full());
  await commitVm(repository, "p1", [first.reference]);
  const firstImage = Buffer.from(disk.bytes);
  disk.takeChanges();
  disk.write(40, seededRandom("second")(60 * SECTOR));
  disk.clear(200, 64);
  disk.write(300, seededRandom("third")(100 * SECTOR));
  return { store, disk, first, firstImage, changes: disk.takeChanges() };
}

async function commitVm(
  repository: Repository,
  pointId: string,
  references: readonly { diskId: string; sequence: number; manifestId: string }[],
) {
  const disks = references.map((diskPoint, lun) => ({ lun, sizeBytes: DISK_BYTES, diskPoint }));
  const takenAt = new Date("2026-03-01T00:00:00Z");
  const point = { vmId: "vm-1", pointId, takenAt, vm: { name: "web" }, disks };
  const random = seededRandom(`vm/${pointId}`);
  return commitVmPoint(repository, { ...point, random, now: () => takenAt }, signal);
}

async function secondBackup(store: BlobStore, start: Awaited<ReturnType<typeof startingPoint>>) {
  const repository = await reopen(store);
  const ranges = start.disk.incremental(start.first.reference, start.changes, 4);
  // Each process has randomness of its own.
  const random = seededRandom(`process ${start.disk.reads.length}`);
  const written = await backUp(repository, start.disk, "p2", ranges, { random });
  return { repository, written, vm: await commitVm(repository, "p2", [written.reference]) };
}

async function requireAllPointsIntact(
  store: BlobStore,
  start: Awaited<ReturnType<typeof startingPoint>>,
): Promise<string[]> {
  const repository = await reopen(store);
  const images: Record<string, Buffer> = { p1: start.firstImage, p2: start.disk.bytes };
  const found: string[] = [];
  for await (const { vmId, pointId } of listVmPoints(repository, undefined, signal)) {
    const point = await readVmPoint(repository, vmId, pointId, signal);
    for (const { diskPoint } of point.disks) {
      expect((await restore(repository, diskPoint)).equals(images[pointId]!)).toBe(true);
    }
    found.push(pointId);
  }
  return found;
}

describe.each(SINGLE_FAULTS)("$kind every store operation", ({ after, aftermath }) => {
  it("leaves an incremental whole or unseen", async () => {
    const prepared = await startingPoint();
    let faultCount = 0;
    for (;;) {
      const start = { ...prepared, store: new MemoryStore() };
      for (const [name, object] of prepared.store.objects) start.store.objects.set(name, object);
      const dying = new DyingStore(start.store, { at: faultCount, after, aftermath });
      const outcome = await failureOf(secondBackup(dying, start));
      const found = await requireAllPointsIntact(start.store, start);
      expect(found).toContain("p1");
      // Who was told of a success has a point.
      if (outcome === "no failure") expect(found).toContain("p2");
      if (!dying.hasStruck) break;
      if (aftermath === "dies") expect(outcome).toBe("Dead");
      faultCount++;
      const { written } = await secondBackup(start.store, start);
      expect(written.reference.sequence).toBe(2);
      expect(await requireAllPointsIntact(start.store, start)).toEqual(["p1", "p2"]);
    }
    // Opening, listing, packs, index, root, two manifests: the loop really walked through them.
    expect(faultCount).toBeGreaterThan(12);
  });

  it("leaves a first backup whole or unseen", async () => {
    let faultCount = 0;
    for (;;) {
      const store = new MemoryStore();
      const run = async (through: BlobStore, process: string) => {
        const repository = await newRepository(through, process);
        const disk = firstDisk();
        const random = seededRandom(process);
        const written = await backUp(repository, disk, "p1", disk.full(), { random });
        return { repository, disk, written };
      };
      const dying = new DyingStore(store, { at: faultCount, after, aftermath });
      const outcome = await failureOf(run(dying, "first process"));
      const { repository, disk, written } = await run(store, "second process");
      expect((await restore(repository, written.reference)).equals(disk.bytes)).toBe(true);
      if (outcome === "no failure") expect(written.alreadyCommitted).toBe(true);
      if (!dying.hasStruck) break;
      if (aftermath === "dies") expect(outcome).toBe("Dead");
      faultCount++;
    }
    expect(faultCount).toBeGreaterThan(10);
  });
});

it("does not store again what a dead predecessor had sealed", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = firstDisk();
  store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.includes("/indexes/"))
      throw new HoldfastError("Dead", "dead");
  };
  const once = { random: seededRandom("first process") };
  expect(await failureOf(backUp(repository, disk, "p1", disk.full(), once))).toBe("Dead");
  store.beforeOperation = () => undefined;
  const packCount = () =>
    [...store.objects.keys()].filter((name) => name.includes("/packs/")).length;
  const sealed = packCount();
  expect(sealed).toBeGreaterThan(3);
  const again = { random: seededRandom("second process") };
  const written = await backUp(repository, disk, "p1", disk.full(), again);
  expect(written.stats).toMatchObject({ storedBytes: 0, unchangedBytes: DISK_BYTES });
  expect(packCount()).toBe(sealed);
  expect((await restore(repository, written.reference)).equals(disk.bytes)).toBe(true);
  const { manifest } = await readDiskPoint(repository, "disk-1", 1, signal);
  expect(manifest.pointId).toBe("p1");
});

it("uses nothing of a predecessor whose packs hold other content or are damaged", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = firstDisk();
  store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.includes("/indexes/"))
      throw new HoldfastError("Dead", "dead");
  };
  await failureOf(backUp(repository, disk, "p1", disk.full()));
  store.beforeOperation = () => undefined;
  disk.write(0, seededRandom("other")(DISK_BYTES / 2));
  for (const [name, { bytes }] of store.objects) {
    if (name.includes("/packs/")) bytes[bytes.length - 40]! ^= 1;
  }
  const again = { random: seededRandom("second process") };
  const written = await backUp(repository, disk, "p1", disk.full(), again);
  expect(written.stats.unchangedBytes).toBe(0);
  expect((await restore(repository, written.reference)).equals(disk.bytes)).toBe(true);
});

it("lets one of two racing writers of different backups win and loses nothing", async () => {
  const start = await startingPoint();
  const opened = await reopen(start.store);
  const attempt = (pointId: string) => {
    const ranges = start.disk.incremental(start.first.reference, start.changes);
    return backUp(opened, start.disk, pointId, ranges, { random: seededRandom(pointId) });
  };
  const outcomes = await Promise.all([failureOf(attempt("a")), failureOf(attempt("b"))]);
  expect(outcomes.sort()).toEqual(["DiskPointConflict", "no failure"]);
  const repository = await reopen(start.store);
  const winner = await readDiskPoint(repository, "disk-1", 2, signal);
  expect((await restore(repository, winner.reference)).equals(start.disk.bytes)).toBe(true);
});

it("gives both of two racing writers of one backup the same point", async () => {
  const start = await startingPoint();
  const repository = await reopen(start.store);
  const attempt = async (process: string) => {
    const ranges = start.disk.incremental(start.first.reference, start.changes);
    return backUp(repository, start.disk, "p2", ranges, { random: seededRandom(process) });
  };
  const [left, right] = await Promise.all([attempt("one"), attempt("two")]);
  expect(left.reference).toEqual(right.reference);
});
