import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  diskSizeOf,
  exactSizeOf,
  readImageSize,
  withDiskSizedFile,
} from "#local/stack/disk-image.ts";

const smallestBytes = 20 * 1024 * 1024;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-image-test-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test.each([
  [1, smallestBytes],
  [smallestBytes, smallestBytes],
  [smallestBytes + 1, smallestBytes + 512],
  [smallestBytes + 512, smallestBytes + 512],
])("an image of %i bytes becomes a disk of %i bytes", (imageSizeBytes, diskSizeBytes) => {
  expect(diskSizeOf(imageSizeBytes)).toBe(diskSizeBytes);
});

test("what cannot become a disk is refused in words", async () => {
  const empty = join(directory, "empty.raw");
  await writeFile(empty, "");
  await expect(readImageSize(join(directory, "missing"))).rejects.toThrow("no such file");
  await expect(readImageSize(directory)).rejects.toThrow("is not a regular file");
  await expect(readImageSize(empty)).rejects.toThrow("is empty");
});

test("a small image is filled up in a copy that is gone afterwards", async () => {
  const file = join(directory, "small.raw");
  await writeFile(file, "abc");
  const copy = await withDiskSizedFile(file, async (filled) => {
    const bytes = await readFile(filled);
    expect(bytes.byteLength).toBe(smallestBytes);
    expect(bytes.subarray(0, 5)).toEqual(Buffer.from("abc\0\0"));
    return filled;
  });
  expect((await stat(file)).size).toBe(3);
  expect(await readdir(dirname(copy)).catch(() => "gone")).toBe("gone");
});

test("an image that is large enough is taken as it is", async () => {
  const file = join(directory, "large.raw");
  await writeFile(file, "");
  await truncate(file, smallestBytes + 1);
  expect(await withDiskSizedFile(file, async (used) => used)).toBe(file);
});

test("an export is cut to the image unless the disk grew or holds something behind it", async () => {
  const out = join(directory, "out.raw");
  const disk = { sizeBytes: smallestBytes, tag: "1000" };
  await writeFile(out, Buffer.alloc(1000, 1));
  await truncate(out, smallestBytes);
  expect(await exactSizeOf(out, disk)).toBe(1000);
  expect(await exactSizeOf(out, { ...disk, tag: undefined })).toBe(smallestBytes);
  expect(await exactSizeOf(out, { ...disk, tag: "-5" })).toBe(smallestBytes);
  expect(await exactSizeOf(out, { ...disk, sizeBytes: 2 * smallestBytes })).toBe(2 * smallestBytes);
  await writeFile(out, Buffer.alloc(1001, 1));
  await truncate(out, smallestBytes);
  expect(await exactSizeOf(out, disk)).toBe(smallestBytes);
});
