import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { run } from "./programs.ts";

export const STEPS = ["first", "incremental", "restore"] as const;
export type Step = (typeof STEPS)[number];

export interface Measurement {
  readonly seconds: number;
  /** Bytes in the repository after the step. */
  readonly storedBytes?: number;
}

/** One round of one tool; a tool without incrementals leaves that step out. */
export type Round = Partial<Record<Step, Measurement>>;

/** `input` = file that the step reads; what was just written is in memory anyway. */
export async function timed(
  input: string | undefined,
  work: () => unknown,
  storedBytes?: () => Promise<number>,
): Promise<Measurement> {
  settle(input);
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1000;
  return storedBytes === undefined ? { seconds } : { seconds, storedBytes: await storedBytes() };
}

/** A quiet disk and the input in memory: no step pays for the dirty pages of the one before it. */
export function settle(input: string | undefined): void {
  run("sync", []);
  if (input !== undefined) run("sh", ["-c", 'cat "$0" > /dev/null', input]);
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
