import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import type {
  ChangedRange,
  DiskDataReader,
  DiskDataWriter,
  DiskRange,
} from "#core/ports/disk-data.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import {
  SECTOR,
  TestDisk,
  failureOf,
  newRepository,
  seededRandom,
  signal,
} from "../../core/repository/fixtures.ts";

const MIB = 1024 * 1024;

class ReaderOfTestDisk implements DiskDataReader {
  readonly disk: TestDisk;
  changes: readonly ChangedRange[] = [];
  diffFailure: string | undefined;

  constructor(disk: TestDisk) {
    this.disk = disk;
  }
  async readSizeBytes() {
    return this.disk.bytes.length;
  }
  async read(range: DiskRange, signal: AbortSignal) {
    signal.throwIfAborted();
    return this.disk.read(range);
  }
  listAllocated() {
    return this.disk.allocated();
  }
  async *listChanged() {
    if (this.diffFailure !== undefined) throw new HoldfastError(this.diffFailure, "No diff.");
    yield* this.changes;
  }
  async [Symbol.asyncDispose]() {}
}

class WriterToMemory implements DiskDataWriter {
  readonly bytes: Buffer;
  readonly writes: DiskRange[] = [];
  failAt: number | undefined;

  constructor(sizeBytes: number) {
    this.bytes = Buffer.alloc(sizeBytes);
  }
  async write(offsetBytes: number, bytes: Uint8Array) {
    if (this.writes.length === this.failAt) throw new HoldfastError("DiskBusy", "Full up.");
    this.writes.push({ offsetBytes, lengthBytes: bytes.length });
    this.bytes.set(bytes, offsetBytes);
  }
  async finish() {
    throw new Error("the data mover must leave finish to its caller");
  }
  async [Symbol.asyncDispose]() {}
}

let mover: DataMover;
beforeAll(() => {
  mover = new DataMover({ threadCount: 2, diskCount: 3 });
});
afterAll(async () => {
  await mover[Symbol.asyncDispose]();
});

function filledDisk(seed: string, sizeBytes: number): TestDisk {
  const disk = new TestDisk(sizeBytes);
  disk.write(0, seededRandom(seed)(MIB));
  disk.write(10_000, Buffer.alloc(2 * MIB, `${seed} text `));
  disk.takeChanges();
  return disk;
}

it("moves several disks at once through threads, changes after them, and back", async () => {
  const repository = await newRepository(new MemoryStore());
  const disks = [8 * MIB, 9 * MIB + SECTOR, 20 * MIB].map((size, number) =>
    filledDisk(`disk ${number}`, size),
  );
  const readers = disks.map((disk) => new ReaderOfTestDisk(disk));
  const firsts = await Promise.all(
    readers.map((reader, number) =>
      mover.backupDisk({ repository, diskId: `d${number}`, pointId: "p1", reader }, signal),
    ),
  );
  expect(firsts.map(({ kind, fullReason }) => [kind, fullReason])).toEqual(
    Array.from({ length: 3 }, () => ["full", "asked-for"]),
  );
  const progress: number[] = [];
  const seconds = await Promise.all(
    readers.map((reader, number) => {
      reader.disk.write(100, seededRandom(`change ${number}`)(SECTOR));
      reader.disk.clear(10_000, 1024);
      reader.changes = reader.disk.takeChanges();
      const since = { parent: firsts[number]!.reference, previousSas: "unused" };
      const onProgress = ({ readBytes }: { readBytes: number }) => progress.push(readBytes);
      const options = {
        repository,
        diskId: `d${number}`,
        pointId: "p2",
        reader,
        since,
        onProgress,
      };
      return mover.backupDisk(options, signal);
    }),
  );
  expect(seconds.every(({ kind }) => kind === "incremental")).toBe(true);
  expect(seconds.every(({ stats }) => stats.readBytes <= 3 * 64 * 1024)).toBe(true);
  expect(progress.length).toBeGreaterThan(0);
  for (const [number, disk] of disks.entries()) {
    const writer = new WriterToMemory(disk.bytes.length);
    const reference = seconds[number]!.reference;
    const restored = await mover.restoreDisk({ repository, reference, writer }, signal);
    expect(writer.bytes.equals(disk.bytes)).toBe(true);
    expect(restored.sizeBytes).toBe(disk.bytes.length);
    expect(restored.writtenBytes).toBeLessThan(5 * MIB);
    expect(writer.writes.every(({ lengthBytes }) => lengthBytes % SECTOR === 0)).toBe(true);
  }
});

