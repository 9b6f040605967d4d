/** The cells of `docs/concurrency.md` that are not trivial, each in many seeded interleavings. */
import { beforeAll, expect, it } from "vitest";
import { HoldfastError, codeOf, isRetryable } from "#core/lib/errors.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { expireVmPoints, readVmPoint, rotateRepositoryKey } from "#core/repository/index.ts";
import { failureOf, password, reopen, restore, signal } from "../fixtures.ts";
import { Interleaving } from "./interleaving.ts";
import { VM, range, worldOfThreePoints, type VmWorld } from "./vm-world.ts";

const SEEDS = range(1, 11);
const DAY_MS = 24 * 60 * 60 * 1000;
const MAX_TRIES = 40;

interface Stage {
  readonly world: VmWorld;
  readonly order: Interleaving;
  readonly store: BlobStore;
}

/** Three points, garbage in every phase: ripe to be swept, just marked, and left by a dead writer. */
let prepared: VmWorld;

beforeAll(async () => {
  prepared = await worldOfThreePoints();
  const dying = { pointId: "p4", image: prepared.change("p3", "dead", range(0, 16)) };
  prepared.store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.includes("/indexes/")) throw new HoldfastError("Dead", "d");
  };
  const death = prepared.backUp({ ...dying, parentId: "p3", changed: range(0, 16) });
  expect(await failureOf(death)).toBe("Dead");
  prepared.store.beforeOperation = () => undefined;
  prepared.passDays(8);
  await prepared.expire(["p1"]);
  await prepared.collect();
  prepared.passDays(1);
});

function stageOf(seed: number): Stage {
  const world = prepared.copy();
  const order = new Interleaving(seed);
  return { world, order, store: order.store(world.store) };
}

/** Runs a backup as the control plane does: again, as long as the error may pass. */
function writer(stage: Stage, pointId: string, blocks: readonly number[], locked = true) {
  const { world, order, store } = stage;
  const image = world.change("p3", pointId, blocks);
  const immutableUntil = new Date(world.nowMs + 3 * DAY_MS);
  return async (): Promise<void> => {
    let parentId: string | undefined = "p3";
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const backup = {
        pointId,
        image,
        ...(parentId === undefined ? {} : { parentId, changed: blocks }),
        ...(locked ? { wait: () => order.turn() } : {}),
        carryForward: { liveShareBelow: 0.9, minimumAgeSeconds: 1, maxMovedBytes: 2 ** 30 },
        ...(pointId === "p5" ? { immutableUntil } : {}),
      };
      try {
        await world.backUp(backup, store);
        return;
      } catch (error) {
        if (codeOf(error) === "VmPointNotFound") parentId = undefined;
        else if (!isRetryable(error)) throw error;
      }
    }
    throw new Error(`${pointId} was not written in ${MAX_TRIES} tries`);
  };
}

/** Collections with days in between: whatever is marked by one is swept by a later one. */
function collector({ world, store }: Stage, days: readonly number[]) {
  return async (): Promise<void> => {
    for (const pause of days) {
      await world.collect(store);
      world.passDays(pause);
    }
  };
}

function expirer({ world, store }: Stage, pointIds: readonly string[], isActive: boolean) {
  return async (): Promise<void> => {
    if (isActive) {
      await world.expire(pointIds, store);
      return;
    }
    const points = pointIds.map((pointId) => ({ vmId: VM, pointId }));
    const options = { points, activeDiskIds: [], now: () => world.now() };
    await expireVmPoints(world.through(store), options, signal);
  };
}

/** A partition of the network: whoever holds a lock loses it, some time. */
function lockBreaker({ world, order }: Stage, times: number) {
  return async (): Promise<void> => {
    for (let time = 0; time < times; time++) {
      const pause = Math.floor(order.dice() * 40);
      for (let step = 0; step < pause; step++) await order.turn();
      world.store.breakLocks();
    }
  };
}

/** @returns codes of the errors of readers; content that differs fails the test at once */
function reader({ world, store }: Stage, pointId: string, errors: string[] = []) {
  const image = world.images.get(pointId);
  return async (): Promise<void> => {
    try {
      const repository = world.through(store);
      const point = await readVmPoint(repository, VM, pointId, signal);
      for (const { diskPoint } of point.disks) {
        const content = await restore(repository, diskPoint);
        expect(content.equals(image!), `content of ${pointId}`).toBe(true);
      }
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      errors.push(error.code);
    }
  };
}

/** No point is lost or damaged, now and after all garbage is gone. */
async function requireNoLoss({ world }: Stage, pointIds: readonly string[]): Promise<void> {
  world.store.breakLocks();
  expect(await world.pointIds()).toEqual(pointIds);
  await world.collectAll();
  await world.expire([]);
  world.passDays(30);
  await world.collectAll();
  expect(await world.requireIntact()).toEqual(pointIds);
  expect(await world.leftovers()).toEqual([]);
}

it.each(SEEDS)("two writers on one disk: both points are written (order %i)", async (seed) => {
  const stage = stageOf(seed);
  const writers = [writer(stage, "p4", range(0, 16)), writer(stage, "p5", range(8, 24))];
  await stage.order.run(writers);
  await requireNoLoss(stage, ["p2", "p3", "p4", "p5"]);
});

