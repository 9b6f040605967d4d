/** Reproducible disk images: an ext4 file system made of files that the operating system ships. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

const SOURCES = ["/usr/bin", "/usr/lib", "/usr/share"];
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const WRITE_BYTES = 64 * 1024;

async function* filesUnder(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries.sort((left, right) => (left.name < right.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    else if (entry.isFile()) yield path;
  }
}

/** Takes files from all sources in turn, so that binaries, libraries and texts are mixed. */
async function stageFiles(stage: string, limitBytes: number): Promise<number> {
  const sources = new Set(SOURCES.map((folder) => filesUnder(folder)));
  let stagedBytes = 0;
  while (sources.size > 0 && stagedBytes < limitBytes) {
    for (const source of sources) {
      const next = await source.next();
      if (next.done === true) {
        sources.delete(source);
        continue;
      }
      const { size } = await stat(next.value);
      if (size > MAX_FILE_BYTES || stagedBytes + size > limitBytes) continue;
      const target = join(stage, next.value);
      await mkdir(dirname(target), { recursive: true });
      await copyFile(next.value, target);
      stagedBytes += size;
    }
  }
  return stagedBytes;
}

/** Half of the image is file content; the rest is free and zero. Returns the content's bytes. */
export async function makeImage(folder: string, image: string, sizeBytes: number): Promise<number> {
  const stage = join(folder, "stage");
  await mkdir(stage, { recursive: true });
  const contentBytes = await stageFiles(stage, sizeBytes / 2);
  const fixed = [
    "-U",
    "00000000-0000-4000-8000-000000000001",
    "-E",
    "hash_seed=00000000-0000-4000-8000-000000000002",
  ];
  const made = spawnSync(
    "mke2fs",
    [
      "-q",
      "-F",
      "-t",
      "ext4",
      "-b",
      "4096",
      "-m",
      "0",
      "-O",
      "^has_journal",
      ...fixed,
      "-d",
      stage,
      image,
      `${sizeBytes / 1024}k`,
    ],
    { encoding: "utf8", env: { ...process.env, PATH: `${process.env["PATH"]}:/sbin:/usr/sbin` } },
  );
  await rm(stage, { recursive: true });
  if (made.status !== 0) throw new Error(`mke2fs failed: ${made.stderr}`);
  return contentBytes;
}

/** Writes random 64 KiB pieces over `share` of the image; returns their offsets, ascending. */
export async function changeImage(
  image: string,
  sizeBytes: number,
  options: { readonly share: number; readonly seed: string },
): Promise<number[]> {
  const pieceCount = sizeBytes / WRITE_BYTES;
  const offsets = new Set<number>();
  for (let counter = 0; offsets.size < pieceCount * options.share; counter++) {
    const digest = createHash("sha256").update(`${options.seed}/${counter}`).digest();
    offsets.add((digest.readUIntLE(0, 6) % pieceCount) * WRITE_BYTES);
  }
  const file = await open(image, "r+");
  try {
    for (const offset of offsets) {
      await file.write(noise(`${options.seed}/${offset}`), 0, WRITE_BYTES, offset);
    }
  } finally {
    await file.close();
  }
  return [...offsets].sort((left, right) => left - right);
}

function noise(seed: string): Buffer {
  const bytes = Buffer.alloc(WRITE_BYTES);
  for (let at = 0; at < WRITE_BYTES; at += 64) {
    createHash("sha512").update(`${seed}/${at}`).digest().copy(bytes, at);
  }
  return bytes;
}

export const CHANGE_BYTES = WRITE_BYTES;
