/**
 * The process dies at every single storage operation, or the store fails once and the process goes
 * on; before it happened, or after it with the answer lost. Then: every visible point restores byte for byte, nothing that is referenced is
 * missing, a second run finishes, and what is left over goes with the next collections, whether
 * there is a second run or not.
 */
import { beforeAll, describe, expect, it } from "vitest";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { DyingStore } from "#core/repository/testing/dying-store.ts";
import { failureOf } from "../fixtures.ts";
import { SINGLE_FAULTS } from "../single-faults.ts";
import { range, worldOfThreePoints, type VmWorld } from "./vm-world.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const EAGER = { liveShareBelow: 0.9, minimumAgeSeconds: 86_400, maxMovedBytes: 2 ** 30 };

interface Scenario {
  readonly name: string;
  /** What lies there when the run begins; made once. */
  readonly prepare: () => Promise<VmWorld>;
  readonly run: (world: VmWorld, store: BlobStore) => Promise<unknown>;
  /** Points that may be visible after a crash, and those that are after the second run. */
  readonly allowed: readonly string[];
  readonly final: readonly string[];
  readonly leastOperations: number;
}

async function markedWorld(): Promise<VmWorld> {
  const world = await worldOfThreePoints();
  await world.expire(["p1", "p2"]);
  await world.collect();
  world.passDays(1);
  return world;
}

const backup = (world: VmWorld) => ({
  pointId: "p4",
  image: world.change("p3", "fourth", range(35, 45)),
  parentId: "p3",
  changed: range(35, 45),
  random: world.random(),
});

const scenarios: Scenario[] = [
  {
    name: "expiry",
    prepare: worldOfThreePoints,
    run: (world, store) => world.expire(["p1", "p2", "p3"], store),
    allowed: ["p1", "p2", "p3"],
    final: ["p3"],
    leastOperations: 12,
  },
  {
    name: "marking of garbage",
    prepare: async () => {
      const world = await worldOfThreePoints();
      await world.expire(["p1", "p2"]);
      return world;
    },
    run: (world, store) => world.collect(store),
    allowed: ["p3"],
    final: ["p3"],
    leastOperations: 8,
  },
  {
    name: "sweeping of garbage",
    prepare: markedWorld,
    run: (world, store) => world.collect(store),
    allowed: ["p3"],
    final: ["p3"],
    leastOperations: 15,
  },
  {
    name: "backup with compaction",
    prepare: worldOfThreePoints,
    run: (world, store) => world.backUp({ ...backup(world), carryForward: EAGER }, store),
    allowed: ["p1", "p2", "p3", "p4"],
    final: ["p1", "p2", "p3", "p4"],
    leastOperations: 20,
  },
  {
    name: "immutable backup",
    prepare: worldOfThreePoints,
    run: (world, store) => {
      const immutableUntil = new Date(world.nowMs + 5 * DAY_MS);
      return world.backUp({ ...backup(world), immutableUntil }, store);
    },
    allowed: ["p1", "p2", "p3", "p4"],
    final: ["p1", "p2", "p3", "p4"],
    leastOperations: 20,
  },
];

describe.each(scenarios)("$name", ({ prepare, run, allowed, final, leastOperations }) => {
  let prepared: VmWorld;
  beforeAll(async () => {
    prepared = await prepare();
  });

  it.each(SINGLE_FAULTS)("survives $kind each operation", async ({ after, aftermath }) => {
    let faults = 0;
    for (;;) {
      const world = prepared.copy();
      const dying = new DyingStore(world.store, { at: faults, after, aftermath });
      const outcome = await failureOf(run(world, dying));
      world.store.breakLocks();
      const visible = await world.pointIds();
      expect(allowed).toEqual(expect.arrayContaining(visible));
      if (outcome === "no failure") expect(visible).toEqual(final);
      const abandoned = world.copy();
      await run(world, world.store);
      for (const each of [world, abandoned]) {
        await each.collectAll();
        await each.expire([]);
        await each.collectAll();
        expect(await each.leftovers()).toEqual([]);
      }
      expect(await abandoned.requireIntact()).toEqual(visible);
      expect(await world.requireIntact()).toEqual(final);
      expect(world.names("disks/disk-1/points/")).toHaveLength(final.length);
      await requireNothingOf(abandoned);
      if (!dying.hasStruck) break;
      if (aftermath === "dies") expect(outcome).toBe("Dead");
      faults++;
    }
    expect(faults).toBeGreaterThanOrEqual(leastOperations);
  });
});

/**
 * The newest disk point of an active disk stays, whoever names it; when the disk is gone, an orphan
 * goes too, and only what visible points need is there.
 */
async function requireNothingOf(abandoned: VmWorld): Promise<void> {
  abandoned.activeDiskIds = [];
  const visible = await abandoned.pointIds();
  await abandoned.expire([]);
  await abandoned.collectAll();
  expect(abandoned.names("disks/disk-1/points/")).toHaveLength(visible.length);
  expect(await abandoned.leftovers()).toEqual([]);
  expect(await abandoned.requireIntact()).toEqual(visible);
}
