import { expect, it } from "vitest";
import { BlockMap } from "#core/repository/block-map.ts";
import { immutableDayOf, startOfDay } from "#core/repository/format/immutable-day.ts";
import { readDiskPoint } from "#core/repository/index.ts";
import { failureOf, signal } from "../fixtures.ts";
import { DISK, VmWorld, range } from "../maintenance/vm-world.ts";

const DAY_MS = 86_400_000;

it.each([
  ["1970-01-01T00:00:00Z", 0],
  ["1970-01-01T00:00:00.001Z", 10],
  ["1970-01-11T00:00:00Z", 10],
  ["1970-01-11T00:00:01Z", 20],
  ["2026-03-01T00:00:00Z", 20520],
])("rounds %s up to day %i", (instant, day) => {
  expect(immutableDayOf(new Date(instant))).toBe(day);
  expect(startOfDay(day).getTime()).toBeGreaterThanOrEqual(Date.parse(instant));
});

/** The world begins on day 20513 since 1970; generations end on days 20520, 20530, ... */
async function protectedWorld(days: number) {
  const world = await VmWorld.create();
  const image = world.change(undefined, "first", range(0, 40));
  const immutableUntil = new Date(world.nowMs + days * DAY_MS);
  await world.backUp({ pointId: "p1", image, immutableUntil });
  const extended: string[] = [];
  world.store.beforeOperation = (operation, name) => {
    if (operation === "extend") extended.push(name);
  };
  const next = async (pointId: string, parentId: string, changed: number[], until: number) => {
    extended.length = 0;
    const content = world.change(parentId, pointId, changed);
    const written = await world.backUp({
      pointId,
      parentId,
      changed,
      image: content,
      immutableUntil: new Date(Date.parse("2026-03-01T00:00:00Z") + until * DAY_MS),
    });
    return { ...written, extended: [...extended] };
  };
  return { world, next };
}

async function rootOf(world: VmWorld, sequence: number) {
  const point = await readDiskPoint(world.through(), DISK, sequence, signal);
  const { root } = await BlockMap.open(world.through(), point, signal);
  return { root, reference: point.manifest.root };
}

it("protects every object of a point, and nothing that a point does not need", async () => {
  const { world } = await protectedWorld(5);
  const until = startOfDay(20520);
  for (const [name, { immutableUntil }] of world.store.objects) {
    const isPart = /\/(packs|indexes|points)\//.test(name);
    expect(immutableUntil, name).toEqual(isPart ? until : undefined);
  }
  const { root } = await rootOf(world, 1);
  for (const use of [...root.packs.values(), ...root.indexes.values()]) {
    expect(use.immutableUntilDay).toBe(20520);
  }
});

it("extends what a new point shares only when its need is in a later generation", async () => {
  const { world, next } = await protectedWorld(5);
  const same = await next("p2", "p1", [20], 7);
  expect(same.extended).toEqual([]);
  const later = await next("p3", "p2", [21], 8);
  const { root } = await rootOf(world, 3);
  // All packs of p1 and p2 that are still used; their leaf was written anew.
  expect(later.extended.length).toBe([...root.packs.keys()].length - 1);
  expect(later.extended.every((name) => name.includes("/packs/"))).toBe(true);
  const again = await next("p4", "p3", [22], 17);
  expect(again.extended).toEqual([]);
  for (const { immutableUntilDay } of root.packs.values()) expect(immutableUntilDay).toBe(20530);
  for (const packId of root.packs.keys()) {
    const name = world.names("/packs/").find((each) => each.includes(packId))!;
    expect(world.store.objects.get(name)?.immutableUntil).toEqual(startOfDay(20530));
  }
});

it("protects a point that changes nothing: by the parent's root, or by a new one", async () => {
  const { world, next } = await protectedWorld(5);
  const first = await rootOf(world, 1);
  const same = await next("p2", "p1", [], 6);
  expect(same.manifest.root).toEqual(first.reference);
  expect(same.extended).toEqual([expect.stringContaining(first.reference!.indexId)]);
  const later = await next("p3", "p2", [], 16);
  expect(later.manifest.root).not.toEqual(first.reference);
  const { root } = await rootOf(world, 3);
  for (const use of [...root.packs.values(), ...root.indexes.values()]) {
    expect(use.immutableUntilDay).toBe(20530);
  }
  expect(await world.requireIntact()).toEqual(["p1", "p2", "p3"]);
});

it("refuses a store without immutability before anything is written", async () => {
  const world = await VmWorld.create();
  world.store.capabilities = { ...world.store.capabilities, immutability: false };
  const before = [...world.store.objects.keys()];
  const image = world.change(undefined, "first", range(0, 40));
  const immutableUntil = new Date(world.nowMs + DAY_MS);
  const backup = world.backUp({ pointId: "p1", image, immutableUntil });
  expect(await failureOf(backup)).toBe("ImmutabilityNotSupported");
  expect([...world.store.objects.keys()]).toEqual(before);
});

it("goes on when an object of the parent is gone, and claims no protection for it", async () => {
  const { world, next } = await protectedWorld(5);
  const lost = world.names("/packs/")[0]!;
  world.store.objects.delete(lost);
  await next("p2", "p1", [30], 20);
  const { root } = await rootOf(world, 2);
  for (const [packId, use] of root.packs) {
    expect(use.immutableUntilDay).toBe(lost.includes(packId) ? 20520 : 20540);
  }
});
