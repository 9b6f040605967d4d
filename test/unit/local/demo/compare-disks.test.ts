import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findFileDifference } from "#local/demo/compare-disks.ts";

const pieceSizeBytes = 4 * 1024 * 1024;
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-compare-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function compare(left: Buffer, right: Buffer): Promise<number | undefined> {
  const files = [join(directory, "left"), join(directory, "right")] as const;
  await writeFile(files[0], left);
  await writeFile(files[1], right);
  return findFileDifference(...files);
}

test("equal files have no difference, whatever their size", async () => {
  for (const size of [0, 1, pieceSizeBytes, pieceSizeBytes + 7]) {
    const bytes = Buffer.alloc(size, "x");
    expect(await compare(bytes, Buffer.from(bytes))).toBeUndefined();
  }
});

test.each([0, 1, pieceSizeBytes - 1, pieceSizeBytes, pieceSizeBytes + 99])(
  "a changed byte at %d is found",
  async (offset) => {
    const left = Buffer.alloc(pieceSizeBytes + 100);
    const right = Buffer.from(left);
    right[offset] = 1;
    expect(await compare(left, right)).toBe(offset);
  },
);

test.each([1, pieceSizeBytes])(
  "a file that is %d bytes longer differs at the end",
  async (more) => {
    const left = Buffer.alloc(pieceSizeBytes);
    expect(await compare(left, Buffer.alloc(pieceSizeBytes + more))).toBe(pieceSizeBytes);
    expect(await compare(Buffer.alloc(pieceSizeBytes + more), left)).toBe(pieceSizeBytes);
  },
);