it.each(SEEDS)("two writers without a lock: both points are written (order %i)", async (seed) => {
  const stage = stageOf(seed);
  const writers = [
    writer(stage, "p4", range(0, 16), false),
    writer(stage, "p5", range(8, 24), false),
  ];
  await stage.order.run(writers);
  await requireNoLoss(stage, ["p2", "p3", "p4", "p5"]);
});

it.each(SEEDS)(
  "a writer and garbage collection: neither harms the other (order %i)",
  async (seed) => {
    const stage = stageOf(seed);
    await stage.order.run([
      writer(stage, "p4", range(0, 16)),
      collector(stage, [8, 1, 0]),
      lockBreaker(stage, seed % 3),
    ]);
    await requireNoLoss(stage, ["p2", "p3", "p4"]);
  },
);

it.each(SEEDS)(
  "a writer and retention: its parent may expire meanwhile (order %i)",
  async (seed) => {
    const stage = stageOf(seed);
    const isActive = seed % 2 === 0;
    await stage.order.run([
      writer(stage, "p4", range(0, 16)),
      async () => {
        await expirer(stage, ["p2", "p3"], isActive)();
        await collector(stage, [8, 1, 0])();
      },
      lockBreaker(stage, seed % 3),
    ]);
    const pointIds = await stage.world.pointIds();
    expect(pointIds).toContain("p4");
    await requireNoLoss(stage, pointIds);
  },
);

it.each(SEEDS)(
  "a reader and garbage collection: a kept point stays whole (order %i)",
  async (seed) => {
    const stage = stageOf(seed);
    const errors: string[] = [];
    await stage.order.run([reader(stage, "p3", errors), collector(stage, [8, 1, 0])]);
    expect(errors).toEqual([]);
  },
);

it.each(SEEDS)(
  "a reader of a point that expires can end within the margin (order %i)",
  async (seed) => {
    const stage = stageOf(seed);
    const { world, store } = stage;
    const opened = await readVmPoint(world.through(), VM, "p2", signal);
    const errors: string[] = [];
    let hasExpired = false;
    await stage.order.run([
      async () => {
        // Expiry may come before the reader has the map, but then it says so.
        const repository = world.through(store);
        const compare = async (): Promise<void> => {
          const content = await restore(repository, opened.disks[0]!.diskPoint);
          expect(content.equals(world.images.get("p2")!)).toBe(true);
        };
        const failure = await failureOf(compare());
        if (failure !== "no failure") errors.push(failure);
      },
      async () => {
        await expirer(stage, ["p2"], true)();
        hasExpired = true;
        await collector(stage, [0.5, 0.4, 0])();
      },
    ]);
    expect(hasExpired).toBe(true);
    expect(errors.every((code) => code === "DiskPointNotFound")).toBe(true);
  },
);

it.each(SEEDS)(
  "a reader of a point that is swept gets an error, never wrong bytes (order %i)",
  async (seed) => {
    const stage = stageOf(seed);
    const errors: string[] = [];
    await stage.order.run([
      reader(stage, "p2", errors),
      async () => {
        await expirer(stage, ["p2"], true)();
        await collector(stage, [8, 1, 0])();
      },
    ]);
    const clear = ["VmPointNotFound", "DiskPointNotFound", "RepositoryDamaged"];
    expect(clear).toEqual(expect.arrayContaining(errors));
    await requireNoLoss(stage, ["p3"]);
  },
);

it.each(SEEDS)(
  "two collections at once: the same garbage goes, nothing else (order %i)",
  async (seed) => {
    const stage = stageOf(seed);
    await stage.order.run([
      collector(stage, [8, 1, 0]),
      collector(stage, [0, 0]),
      lockBreaker(stage, seed % 3),
    ]);
    await requireNoLoss(stage, ["p2", "p3"]);
  },
);

it.each(SEEDS)("everything at once: no loss, no deadlock (order %i)", async (seed) => {
  const stage = stageOf(seed);
  await stage.order.run([
    writer(stage, "p4", range(0, 16)),
    writer(stage, "p5", range(8, 24)),
    expirer(stage, ["p2", "p3"], true),
    expirer(stage, ["p2"], true),
    collector(stage, [8, 1, 8, 1, 0]),
    collector(stage, [0, 0]),
    reader(stage, "p3"),
    lockBreaker(stage, 2),
  ]);
  const pointIds = await stage.world.pointIds();
  expect(pointIds).toEqual(expect.arrayContaining(["p4", "p5"]));
  await requireNoLoss(stage, pointIds);
});

it.each(SEEDS)(
  "a backup and a new repository key: every point opens afterwards (order %i)",
  async (seed) => {
    const stage = stageOf(seed);
    const { world, store } = stage;
    const random = world.random();
    await stage.order.run([
      writer(stage, "p4", range(0, 16)),
      async () => {
        const secrets = [password];
        const options = { secrets, random, now: world.now(), scryptLogN: 10 };
        await rotateRepositoryKey(world.through(store), options, signal);
      },
      collector(stage, [8, 1, 0]),
    ]);
    const repository = await reopen(world.store);
    for (const pointId of ["p2", "p3", "p4"]) {
      const point = await readVmPoint(repository, VM, pointId, signal);
      const content = await restore(repository, point.disks[0]!.diskPoint);
      expect(content.equals(world.images.get(pointId)!)).toBe(true);
    }
  },
);
