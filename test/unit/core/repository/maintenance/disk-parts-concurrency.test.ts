/** The cells of `docs/concurrency.md` about parts of a disk, each in many seeded interleavings. */
import { expect, it } from "vitest";
import { HoldfastError, codeOf, isRetryable } from "#core/lib/errors.ts";
import { BlockMap } from "#core/repository/block-map.ts";
import { listDiskPointSequences } from "#core/repository/disk-points.ts";
import {
  collectGarbage,
  readDiskPoint,
  type Repository,
  type WrittenDiskPoint,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import {
  TestDisk,
  SECTOR,
  backUp,
  failureOf,
  newRepository,
  restore,
  seededRandom,
  signal,
} from "../fixtures.ts";
import { BLOCK, DISK, LEAF, joinParts, partsAt, writePart } from "../writer/parts-world.ts";
import { Interleaving } from "./interleaving.ts";
import { range } from "./vm-world.ts";

const SEEDS = range(1, 13);
const DAY_MS = 24 * 60 * 60 * 1000;
const MAX_TRIES = 40;

/**
 * A disk with a point, and packs of a dead backup for the next one: old enough to be marked in half
 * of the orders, and still of use to the parts in the others.
 */
async function stageOf(seed: number) {
  const clock = { nowMs: Date.parse("2026-03-01T00:00:00Z") };
  const store = new MemoryStore(() => new Date(clock.nowMs));
  const repository = await newRepository(store);
  const disk = new TestDisk(2 * LEAF + SECTOR);
  disk.write(0, seededRandom("one")(4 * BLOCK));
  disk.write((LEAF + 8 * BLOCK) / SECTOR, seededRandom("two")(4 * BLOCK));
  await backUp(repository, disk, "p0", disk.full());
  disk.write(8, seededRandom("changed")(3 * BLOCK));
  disk.write((LEAF + 9 * BLOCK) / SECTOR, seededRandom("changed too")(3 * BLOCK));
  store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.includes("/indexes/")) throw new HoldfastError("Dead", "d");
  };
  expect(await failureOf(backUp(repository, disk, "dead", disk.full()))).toBe("Dead");
  store.beforeOperation = () => undefined;
  clock.nowMs += (seed % 2 === 0 ? 8 : 1) * DAY_MS;
  const order = new Interleaving(seed);
  const through: Repository = { ...repository, store: order.store(store) };
  const parts = partsAt([0, 1], disk.bytes.length);
  return { clock, store, repository, disk, order, through, parts };
}
type Stage = Awaited<ReturnType<typeof stageOf>>;

async function retried<Value>(work: (process: number) => Promise<Value>): Promise<Value> {
  for (let process = 0; process < MAX_TRIES; process++) {
    try {
      return await work(process);
    } catch (error) {
      if (!isRetryable(error)) throw error;
    }
  }
  throw new Error("no end of errors that may pass");
}

/** The workers of the parts, then the coordinator: it joins, or reads everything itself. */
function sharedBackup(stage: Stage, found: { how?: string }) {
  const { through: repository, disk, parts, order } = stage;
  const wait = () => order.turn();
  const backup = (process: string) => ({ repository, disk, pointId: "p1", process });
  return async (): Promise<void> => {
    await Promise.all(parts.map((part) => writePart(backup("part"), part)));
    const point = await retried(async (process): Promise<WrittenDiskPoint> => {
      try {
        const joined = await joinParts(backup(`join ${process}`), parts, { wait });
        found.how = "joined";
        return joined;
      } catch (error) {
        if (codeOf(error) !== "DiskPartsUnusable") throw error;
        found.how = "read";
        const random = seededRandom(`whole ${process}`);
        return backUp(repository, disk, "p1", disk.full(), { random, wait });
      }
    });
    expect(point.manifest.pointId).toBe("p1");
  };
}

function collector({ through, clock }: Stage, pauses: readonly number[]) {
  return async (): Promise<void> => {
    for (const [run, days] of pauses.entries()) {
      const now = () => new Date(clock.nowMs);
      await collectGarbage(through, { now, random: seededRandom(`collector ${run}`) }, signal);
      clock.nowMs += days * DAY_MS;
    }
  };
}

async function requireNoLoss(stage: Stage, pointIds: readonly string[]): Promise<void> {
  const { store, repository, disk, clock } = stage;
  store.breakLocks();
  for (let run = 0; run < 3; run++) {
    clock.nowMs += 10 * DAY_MS;
    const now = () => new Date(clock.nowMs);
    await collectGarbage(repository, { now, random: seededRandom(`last ${run}`) }, signal);
  }
  const found: string[] = [];
  const needed = new Set<string>();
  for (const sequence of await listDiskPointSequences(repository, DISK, signal)) {
    const point = await readDiskPoint(repository, DISK, sequence, signal);
    const content = await restore(repository, point.reference);
    if (point.manifest.pointId !== "p0") expect(content.equals(disk.bytes)).toBe(true);
    found.push(point.manifest.pointId);
    const { root } = await BlockMap.open(repository, point, signal);
    for (const id of [...root.packs.keys(), ...root.indexes.keys()]) needed.add(id);
    needed.add(point.manifest.root?.indexId ?? "");
  }
  expect(found.sort()).toEqual(pointIds);
  const garbage = [...store.objects.keys()].filter((name) => {
    const id = /\/([0-9a-f]{32})\.(?:pack|index)$/.exec(name)?.[1];
    return name.includes("/attempts/") || (id !== undefined && !needed.has(id));
  });
  expect(garbage).toEqual([]);
}

it.each(SEEDS)("parts and garbage collection: the point is whole (order %i)", async (seed) => {
  const stage = await stageOf(seed);
  await stage.order.run([sharedBackup(stage, {}), collector(stage, [0.5, 1.5, 0.5])]);
  await requireNoLoss(stage, ["p0", "p1"]);
});

it.each(SEEDS)(
  "parts and collections of many days: read anew or whole (order %i)",
  async (seed) => {
    const stage = await stageOf(seed);
    await stage.order.run([sharedBackup(stage, {}), collector(stage, [8, 8, 8, 8])]);
    await requireNoLoss(stage, ["p0", "p1"]);
  },
);

it.each(SEEDS)(
  "parts and another backup of the disk: both points are whole (order %i)",
  async (seed) => {
    const stage = await stageOf(seed);
    const { through, disk, order } = stage;
    const other = async (): Promise<void> => {
      const wait = () => order.turn();
      await retried((process) => {
        const random = seededRandom(`other ${process}`);
        return backUp(through, disk, "other", disk.full(), { random, wait });
      });
    };
    await stage.order.run([sharedBackup(stage, {}), other]);
    await requireNoLoss(stage, ["other", "p0", "p1"]);
  },
);

it("the interleavings above reach both ends: joined, and read as a whole", async () => {
  const ends = new Set<string | undefined>();
  for (const seed of SEEDS) {
    const stage = await stageOf(seed);
    const found: { how?: string } = {};
    await stage.order.run([sharedBackup(stage, found), collector(stage, [0.5, 1.5, 0.5])]);
    ends.add(found.how);
    if (ends.size === 2) break;
  }
  expect([...ends].sort()).toEqual(["joined", "read"]);
});
