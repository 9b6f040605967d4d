import { expect, it } from "vitest";
import { LeafTable } from "#core/repository/format/leaf-table.ts";
import type { PackUse, Root } from "#core/repository/format/root.ts";
import {
  DEFAULT_CARRY_FORWARD,
  planCarryForward,
} from "#core/repository/writer/plan-carry-forward.ts";
import { BLOCK, range, VmWorld } from "../maintenance/vm-world.ts";

const now = new Date("2026-06-15T00:00:00Z");
const daysAgo = (days: number): Date => new Date(now.getTime() - days * 86_400_000);

function rootOf(packs: Record<string, Partial<PackUse>>): Root {
  const uses = Object.entries(packs).map(([packId, use]): [string, PackUse] => [
    packId,
    { keyNumber: 0, objectBytes: 1000, liveBytes: 100, immutableUntilDay: 0, ...use },
  ]);
  return { leaves: LeafTable.zero(0), indexes: new Map(), packs: new Map(uses) };
}

it("empties old packs that are hardly used, the oldest first, up to its bound", () => {
  const root = rootOf({
    "00000005-fifth": { liveBytes: 60 },
    "00000001-first": { liveBytes: 299 },
    "00000002-well-used": { liveBytes: 300 },
    "00000003-other-key": { keyNumber: 1 },
    "00000004-missing": {},
    "00000006-young": {},
    "00000004-too-much": { liveBytes: 200 },
  });
  const storedAt = new Map([...root.packs.keys()].map((packId) => [packId, daysAgo(30)]));
  storedAt.set("00000006-young", daysAgo(29.9));
  storedAt.delete("00000004-missing");
  const facts = { keyNumber: 0, storedAt, now };
  const plan = planCarryForward(root, facts, { ...DEFAULT_CARRY_FORWARD, maxMovedBytes: 400 });
  expect(plan.packs.map(({ packId }) => packId)).toEqual(["00000001-first", "00000005-fifth"]);
  expect(plan.movedBytes).toBe(359);
  expect(plan.left).toEqual([
    { packId: "00000004-missing", reason: "missing" },
    { packId: "00000004-too-much", reason: "enough-for-one-backup" },
    { packId: "00000006-young", reason: "too-young" },
  ]);
});

/** p1 stores 40 blocks; p2 replaces all but blocks 3, 4, 5 and 39. */
async function hardlyUsed(): Promise<VmWorld> {
  const world = await VmWorld.create();
  const image = world.change(undefined, "first", range(0, 40));
  await world.backUp({ pointId: "p1", image });
  world.passDays(1);
  const changed = range(0, 40).filter((block) => ![3, 4, 5, 39].includes(block));
  const second = world.change("p1", "second", changed);
  await world.backUp({ pointId: "p2", image: second, parentId: "p1", changed });
  return world;
}

const MOVED = 4;

it("stores the last used blocks of an old pack again, so that it goes with its points", async () => {
  const world = await hardlyUsed();
  world.passDays(30);
  const firstPacks = world.names("/packs/00000001/");
  const image = world.change("p2", "third", [20]);
  const { stats, kind, reads } = await world.backUp({
    pointId: "p3",
    image,
    parentId: "p2",
    changed: [20],
    carryForward: DEFAULT_CARRY_FORWARD,
  });
  expect(kind).toBe("incremental");
  // What is carried counts as stored, not as changed; neighbours between multiples of the longest read are read together.
  expect(stats).toMatchObject({ changedBytes: BLOCK, unchangedBytes: MOVED * BLOCK });
  expect(stats.storedBytes).toBeGreaterThan((MOVED + 1) * BLOCK);
  expect(
    reads.map(({ offsetBytes, lengthBytes }) => [offsetBytes / BLOCK, lengthBytes / BLOCK]),
  ).toEqual([
    [3, 1],
    [4, 2],
    [20, 1],
    [39, 1],
  ]);
  expect(await world.requireIntact()).toEqual(["p1", "p2", "p3"]);
  await world.collectAll();
  expect(world.names("/packs/00000001/")).toEqual(firstPacks);
  await world.expire(["p1", "p2"]);
  await world.collectAll();
  expect(world.names("/packs/00000001/")).toEqual([]);
  expect(await world.requireIntact()).toEqual(["p3"]);
});

it("carries nothing from packs that are too young, and nothing when it is not asked to", async () => {
  const world = await hardlyUsed();
  const image = world.change("p2", "third", [20]);
  const backup = { image, parentId: "p2", changed: [20] };
  const carryForward = DEFAULT_CARRY_FORWARD;
  const young = await world.backUp({ ...backup, pointId: "p3", carryForward });
  expect(young.stats.unchangedBytes).toBe(0);
  world.passDays(40);
  const unasked = await world.backUp({ ...backup, pointId: "p4" });
  expect(unasked.stats.unchangedBytes).toBe(0);
});

it("reads everything when a carried block is not what the parent holds", async () => {
  const world = await hardlyUsed();
  world.passDays(30);
  // Block 4 changed, too, but the change list does not say so.
  const image = world.change("p2", "third", [4, 20]);
  const written = await world.backUp({
    pointId: "p3",
    image,
    parentId: "p2",
    changed: [20],
    carryForward: DEFAULT_CARRY_FORWARD,
  });
  expect(written).toMatchObject({ changeHintWrong: true, fullReason: "change-hint-wrong" });
  expect(await world.requireIntact()).toEqual(["p1", "p2", "p3"]);
});

it("leaves a pack alone whose footer is damaged", async () => {
  const world = await hardlyUsed();
  world.passDays(30);
  for (const name of world.names("/packs/00000001/")) {
    const { bytes } = world.store.objects.get(name)!;
    bytes.fill(0, bytes.length - 32);
  }
  const image = world.change("p2", "third", [20]);
  const { stats } = await world.backUp({
    pointId: "p3",
    image,
    parentId: "p2",
    changed: [20],
    carryForward: DEFAULT_CARRY_FORWARD,
  });
  expect(stats.unchangedBytes).toBe(0);
  expect(await world.requireIntact()).toEqual(["p1", "p2", "p3"]);
});
