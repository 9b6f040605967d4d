import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import type { DiskRange } from "#core/ports/disk-data.ts";
import {
  DiskPointReader,
  joinDiskParts,
  writeDiskPart,
  writeDiskPoint,
  type RangesToWrite,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { newRepository, seededRandom, signal } from "./fixtures.ts";

const TIB = 1024 ** 4;
const MIB = 1024 * 1024;
const EXTENT_BYTES = 4096;
const BLOCK_BYTES = 16 * 1024;

/** Every extent holds its own offset and compressible filling; everything else is zero. */
class SparseDisk {
  readonly sizeBytes: number;
  readonly extents: readonly number[];
  readonly #offsets: Set<number>;
  readBytes = 0;

  constructor(sizeBytes: number, extentCount: number) {
    this.sizeBytes = sizeBytes;
    const step = Math.floor(sizeBytes / extentCount / BLOCK_BYTES) * BLOCK_BYTES;
    this.extents = Array.from({ length: extentCount }, (_, number) => number * step);
    this.#offsets = new Set(this.extents);
  }

  content(offsetBytes: number, version: number): Buffer {
    const digest = createHash("sha256").update(`${offsetBytes}/${version}`).digest();
    return Buffer.alloc(EXTENT_BYTES, digest);
  }

  async read({ offsetBytes, lengthBytes }: DiskRange, version: number): Promise<Uint8Array> {
    this.readBytes += lengthBytes;
    const bytes = new Uint8Array(lengthBytes);
    for (let at = 0; at < lengthBytes; at += EXTENT_BYTES) {
      if (this.#offsets.has(offsetBytes + at))
        bytes.set(this.content(offsetBytes + at, version), at);
    }
    return bytes;
  }
}

async function backUpSparse(sizeBytes: number, extentCount: number) {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = new SparseDisk(sizeBytes, extentCount);
  async function* allocated(offsets: readonly number[]) {
    for (const offsetBytes of offsets) yield { offsetBytes, lengthBytes: EXTENT_BYTES };
  }
  const write = (pointId: string, version: number, ranges: RangesToWrite) =>
    writeDiskPoint(
      repository,
      {
        diskId: "huge",
        pointId,
        sizeBytes,
        source: { read: (range) => disk.read(range, version) },
        ranges,
        random: seededRandom(pointId),
        now: () => new Date(0),
        blockBytes: BLOCK_BYTES,
      },
      signal,
    );
  const full = { kind: "full", allocated: () => allocated(disk.extents) } as const;
  return { store, repository, disk, write, full, allocated };
}

it.each([
  { sizeBytes: 32 * TIB, extentCount: 256 },
  { sizeBytes: 2 * TIB, extentCount: 2000 },
])(
  "backs up and restores $extentCount extents over $sizeBytes bytes",
  async ({ sizeBytes, extentCount }) => {
    const { store, repository, disk, write, full, allocated } = await backUpSparse(
      sizeBytes,
      extentCount,
    );
    const first = await write("p1", 1, full);
    expect(disk.readBytes).toBe(extentCount * BLOCK_BYTES);
    const changed = disk.extents.filter((_, number) => number % 10 === 3);
    const second = await write("p2", 2, {
      kind: "incremental",
      parent: first.reference,
      changed: async function* () {
        for await (const range of allocated(changed)) yield { ...range, kind: "data" as const };
      },
      allocated: full.allocated,
      sampleCount: 0,
    });
    expect(second.stats.blockCount).toBe(changed.length);
    const reader = await DiskPointReader.open(repository, second.reference, signal);
    const extents: number[] = [];
    for await (const { offsetBytes, lengthBytes } of reader.extents(signal)) {
      extents.push(offsetBytes);
      const version = changed.includes(offsetBytes) ? 2 : 1;
      const bytes = await reader.readBlocks({ offsetBytes, lengthBytes }, signal);
      const expected = disk.content(offsetBytes, version);
      expect(Buffer.from(bytes).subarray(0, EXTENT_BYTES).equals(expected)).toBe(true);
    }
    expect(extents).toEqual(disk.extents);
    const storedBytes = [...store.objects.values()].reduce(
      (sum, { bytes }) => sum + bytes.length,
      0,
    );
    expect(storedBytes).toBeLessThan(4 * MIB);
  },
);

it("joins four parts of a disk of 32 TiB, each of which reads its own extents only", async () => {
  const sizeBytes = 32 * TIB;
  const { repository, disk, full } = await backUpSparse(sizeBytes, 256);
  const parts = [0, 1, 2, 3].map((part) => ({
    offsetBytes: (part * sizeBytes) / 4,
    lengthBytes: sizeBytes / 4,
  }));
  const backup = { diskId: "huge", pointId: "p1", sizeBytes, now: () => new Date(0) };
  for (const part of parts) {
    const before = disk.readBytes;
    const source = { read: (range: DiskRange) => disk.read(range, 1) };
    const random = seededRandom(`part ${part.offsetBytes}`);
    const { allocated } = full;
    const writing = { ...backup, source, part, allocated, random, blockBytes: BLOCK_BYTES };
    await writeDiskPart(repository, writing, signal);
    expect(disk.readBytes - before).toBe((256 / 4) * BLOCK_BYTES);
  }
  const random = seededRandom("join");
  const { reference } = await joinDiskParts(repository, { ...backup, parts, random }, signal);
  const reader = await DiskPointReader.open(repository, reference, signal);
  const extents: number[] = [];
  for await (const { offsetBytes, lengthBytes } of reader.extents(signal)) {
    extents.push(offsetBytes);
    const bytes = await reader.readBlocks({ offsetBytes, lengthBytes }, signal);
    const expected = disk.content(offsetBytes, 1);
    expect(Buffer.from(bytes).subarray(0, EXTENT_BYTES).equals(expected)).toBe(true);
  }
  expect(extents).toEqual(disk.extents);
});
