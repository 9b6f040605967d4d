import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";

export interface Measurement {
  readonly seconds: number;
  /** Bytes stored after the run, where that means something. */
  readonly storedBytes?: number;
}

export async function timed(
  work: () => Promise<unknown>,
  storedBytes?: () => Promise<number>,
): Promise<Measurement> {
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1000;
  return storedBytes === undefined ? { seconds } : { seconds, storedBytes: await storedBytes() };
}

export async function folderBytes(path: string): Promise<number> {
  const found = await stat(path);
  if (!found.isDirectory()) return found.size;
  let total = 0;
  for (const name of await readdir(path)) total += await folderBytes(join(path, name));
  return total;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