it("restores from a frame with holes in one read, and writes around the holes", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = new TestDisk(4 * MIB);
  const blockBytes = 64 * 1024;
  // Zeros that lie there as data: what is around them is read, and stored, together.
  const start = Buffer.alloc(2 * MIB);
  for (const block of [1, 2, 5, 15, 16]) {
    start.set(seededRandom(`block ${block}`)(blockBytes), block * blockBytes);
  }
  disk.write(0, start);
  disk.write((40 * blockBytes) / SECTOR, seededRandom("block 40")(blockBytes));
  const options = { repository, diskId: "d", pointId: "p1", reader: new ReaderOfTestDisk(disk) };
  const { reference } = await mover.backupDisk(options, signal);
  const reads = vi.spyOn(store, "read");
  const writer = new WriterToMemory(4 * MIB);
  await mover.restoreDisk({ repository, reference, writer }, signal);
  expect(writer.bytes.equals(disk.bytes)).toBe(true);
  expect(writer.writes.sort((left, right) => left.offsetBytes - right.offsetBytes)).toEqual(
    [
      [1, 2],
      [5, 1],
      [15, 2],
      [40, 1],
    ].map(([first = 0, count = 0]) => ({
      offsetBytes: first * blockBytes,
      lengthBytes: count * blockBytes,
    })),
  );
  // The first 2 MiB lie in two frames that follow each other, block 40 in one of its own.
  expect(reads.mock.calls.filter(([name]) => name.includes("/packs/"))).toHaveLength(2);
});

it("reads in full and says why when there is no diff", async () => {
  const repository = await newRepository(new MemoryStore());
  const reader = new ReaderOfTestDisk(filledDisk("x", 8 * MIB));
  const disk = { repository, diskId: "d", reader };
  const first = await mover.backupDisk({ ...disk, pointId: "p1" }, signal);
  const since = { parent: first.reference, previousSas: "unused" };
  reader.diffFailure = "DiffUnavailable";
  const second = await mover.backupDisk({ ...disk, pointId: "p2", since }, signal);
  expect(second).toMatchObject({ kind: "full", fullReason: "diff-unavailable" });
  expect(second.stats.storedBytes).toBe(0);
  reader.diffFailure = "SasExpired";
  const failing = mover.backupDisk({ ...disk, pointId: "p3", since }, signal);
  expect(await failureOf(failing)).toBe("SasExpired");
});

it("returns the committed point to a repeated backup without reading", async () => {
  const repository = await newRepository(new MemoryStore());
  const reader = new ReaderOfTestDisk(filledDisk("x", 8 * MIB));
  const options = { repository, diskId: "d", pointId: "p1", reader };
  const first = await mover.backupDisk(options, signal);
  reader.disk.reads.length = 0;
  const again = await mover.backupDisk(options, signal);
  expect(again.alreadyCommitted).toBe(true);
  expect(again.reference).toEqual(first.reference);
  expect(reader.disk.reads).toEqual([]);
});

it("names damage that it finds on a thread, and stops at a failing target", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const reader = new ReaderOfTestDisk(filledDisk("x", 8 * MIB));
  const options = { repository, diskId: "d", pointId: "p1", reader };
  const { reference } = await mover.backupDisk(options, signal);
  const failing = new WriterToMemory(8 * MIB);
  failing.failAt = 1;
  const restore = (writer: DiskDataWriter) =>
    failureOf(mover.restoreDisk({ repository, reference, writer }, signal));
  expect(await restore(failing)).toBe("DiskBusy");
  for (const [name, { bytes }] of store.objects) if (name.includes("/packs/")) bytes[1000]! ^= 1;
  expect(await restore(new WriterToMemory(8 * MIB))).toBe("RepositoryDamaged");
});

it("stops a backup when the signal is aborted, and commits nothing", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const reader = new ReaderOfTestDisk(filledDisk("x", 8 * MIB));
  const abort = new AbortController();
  const onProgress = () => abort.abort(new HoldfastError("Cancelled", "Cancelled."));
  const options = { repository, diskId: "d", pointId: "p1", reader, onProgress };
  expect(await failureOf(mover.backupDisk(options, abort.signal))).toBe("Cancelled");
  expect([...store.objects.keys()].some((name) => name.includes("/points/"))).toBe(false);
  const second = await mover.backupDisk({ ...options, onProgress: () => undefined }, signal);
  expect(second.alreadyCommitted).toBe(false);
});
