/**
 * Measures the data mover on a reproducible disk image beside other tools on the same bytes: first
 * backup, incremental after 2 % of random 64 KiB writes, restore with a comparison of every byte.
 * Runs are interleaved; medians, ratios and verdicts are printed and written to bench/results/.
 */
import { availableParallelism, cpus, tmpdir } from "node:os";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { prepareImages, type DiskImages } from "./disk-image.ts";
import { holdfastTaskSchema, measureHoldfast, runHoldfast } from "./holdfast-run.ts";
import { median, type Round } from "./measurement.ts";
import { runEndToEnd } from "./end-to-end-run.ts";
import { measureMemory, memoryTaskSchema, runMemory } from "./memory-run.ts";
import { memoryVerdictsOf } from "./memory-verdicts.ts";
import { PEERS } from "./peers.ts";
import { installPrograms } from "./programs.ts";
import { startAzurite } from "./stores.ts";
import { mediansOf, verdictsOf, type Medians } from "./verdicts.ts";

const USAGE = `npm run bench -- [OPTION]...

  --large            image of 4 GiB with 2 GiB of files (default 512 MiB with 256 MiB)
  --size-mib N       image of another size
  --rounds N         rounds of all tools, interleaved (default 3)
  --peers A,B        of zstd, restic, borg, qemu-img (default all; missing ones are installed); none
  --store KIND       repository of Holdfast: folder (default) or azurite
  --seed TEXT        of the changes between the two images (default 1)
  --fresh            build the images anew
  --memory           instead: peak memory for disks of 1, 4 and 32 TiB; fails when a bar is missed
  --end-to-end       with --memory: of a worker's agent in the local Azure, 1 GiB on 1 and 32 TiB
`;

const MIB = 2 ** 20;
const { values } = parseArgs({
  options: {
    large: { type: "boolean", default: false },
    "size-mib": { type: "string" },
    rounds: { type: "string", default: "3" },
    peers: { type: "string", default: Object.keys(PEERS).join(",") },
    store: { type: "string", default: "folder" },
    seed: { type: "string", default: "1" },
    fresh: { type: "boolean", default: false },
    memory: { type: "boolean", default: false },
    "end-to-end": { type: "boolean", default: false },
    help: { type: "boolean", default: false },
    child: { type: "string" },
  },
});

interface Plan {
  readonly sizeBytes: number;
  readonly rounds: number;
  readonly peers: readonly string[];
  readonly store: "folder" | "azurite";
}

function planOf(): Plan {
  const sizeMib = Number(values["size-mib"] ?? (values.large ? 4096 : 512));
  const rounds = Number(values.rounds);
  const peers = values.peers === "none" ? [] : values.peers.split(",");
  const { store } = values;
  const isSound =
    Number.isInteger(sizeMib) &&
    sizeMib >= 64 &&
    Number.isInteger(rounds) &&
    rounds >= 1 &&
    peers.every((peer) => peer in PEERS);
  if (!isSound || (store !== "folder" && store !== "azurite")) throw new Error(USAGE);
  return { sizeBytes: sizeMib * MIB, rounds, peers, store };
}

interface Rounds {
  readonly byTool: Map<string, Round[]>;
  readonly peakMemoryMib: number[];
}

async function runRounds(plan: Plan, images: DiskImages, work: string): Promise<Rounds> {
  const byTool = new Map<string, Round[]>();
  const peakMemoryMib: number[] = [];
  const inOwnFolder = async (tool: string, step: (folder: string) => Promise<Round>) => {
    const folder = join(work, tool);
    await mkdir(folder);
    const measured = await step(folder);
    byTool.set(tool, [...(byTool.get(tool) ?? []), measured]);
    await rm(folder, { recursive: true });
  };
  for (let round = 1; round <= plan.rounds; round++) {
    console.error(`Round ${round} of ${plan.rounds} ...`);
    await inOwnFolder("holdfast", async (folder) => {
      const { peakMemoryMib: peak, ...measured } = await roundOfHoldfast(plan, images, folder);
      peakMemoryMib.push(peak);
      return measured;
    });
    for (const peer of plan.peers) {
      await inOwnFolder(peer, async (folder) => PEERS[peer]!.run(folder, images));
    }
  }
  return { byTool, peakMemoryMib };
}

