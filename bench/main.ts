/**
 * Measures first backup, incremental (2 % of random 64 KiB writes) and restore of our engine into a
 * local folder, encrypted, beside other tools on the same bytes. Runs are interleaved; medians and
 * ratios are printed and written to bench/results/.
 *
 *   npm run bench -- [--large] [--size-mib N] [--rounds N] [--seed TEXT]
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { createRepository, type DiskPointReference } from "#core/repository/index.ts";
import { DataMover } from "#worker-agent/data-mover/data-mover.ts";
import { CHANGE_BYTES, changeImage, makeImage } from "./disk-image.ts";
import { FileDiskReader, FileDiskWriter } from "./file-disk.ts";
import { folderBytes, median, timed, type Measurement } from "./measurement.ts";
import { resticPeer, zstdPeer, type PeerRun } from "./peers.ts";

const MIB = 1024 * 1024;
const { values } = parseArgs({
  options: {
    large: { type: "boolean", default: false },
    "size-mib": { type: "string" },
    rounds: { type: "string", default: "3" },
    seed: { type: "string", default: "1" },
  },
});
const sizeBytes = Number(values["size-mib"] ?? (values.large ? 4096 : 512)) * MIB;
const rounds = Number(values.rounds);
const signal = new AbortController().signal;
type Step = "first" | "incremental" | "restore";
type Results = Map<string, Record<Step, Measurement[]>>;

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) hash.update(chunk);
  return hash.digest("hex");
}

function record(results: Results, tool: string, step: Step, measurement: Measurement): void {
  const steps = results.get(tool) ?? { first: [], incremental: [], restore: [] };
  steps[step].push(measurement);
  results.set(tool, steps);
}

async function benchOurs(
  results: Results,
  work: { folder: string; first: string; second: string; changes: number[] },
): Promise<void> {
  const store = join(work.folder, "repository");
  await rm(store, { recursive: true, force: true });
  await using mover = new DataMover();
  const repository = await createRepository(
    new FolderStore(store),
    {
      encryption: { kind: "password", password: "bench" },
      random: (byteCount) => randomBytes(byteCount),
      now: new Date(),
    },
    signal,
  );
  let reference: DiskPointReference | undefined;
  const backUp = async (pointId: string, path: string, changes?: readonly number[]) => {
    const ranges = (changes ?? []).map(
      (offsetBytes) => ({ kind: "data", offsetBytes, lengthBytes: CHANGE_BYTES }) as const,
    );
    await using reader = await FileDiskReader.open(path, ranges);
    const since = reference && changes ? { since: { parent: reference, previousSas: "" } } : {};
    const written = await mover.backupDisk(
      { repository, diskId: "bench", pointId, reader, ...since },
      signal,
    );
    reference = written.reference;
  };
  const size = () => folderBytes(store);
  record(results, "holdfast", "first", await timed(() => backUp("p1", work.first), size));
  record(
    results,
    "holdfast",
    "incremental",
    await timed(() => backUp("p2", work.second, work.changes), size),
  );
  const target = join(work.folder, "restored.img");
  const restore = async () => {
    await using writer = await FileDiskWriter.create(target, sizeBytes);
    if (reference === undefined) throw new Error("nothing to restore");
    await mover.restoreDisk({ repository, reference, writer }, signal);
  };
  record(results, "holdfast", "restore", await timed(restore));
  if ((await sha256(target)) !== (await sha256(work.second))) throw new Error("restore differs");
  await rm(target);
}

async function benchPeer(results: Results, tool: string, peer: PeerRun, swap: () => Promise<void>) {
  record(results, tool, "first", await peer.first());
  if (peer.incremental !== undefined) {
    await swap();
    record(results, tool, "incremental", await peer.incremental());
  }
  record(results, tool, "restore", await peer.restore());
}

function summaryOf(results: Results) {
  const stored = (runs: readonly Measurement[]) =>
    median(runs.map((run) => run.storedBytes ?? Number.NaN));
  return [...results].map(([tool, steps]) => ({
    tool,
    firstSeconds: median(steps.first.map(({ seconds }) => seconds)),
    firstStoredMib: stored(steps.first) / MIB,
    incrementalSeconds: median(steps.incremental.map(({ seconds }) => seconds)),
    incrementalStoredMib: (stored(steps.incremental) - stored(steps.first)) / MIB,
    restoreSeconds: median(steps.restore.map(({ seconds }) => seconds)),
  }));
}

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-bench-"));
  try {
    const first = join(folder, "first.img");
    const second = join(folder, "second.img");
    const shown = join(folder, "image.img");
    const contentBytes = await makeImage(folder, first, sizeBytes);
    await copyFile(first, second);
    const changes = await changeImage(second, sizeBytes, { share: 0.02, seed: values.seed });
    const results: Results = new Map();
    const missing: string[] = [];
    for (let round = 0; round < rounds; round++) {
      await benchOurs(results, { folder, first, second, changes });
      for (const [tool, makePeer] of [
        ["zstd -3", zstdPeer],
        ["restic", resticPeer],
      ] as const) {
        const own = join(folder, `peer-${tool.replace(/\W/g, "")}`);
        await mkdir(own);
        await copyFile(first, shown);
        const peer = makePeer(own, shown);
        if (peer === "not installed") {
          if (round === 0) missing.push(tool);
        } else await benchPeer(results, tool, peer, () => copyFile(second, shown));
        await rm(own, { recursive: true });
      }
    }
    const report = {
      measuredAt: new Date().toISOString(),
      image: {
        sizeMib: sizeBytes / MIB,
        contentMib: Math.round(contentBytes / MIB),
        seed: values.seed,
        changedMib: (changes.length * CHANGE_BYTES) / MIB,
      },
      machine: {
        cpu: cpus()[0]?.model ?? "unknown",
        cores: availableParallelism(),
        node: process.version,
      },
      rounds,
      notInstalled: missing,
      peakRssMib: Math.round(process.resourceUsage().maxRSS / 1024),
      medians: summaryOf(results),
    };
    const target = join(import.meta.dirname, "results", `${sizeBytes / MIB}-mib.json`);
    await mkdir(join(import.meta.dirname, "results"), { recursive: true });
    await writeFile(
      target,
      `${JSON.stringify(report, (_, value: unknown) => (Number.isNaN(value) ? null : value), 2)}\n`,
    );
    print(report.medians, missing, report.peakRssMib);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function print(
  medians: ReturnType<typeof summaryOf>,
  missing: readonly string[],
  peakRssMib: number,
) {
  console.table(medians);
  const ours = medians.find(({ tool }) => tool === "holdfast");
  for (const peer of medians) {
    if (ours === undefined || peer.tool === "holdfast") continue;
    const ratio = (left: number, right: number) => (left / right).toFixed(2);
    console.log(
      `${peer.tool} / holdfast: first ${ratio(peer.firstSeconds, ours.firstSeconds)} of the time, ` +
        `restore ${ratio(peer.restoreSeconds, ours.restoreSeconds)}, stored ${ratio(peer.firstStoredMib, ours.firstStoredMib)}`,
    );
  }
  if (missing.length > 0) console.log(`Not installed, so not compared: ${missing.join(", ")}.`);
  console.log(`Peak memory of this process: ${peakRssMib} MiB.`);
}

await main();
