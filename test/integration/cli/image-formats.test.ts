import { open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { Qcow2ImageWriter } from "#cli/export/qcow2-image.ts";
import {
  newRepositoryFolder,
  password,
  run,
  type RepositoryFolder,
} from "../../unit/cli/repository-folder.ts";
import { installQemuImg, qemuImg } from "./qemu-img.ts";

/** Images that the command line writes, read by QEMU: a program that shares no code with us. */
let folder: RepositoryFolder;
beforeAll(async () => {
  await installQemuImg();
  folder = await newRepositoryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

const infoSchema = z.object({
  format: z.string(),
  "virtual-size": z.number(),
  "actual-size": z.number(),
});
const checkSchema = z.object({ "check-errors": z.literal(0), leaks: z.literal(0).optional() });

async function exported(disk: string, format: string): Promise<string> {
  const file = join(folder.directory, `${disk}.${format}`);
  const args = ["repo", "export", "vm-1", "p2", disk, "--format", format, "--output", file];
  const ended = await run([...args, "--repository", folder.path], {
    environment: { HOLDFAST_REPOSITORY_PASSWORD: password },
  });
  expect(ended.exitCode).toBe(0);
  return file;
}

async function original(disk: "os" | "data"): Promise<string> {
  const file = join(folder.directory, `${disk}.original`);
  await writeFile(file, folder.contents[disk]);
  return file;
}

for (const disk of ["os", "data"] as const) {
  test(`QEMU finds no fault in the qcow2 of disk ${disk} and reads the same bytes`, async () => {
    const file = await exported(`disk-${disk}`, "qcow2");
    checkSchema.parse(JSON.parse(await qemuImg("check", "-f", "qcow2", "--output=json", file)));
    const info = infoSchema.parse(
      JSON.parse(await qemuImg("info", "-f", "qcow2", "--output=json", file)),
    );
    expect(info["virtual-size"]).toBe(folder.contents[disk].length);
    expect(info["actual-size"]).toBeLessThan(4 * 1024 * 1024);
    const compared = await qemuImg(
      "compare",
      "-f",
      "raw",
      "-F",
      "qcow2",
      await original(disk),
      file,
    );
    expect(compared).toContain("Images are identical");
  });

  test(`QEMU reads the same bytes from the VHD of disk ${disk}`, async () => {
    const file = await exported(`disk-${disk}`, "vhd");
    const info = infoSchema.parse(
      JSON.parse(await qemuImg("info", "-f", "vpc", "--output=json", file)),
    );
    expect(info["virtual-size"]).toBe(folder.contents[disk].length);
    const compared = await qemuImg("compare", "-f", "raw", "-F", "vpc", await original(disk), file);
    expect(compared).toContain("Images are identical");
  });
}

test("QEMU finds no fault in an empty disk and in the largest, with content at both ends", async () => {
  const tib = 1024 ** 4;
  const cases = [
    { sizeBytes: 512, offsets: [] },
    { sizeBytes: 32 * tib, offsets: [0, 7 * tib, 32 * tib - 65_536] },
  ];
  for (const { sizeBytes, offsets } of cases) {
    const path = join(folder.directory, `${sizeBytes}.qcow2`);
    const file = await open(path, "wx");
    const writer = new Qcow2ImageWriter(file, sizeBytes);
    for (const offset of offsets) await writer.write(offset, randomBytes(65_536));
    await writer.finish();
    await file.close();
    checkSchema.parse(JSON.parse(await qemuImg("check", "-f", "qcow2", "--output=json", path)));
    const info = infoSchema.parse(
      JSON.parse(await qemuImg("info", "-f", "qcow2", "--output=json", path)),
    );
    expect(info["virtual-size"]).toBe(sizeBytes);
  }
});

test("reference counts that need more than one cluster of their own are right", async () => {
  const sizeBytes = 2.25 * 1024 ** 3;
  const piece = Buffer.alloc(2 * 1024 * 1024, 1);
  const path = join(folder.directory, "full.qcow2");
  const file = await open(path, "wx");
  // The data itself is left out, its place in the file is a hole: only what QEMU checks is written.
  const writer = new Qcow2ImageWriter(
    {
      write: async (bytes, offset, lengthBytes, positionBytes) =>
        lengthBytes === piece.length
          ? { bytesWritten: lengthBytes }
          : file.write(bytes, offset, lengthBytes, positionBytes),
      truncate: (size) => file.truncate(size),
    },
    sizeBytes,
  );
  for (let offset = 0; offset < sizeBytes; offset += piece.length) {
    await writer.write(offset, piece);
  }
  await writer.finish();
  await file.close();
  checkSchema.parse(JSON.parse(await qemuImg("check", "-f", "qcow2", "--output=json", path)));
});
