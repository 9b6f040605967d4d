/**
 * One round of Holdfast in a process of its own, started with the options that a worker's agent has,
 * so that its peak memory is that of the data mover and nothing else.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { z } from "zod";
import { createRepository } from "#core/repository/index.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import { CHANGE_BYTES, type DiskImages } from "./disk-image.ts";
import { FileDiskReader, FileDiskWriter } from "./file-disk.ts";
import { timed, type Measurement } from "./measurement.ts";
import { run } from "./programs.ts";
import { openStore, storeSchema } from "./stores.ts";

/** As a worker starts its agent (worker-agent/agent.service). */
const AGENT_OPTIONS = ["--max-semi-space-size=4"];
const AGENT_ENVIRONMENT = { MALLOC_ARENA_MAX: "2" };

export const holdfastTaskSchema = z.object({
  store: storeSchema,
  /** Where the restored image goes. */
  folder: z.string(),
  images: z.object({
    first: z.string(),
    second: z.string(),
    sizeBytes: z.number(),
    contentBytes: z.number(),
    changes: z.array(z.number()),
  }),
});

export type HoldfastTask = z.infer<typeof holdfastTaskSchema>;

const measurementSchema = z.object({
  seconds: z.number(),
  storedBytes: z.number().exactOptional(),
});
const holdfastRoundSchema = z.object({
  first: measurementSchema,
  incremental: measurementSchema,
  restore: measurementSchema,
  peakMemoryMib: z.number(),
});

export type HoldfastRound = z.infer<typeof holdfastRoundSchema>;

/** Runs a child of this program with `task` on its standard input and reads its JSON answer. */
export async function inChild<Answer>(
  name: string,
  task: unknown,
  schema: z.ZodType<Answer>,
): Promise<Answer> {
  const program = join(import.meta.dirname, "main.ts");
  const child = spawn(process.execPath, [...AGENT_OPTIONS, program, "--child", name], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...AGENT_ENVIRONMENT },
  });
  child.stdin.end(JSON.stringify(task));
  const [answer, [status]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  if (status !== 0) throw new Error(`The measurement ${name} failed (exit code ${status}).`);
  return schema.parse(JSON.parse(answer));
}

export async function runHoldfast(task: HoldfastTask): Promise<HoldfastRound> {
  return inChild("holdfast", task, holdfastRoundSchema);
}

/** In the child: first backup, incremental, restore, and a comparison of every byte. */
export async function measureHoldfast(task: HoldfastTask): Promise<HoldfastRound> {
  const signal = new AbortController().signal;
  const { images } = task;
  const store = openStore(task.store);
  await using mover = new DataMover();
  const repository = await createRepository(
    store,
    {
      encryption: { kind: "password", password: "bench" },
      random: (byteCount) => randomBytes(byteCount),
      now: new Date(),
    },
    signal,
  );
  const disk = { repository, diskId: "bench" };
  const size = async () => storedBytes(store, signal);
  let parent: Awaited<ReturnType<DataMover["backupDisk"]>>["reference"] | undefined;
  const first = await timed(
    images.first,
    async () => {
      await using reader = await FileDiskReader.open(images.first);
      const written = await mover.backupDisk({ ...disk, pointId: "first", reader }, signal);
      parent = written.reference;
    },
    size,
  );
  const incremental = await timed(
    images.second,
    async () => {
      await using reader = await FileDiskReader.open(images.second, changedRanges(images));
      if (parent === undefined) throw new Error("there is no first backup");
      const since = { parent, previousSas: "" };
      const point = { ...disk, pointId: "second", reader, since };
      parent = (await mover.backupDisk(point, signal)).reference;
    },
    size,
  );
  const restored = join(task.folder, "restored.img");
  const restore: Measurement = await timed(undefined, async () => {
    await using writer = await FileDiskWriter.create(restored, images.sizeBytes);
    if (parent === undefined) throw new Error("there is nothing to restore");
    await mover.restoreDisk({ repository, reference: parent, writer }, signal);
  });
  const peak = peakMemoryMib();
  run("cmp", [restored, images.second]);
  return { first, incremental, restore, peakMemoryMib: peak };
}

function changedRanges(images: Pick<DiskImages, "changes">) {
  return images.changes.map(
    (offsetBytes) => ({ kind: "data", offsetBytes, lengthBytes: CHANGE_BYTES }) as const,
  );
}

async function storedBytes(store: BlobStore, signal: AbortSignal): Promise<number> {
  let total = 0;
  for await (const blob of store.list("", signal)) total += blob.sizeBytes;
  return total;
}

/** VmHWM: the most physical memory that this process ever had (man 5 proc). */
export function peakMemoryMib(): number {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  return Math.round(Number(kib) / 1024);
}
