/**
 * Reproducible disk images: an ext4 file system made of files that the operating system ships, half
 * of it free and zero, and a second image with random 64 KiB writes over 2 % of the first. Building
 * 4 GiB takes more than a minute, so images are kept in the temporary folder for the next run.
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import {
  copyFile,
  mkdir,
  open,
  readFile,
  readdir,
  rename,
  rm,
  stat,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { run } from "./programs.ts";

const SOURCES = ["/usr/bin", "/usr/lib", "/usr/share"];
const MAX_FILE_BYTES = 64 * 1024 * 1024;
export const CHANGE_BYTES = 64 * 1024;
const CHANGED_SHARE = 0.02;

const descriptionSchema = z.object({
  sizeBytes: z.number(),
  contentBytes: z.number(),
  /** Offsets of the changed pieces, ascending. */
  changes: z.array(z.number()),
});

export interface DiskImages extends z.infer<typeof descriptionSchema> {
  /** Paths of the image before and after the changes. */
  readonly first: string;
  readonly second: string;
}

/** Takes the images of an earlier run unless `isFresh`. */
export async function prepareImages(options: {
  readonly sizeBytes: number;
  readonly seed: string;
  readonly isFresh: boolean;
}): Promise<DiskImages> {
  const { sizeBytes, seed, isFresh } = options;
  const name = `${sizeBytes}-${seed.replace(/\W/g, "_")}`;
  const folder = join(tmpdir(), "holdfast-bench-images", name);
  const paths = { first: join(folder, "first.img"), second: join(folder, "second.img") };
  const descriptionFile = join(folder, "image.json");
  if (isFresh) await rm(folder, { recursive: true, force: true });
  if (existsSync(descriptionFile)) {
    const known: unknown = JSON.parse(await readFile(descriptionFile, "utf8"));
    return { ...descriptionSchema.parse(known), ...paths };
  }
  console.error(`Building an image of ${sizeBytes / 2 ** 20} MiB in ${folder} ...`);
  const building = `${folder}.${process.pid}.being-built`;
  await mkdir(building, { recursive: true });
  const first = join(building, "first.img");
  const second = join(building, "second.img");
  const contentBytes = await makeImage(building, first, sizeBytes);
  run("cp", ["--sparse=always", first, second]);
  const changes = await changeImage(second, sizeBytes, seed);
  const description = { sizeBytes, contentBytes, changes };
  await writeFile(join(building, "image.json"), JSON.stringify(description));
  await rm(folder, { recursive: true, force: true });
  await rename(building, folder);
  return { ...description, ...paths };
}

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
async function makeImage(folder: string, image: string, sizeBytes: number): Promise<number> {
  const stage = join(folder, "stage");
  await mkdir(stage);
  const contentBytes = await stageFiles(stage, sizeBytes / 2);
  const fileSystem = ["-t", "ext4", "-b", "4096", "-m", "0", "-O", "^has_journal"];
  const uuid = ["-U", "00000000-0000-4000-8000-000000000001"];
  const hashSeed = ["-E", "hash_seed=00000000-0000-4000-8000-000000000002"];
  const size = `${sizeBytes / 1024}k`;
  run("mke2fs", ["-q", "-F", ...fileSystem, ...uuid, ...hashSeed, "-d", stage, image, size]);
  await rm(stage, { recursive: true });
  return contentBytes;
}

/** Writes random 64 KiB pieces; returns their offsets, ascending. */
async function changeImage(image: string, sizeBytes: number, seed: string): Promise<number[]> {
  const pieceCount = sizeBytes / CHANGE_BYTES;
  const offsets = new Set<number>();
  for (let counter = 0; offsets.size < pieceCount * CHANGED_SHARE; counter++) {
    const digest = createHash("sha256").update(`${seed}/${counter}`).digest();
    offsets.add((digest.readUIntLE(0, 6) % pieceCount) * CHANGE_BYTES);
  }
  const file = await open(image, "r+");
  try {
    for (const offset of offsets) {
      await file.write(noise(`${seed}/${offset}`), 0, CHANGE_BYTES, offset);
    }
  } finally {
    await file.close();
  }
  return [...offsets].sort((left, right) => left - right);
}

function noise(seed: string): Buffer {
  const bytes = Buffer.alloc(CHANGE_BYTES);
  for (let at = 0; at < CHANGE_BYTES; at += 64) {
    createHash("sha512").update(`${seed}/${at}`).digest().copy(bytes, at);
  }
  return bytes;
}
