import { randomBytes } from "node:crypto";
import { mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openDiskService, type LocalDiskService } from "#local/disks/local-disk-service.ts";

const mebibyte = 1024 ** 2;
const tebibyte = 1024 ** 4;

let directory: string;
let service: LocalDiskService;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "raw-image-"));
  const stateDirectory = join(directory, "state");
  service = await openDiskService({ stateDirectory, now: () => new Date(), random: randomBytes });
});

afterEach(async () => {
  await service.close();
  await rm(directory, { recursive: true, force: true });
});

async function roundTrip(): Promise<Buffer> {
  const file = join(directory, "out.raw");
  await service.exportToFile({ source: { kind: "disk", id: "disk" }, file });
  return readFile(file);
}

it("imports and exports an image byte for byte, its size rounded up to whole sectors", async () => {
  const image = randomBytes(3 * mebibyte + 700);
  image.fill(0, mebibyte, 2 * mebibyte);
  await writeFile(join(directory, "in.raw"), image);
  const disk = await service.importDisk({ id: "disk", file: join(directory, "in.raw") });
  expect(disk.sizeBytes).toBe(3 * mebibyte + 1024);
  expect(disk.allocatedBytes).toBe(2 * mebibyte + 1024);
  expect((await roundTrip()).equals(Buffer.concat([image, Buffer.alloc(324)]))).toBe(true);
});

it("imports without the tool that finds holes", async () => {
  const image = Buffer.alloc(2 * mebibyte);
  image.fill(7, 123_456, 234_567);
  await writeFile(join(directory, "in.raw"), image);
  const path = process.env["PATH"];
  process.env["PATH"] = directory;
  try {
    await service.importDisk({ id: "disk", file: join(directory, "in.raw") });
  } finally {
    process.env["PATH"] = path;
  }
  expect((await roundTrip()).equals(image)).toBe(true);
});

it("imports an all-zero disk as nothing", async () => {
  await writeFile(join(directory, "in.raw"), Buffer.alloc(mebibyte));
  const disk = await service.importDisk({ id: "disk", file: join(directory, "in.raw") });
  expect(disk.allocatedBytes).toBe(0);
  expect((await roundTrip()).equals(Buffer.alloc(mebibyte))).toBe(true);
});

it("copies only the data of a 2 TiB sparse file, in and out, with little memory", async () => {
  const file = join(directory, "large.raw");
  const extents = Array.from({ length: 25 }, (_, index) => index * 80 * 1024 ** 3);
  const data = randomBytes(4 * mebibyte);
  const handle = await open(file, "w");
  await handle.truncate(2 * tebibyte);
  for (const offset of extents) await handle.write(data, 0, data.byteLength, offset);
  await handle.close();
  const residentBytes = process.memoryUsage().rss;
  const disk = await service.importDisk({ id: "disk", file });
  expect(disk).toMatchObject({ sizeBytes: 2 * tebibyte, allocatedBytes: 100 * mebibyte });
  await service.createSnapshot({ snapshotId: "snapshot", diskId: "disk" });
  const out = join(directory, "out.raw");
  await service.exportToFile({ source: { kind: "snapshot", id: "snapshot" }, file: out });
  expect(process.memoryUsage().rss - residentBytes).toBeLessThan(256 * mebibyte);
  const { size, blocks } = await stat(out);
  expect(size).toBe(2 * tebibyte);
  expect(blocks * 512).toBeLessThan(110 * mebibyte);
  const found = await open(out, "r");
  const bytes = Buffer.alloc(data.byteLength);
  for (const offset of extents) {
    await found.read(bytes, 0, bytes.byteLength, offset);
    expect(bytes.equals(data)).toBe(true);
  }
  await found.close();
});

it("holds disks larger than one file of the host may be", async () => {
  const sizeBytes = 30 * tebibyte;
  await service.createEmptyDisk({ id: "disk", sizeBytes });
  const bytes = randomBytes(2 * mebibyte);
  for (const offset of [8 * tebibyte - mebibyte, sizeBytes - bytes.byteLength]) {
    await service.guestWrite("disk", offset, bytes);
    expect(Buffer.from(await service.guestRead("disk", offset, bytes.byteLength))).toEqual(bytes);
  }
  await expect(service.createEmptyDisk({ id: "more", sizeBytes: 33 * tebibyte })).rejects.toThrow(
    /32767 GiB/,
  );
});
