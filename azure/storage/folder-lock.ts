/**
 * A lock in a folder is a row of *generations*: files `<name>.1.held`, `<name>.2.held`, ... The
 * newest one is the lock: held while its holder touches it, free when nobody did for a minute or its
 * holder released it. Taking the lock is making the next generation, which the file system lets one
 * process do. Generations are never used again, so whoever decided by an old one finds a newer.
 * Times are the file system's own, so that machines that share a folder need not agree on theirs.
 */
import { randomUUID } from "node:crypto";
import { link, mkdir, open, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { StoreLock } from "#core/ports/blob-store.ts";
import { systemCodeOf, unlessMissing } from "./file-errors.ts";
import { LOCK_LIFETIME_MS, lostLock, watchLock } from "./lock-watch.ts";

/** Files of the lock; a store does not show them. */
export const LOCK_SUFFIX = ".held";
/** Generations that a new one leaves alone, so that a list of the folder never misses all. */
const GENERATIONS_KEPT = 2;

/** Takes the lock at this path; undefined when another holder has it. */
export async function lockFile(path: string, name: string): Promise<StoreLock | undefined> {
  await mkdir(dirname(path), { recursive: true });
  const candidate = `${path}.${randomUUID()}${LOCK_SUFFIX}`;
  const askedAt = Date.now();
  await writeFile(candidate, "", { flag: "wx" });
  try {
    const { mtimeMs: nowMs } = await stat(candidate);
    const newest = await findNewest(path);
    if (newest > 0) {
      const held = await unlessMissing(stat(fileOf(path, newest)));
      if (held !== undefined && nowMs - held.mtimeMs < LOCK_LIFETIME_MS) return undefined;
    }
    const own = newest + 1;
    if (!(await linkNew(candidate, fileOf(path, own)))) return undefined;
    if ((await findNewest(path)) > own) {
      await rm(fileOf(path, own), { force: true });
      return undefined;
    }
    await removeOlder(path, own);
    return watchLock({
      name,
      askedAt,
      renew: () => renew(path, own, name),
      // A file that was last touched long ago is free.
      release: () => utimes(fileOf(path, own), 0, 0).catch(() => undefined),
    });
  } finally {
    await rm(candidate, { force: true });
  }
}

async function renew(path: string, own: number, name: string): Promise<"renewed"> {
  if ((await findNewest(path)) > own) throw lostLock(name);
  const file = await open(fileOf(path, own), "r+");
  try {
    // A write, not a time of ours: the file system's clock decides.
    await file.write("\n", 0);
  } finally {
    await file.close();
  }
  if ((await findNewest(path)) > own) throw lostLock(name);
  return "renewed";
}

async function linkNew(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") return false;
    throw error;
  }
}

async function removeOlder(path: string, own: number): Promise<void> {
  for (const generation of await listGenerations(path)) {
    if (generation > own - GENERATIONS_KEPT) continue;
    await rm(fileOf(path, generation), { force: true });
  }
}

async function findNewest(path: string): Promise<number> {
  return Math.max(0, ...(await listGenerations(path)));
}

async function listGenerations(path: string): Promise<number[]> {
  const start = `${basename(path)}.`;
  return (await readdir(dirname(path))).flatMap((file) => {
    if (!file.startsWith(start) || !file.endsWith(LOCK_SUFFIX)) return [];
    const generation = file.slice(start.length, -LOCK_SUFFIX.length);
    return /^[1-9]\d{0,14}$/.test(generation) ? [Number(generation)] : [];
  });
}

function fileOf(path: string, generation: number): string {
  return join(dirname(path), `${basename(path)}.${generation}${LOCK_SUFFIX}`);
}
