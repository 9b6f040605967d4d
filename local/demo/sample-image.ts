import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { copyFile, lstat, mkdir, open, readdir, rm } from "node:fs/promises";
import { delimiter, dirname, join } from "node:path";
import { encodePartitionTable, partitionOffsetBytes } from "./partition-table.ts";

/**
 * Disk images to try things with: a partition table with one ext4 file system that holds copies of
 * files of this machine. Ids are fixed, so that two images of the same files differ in times only.
 */
export interface SampleImage {
  readonly file: string;
  /** A multiple of 1 MiB. */
  readonly sizeBytes: number;
  /** How many bytes of files go in, at most; less when this machine has less. */
  readonly contentBytes: number;
  /** Folders that the files come from, in this order. */
  readonly sources: readonly string[];
  /** 0 to 255; tells images apart: it is part of their ids. */
  readonly number: number;
}

const fileSizeMaxBytes = 16 * 1024 * 1024;
const copiesAtOnce = 8;
/** Where mke2fs is on systems that keep it from users' PATH. */
const systemToolFolders = ["/usr/sbin", "/sbin"];

/** Makes the image; answers how many bytes of files it holds. */
export async function createSampleImage(image: SampleImage): Promise<{ fileBytes: number }> {
  const staging = `${image.file}.files`;
  await mkdir(staging, { recursive: true });
  try {
    const fileBytes = await copySampleFiles(image, staging);
    await writeImage(image, staging);
    return { fileBytes };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function copySampleFiles(image: SampleImage, staging: string): Promise<number> {
  let fileBytes = 0;
  const copies = new Set<Promise<void>>();
  for (const source of image.sources) {
    for await (const { path, sizeBytes } of readableFiles(source)) {
      if (fileBytes + sizeBytes > image.contentBytes) continue;
      fileBytes += sizeBytes;
      const copy = copyOne(path, join(staging, path)).finally(() => copies.delete(copy));
      copies.add(copy);
      if (copies.size >= copiesAtOnce) await Promise.race(copies);
      if (fileBytes > image.contentBytes - fileSizeMaxBytes / 64) break;
    }
  }
  await Promise.all(copies);
  return fileBytes;
}

async function copyOne(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to, constants.COPYFILE_FICLONE);
}

/** Regular files below a folder, names sorted; what cannot be read by everybody is passed over. */
async function* readableFiles(folder: string): AsyncGenerator<{ path: string; sizeBytes: number }> {
  const othersMayRead = 0o004;
  const names = await readdir(folder).catch(() => []);
  for (const name of names.sort()) {
    const path = join(folder, name);
    const state = await lstat(path).catch(() => undefined);
    if (state?.isDirectory() === true) yield* readableFiles(path);
    else if (state?.isFile() === true && (state.mode & othersMayRead) !== 0) {
      if (state.size <= fileSizeMaxBytes) yield { path, sizeBytes: state.size };
    }
  }
}

async function writeImage(image: SampleImage, staging: string): Promise<void> {
  const suffix = image.number.toString(16).padStart(12, "0");
  const table = encodePartitionTable({
    diskSizeBytes: image.sizeBytes,
    diskGuid: `4f1d8a30-0001-4000-8000-${suffix}`,
    partitionGuid: `4f1d8a30-0002-4000-8000-${suffix}`,
    partitionName: "sample",
  });
  const handle = await open(image.file, "w");
  try {
    await handle.truncate(image.sizeBytes);
    for (const { offsetBytes, bytes } of table.pieces) {
      await handle.write(bytes, 0, bytes.byteLength, offsetBytes);
    }
  } finally {
    await handle.close();
  }
  const fileSystemId = `4f1d8a30-0003-4000-8000-${suffix}`;
  const options = [
    `offset=${partitionOffsetBytes}`,
    `hash_seed=${fileSystemId}`,
    "root_owner=0:0",
    "nodiscard",
  ];
  const shape = `-q -F -t ext4 -b 4096 -U ${fileSystemId} -L sample -E ${options.join(",")}`;
  const sizeKib = `${table.partitionSizeBytes / 1024}k`;
  await runTool("mke2fs", [...shape.split(" "), "-d", staging, image.file, sizeKib]);
}

async function runTool(tool: string, args: readonly string[]): Promise<void> {
  const path = [process.env["PATH"] ?? "", ...systemToolFolders].join(delimiter);
  const child = spawn(tool, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { PATH: path, LC_ALL: "C" },
  });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaint += text));
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (exitCode !== 0) throw new Error(`${tool} failed (exit code ${exitCode}): ${complaint}`);
}
