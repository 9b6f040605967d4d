/**
 * Peak memory of the data mover by size of disk: full, incremental over a third, restore, each size in
 * a process of its own with the options of a worker's agent, into a folder.
 */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { createRepository } from "#core/repository/index.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import { inChild, peakMemoryMib } from "./holdfast-run.ts";
import { ScatteredDisk } from "./scattered-disk.ts";

const TIB = 2 ** 40;
const SIZES_TIB = [1, 4, 32];
const EXTENT_COUNT = 12_000;

export const memoryTaskSchema = z.object({
  folder: z.string(),
  sizeTib: z.number(),
  extentCount: z.number(),
});

type MemoryTask = z.infer<typeof memoryTaskSchema>;

const peaksSchema = z.object({
  sizeTib: z.number(),
  extentCount: z.number(),
  /** Highest so far after each step. */
  fullMib: z.number(),
  incrementalMib: z.number(),
  restoreMib: z.number(),
});

export type MoverPeaks = z.infer<typeof peaksSchema>;

export async function runMemory(folder: string): Promise<MoverPeaks[]> {
  const peaks: MoverPeaks[] = [];
  for (const sizeTib of SIZES_TIB) {
    const own = join(folder, `${sizeTib}-tib`);
    const task: MemoryTask = { folder: own, sizeTib, extentCount: EXTENT_COUNT };
    peaks.push(await inChild("memory", task, peaksSchema));
    await rm(own, { recursive: true });
  }
  return peaks;
}

/** In the child. */
export async function measureMemory(task: MemoryTask): Promise<MoverPeaks> {
  const signal = new AbortController().signal;
  const { sizeTib, extentCount } = task;
  const shape = { sizeBytes: sizeTib * TIB, extentCount };
  await using mover = new DataMover();
  const repository = await createRepository(
    new FolderStore(task.folder),
    {
      encryption: { kind: "password", password: "bench" },
      random: (byteCount) => randomBytes(byteCount),
      now: new Date(),
    },
    signal,
  );
  const disk = { repository, diskId: "bench" };
  const first = new ScatteredDisk({ ...shape, generation: 1 });
  const full = await mover.backupDisk({ ...disk, pointId: "first", reader: first }, signal);
  const fullMib = peakMemoryMib();
  const reader = new ScatteredDisk({ ...shape, generation: 2 });
  const since = { parent: full.reference, previousSas: "" };
  const point = { ...disk, pointId: "second", reader, since };
  const { reference } = await mover.backupDisk(point, signal);
  const incrementalMib = peakMemoryMib();
  const writer = { write: async () => undefined, finish: async () => undefined };
  const nowhere = { ...writer, [Symbol.asyncDispose]: async () => undefined };
  const restored = await mover.restoreDisk({ repository, reference, writer: nowhere }, signal);
  if (restored.writtenBytes !== full.stats.readBytes) throw new Error("the restore is incomplete");
  return { sizeTib, extentCount, fullMib, incrementalMib, restoreMib: peakMemoryMib() };
}