async function roundOfHoldfast(plan: Plan, images: DiskImages, folder: string) {
  if (plan.store === "folder") {
    const store = { kind: "folder", path: join(folder, "repository") } as const;
    return runHoldfast({ store, folder, images });
  }
  await using azurite = await startAzurite(join(folder, "azurite"));
  // Awaited here: Azurite stops when this function returns.
  return await runHoldfast({ store: azurite.location, folder, images });
}

async function measureSpeed(plan: Plan): Promise<void> {
  installPrograms(["mke2fs", ...plan.peers.map((peer) => PEERS[peer]!.program)]);
  const { sizeBytes } = plan;
  const images = await prepareImages({ sizeBytes, seed: values.seed, isFresh: values.fresh });
  const { byTool, peakMemoryMib } = await inWorkFolder((work) => runRounds(plan, images, work));
  const medians = new Map([...byTool].map(([tool, rounds]) => [tool, mediansOf(rounds)]));
  const verdicts = verdictsOf(medians);
  const { changes, contentBytes } = images;
  const sizeMib = sizeBytes / MIB;
  await writeReport(`${sizeMib}-mib${plan.store === "azurite" ? "-azurite" : ""}`, {
    image: {
      sizeMib,
      contentMib: Math.round(contentBytes / MIB),
      seed: values.seed,
      changedMib: Math.round(changes.length / 16),
    },
    repository: plan.store,
    rounds: plan.rounds,
    verdicts,
    peakMemoryMib: median(peakMemoryMib),
    medians: Object.fromEntries(medians),
    runs: Object.fromEntries(byTool),
  });
  console.table(Object.fromEntries([...medians].map(([tool, steps]) => [tool, rowOf(steps)])));
  console.table(Object.fromEntries(verdicts.map(({ name, ...verdict }) => [name, verdict])));
  console.log(`Peak memory of the Holdfast process: ${median(peakMemoryMib)} MiB.`);
}

function rowOf({ first, incremental, restore }: Medians) {
  const shown = (value: number) => (Number.isNaN(value) ? "" : Number(value.toFixed(2)));
  return {
    "first s": shown(first.seconds),
    "first MiB": shown(first.storedMib),
    "incremental s": shown(incremental.seconds),
    "incremental MiB": shown(incremental.storedMib),
    "restore s": shown(restore.seconds),
  };
}

async function measureMemoryPeaks(): Promise<void> {
  const isWhole = values["end-to-end"];
  const peaks = isWhole ? await runEndToEnd() : await inWorkFolder(runMemory);
  const verdicts = memoryVerdictsOf(peaks);
  await writeReport(isWhole ? "memory-end-to-end" : "memory", { verdicts, peaks });
  console.table(peaks);
  console.table(verdicts);
  if (verdicts.some(({ isMet }) => !isMet)) process.exitCode = 1;
}

async function inWorkFolder<Result>(work: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-bench-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function writeReport(name: string, report: object): Promise<void> {
  const machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    node: process.version,
  };
  const folder = join(import.meta.dirname, "results");
  await mkdir(folder, { recursive: true });
  const whole = { measuredAt: new Date().toISOString(), machine, ...report };
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(whole, undefined, 2)}\n`);
}

/** A measurement that runs in a process of its own: task on standard input, answer on output. */
async function runChild(name: string): Promise<void> {
  const task = await json(process.stdin);
  const answer =
    name === "memory"
      ? await measureMemory(memoryTaskSchema.parse(task))
      : await measureHoldfast(holdfastTaskSchema.parse(task));
  process.stdout.write(JSON.stringify(answer));
}

if (values.help) console.log(USAGE);
else if (values.child !== undefined) await runChild(values.child);
else if (values.memory) await measureMemoryPeaks();
else await measureSpeed(planOf());
