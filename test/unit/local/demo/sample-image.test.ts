import { mkdir, mkdtemp, open, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodePartitionTable, partitionOffsetBytes } from "#local/demo/partition-table.ts";
import { createSampleImage } from "#local/demo/sample-image.ts";

const mib = 1024 * 1024;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-image-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test("both copies of the partition table are valid and point at each other", () => {
  const diskSizeBytes = 64 * mib;
  const disk = Buffer.alloc(diskSizeBytes);
  const { pieces, partitionSizeBytes } = encodePartitionTable({
    diskSizeBytes,
    diskGuid: "4f1d8a30-0001-4000-8000-000000000007",
    partitionGuid: "4f1d8a30-0002-4000-8000-000000000007",
    partitionName: "sample",
  });
  for (const { offsetBytes, bytes } of pieces) bytes.copy(disk, offsetBytes);
  const lastSector = diskSizeBytes / 512 - 1;
  const sector = (number: number) => disk.subarray(number * 512, (number + 1) * 512);

  expect(disk.readUInt16LE(510)).toBe(0xaa55);
  expect(disk.readUInt8(446 + 4)).toBe(0xee);
  for (const [own, other] of [
    [1, lastSector],
    [lastSector, 1],
  ] as const) {
    const header = Buffer.from(sector(own));
    expect(header.toString("latin1", 0, 8)).toBe("EFI PART");
    expect(Number(header.readBigUInt64LE(24))).toBe(own);
    expect(Number(header.readBigUInt64LE(32))).toBe(other);
    const entriesAt = Number(header.readBigUInt64LE(72)) * 512;
    expect(crc32(disk.subarray(entriesAt, entriesAt + 128 * 128))).toBe(header.readUInt32LE(88));
    const stated = header.readUInt32LE(16);
    header.writeUInt32LE(0, 16);
    expect(crc32(header.subarray(0, 92))).toBe(stated);
    const first = Number(disk.readBigUInt64LE(entriesAt + 32));
    const last = Number(disk.readBigUInt64LE(entriesAt + 40));
    expect(first * 512).toBe(partitionOffsetBytes);
    expect((last - first + 1) * 512).toBe(partitionSizeBytes);
    expect(last).toBeLessThanOrEqual(Number(header.readBigUInt64LE(48)));
    // The GUID's first field is little-endian.
    expect(disk.toString("hex", entriesAt + 16, entriesAt + 20)).toBe("308a1d4f");
  }
});

test("an image holds an ext4 file system with the files, no more than asked for", async () => {
  const source = join(directory, "source");
  await mkdir(join(source, "deep"), { recursive: true });
  const content = Buffer.alloc(300_000, "content of one file; ");
  await writeFile(join(source, "deep", "a"), content);
  await writeFile(join(source, "b"), Buffer.alloc(100_000, "b"));
  await writeFile(join(source, "c"), Buffer.alloc(900_000, "c"));
  const file = join(directory, "disk.raw");
  const { fileBytes } = await createSampleImage({
    file,
    sizeBytes: 32 * mib,
    contentBytes: 500_000,
    sources: [source],
    number: 7,
  });
  expect(fileBytes).toBe(400_000);
  expect(await readdir(directory)).toEqual(["disk.raw", "source"]);
  const handle = await open(file);
  const superblock = Buffer.alloc(1024);
  await handle.read(superblock, 0, 1024, partitionOffsetBytes + 1024);
  await handle.close();
  expect(superblock.readUInt16LE(0x38)).toBe(0xef53);
  expect(superblock.toString("hex", 0x68, 0x78)).toBe("4f1d8a30000340008000000000000007");
  expect((await readFile(file)).includes(content.subarray(0, 4096))).toBe(true);
});
