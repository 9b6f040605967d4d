import { expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import { recordQuarantine } from "#core/repository/quarantine.ts";
import { collectGarbage } from "#core/repository/index.ts";
import { seededRandom, signal, failureOf } from "../fixtures.ts";
import { DISK, VmWorld, range, worldOfThreePoints } from "./vm-world.ts";

it("deletes what only expired points needed, in a later run than the one that marked it", async () => {
  const world = await worldOfThreePoints();
  await world.expire(["p1", "p2"]);
  const packs = world.names("/packs/").length;
  const marked = await world.collect();
  expect(marked).toMatchObject({ deletedObjects: 0, skippedDisks: [] });
  expect(marked.markedObjects).toBeGreaterThan(0);
  expect(marked.markedBytes).toBeGreaterThan(0);
  expect(world.names("/garbage/")).toEqual([`disks/${DISK}/garbage/0000000001.manifest`]);

  const soon = await world.collect();
  expect(soon).toMatchObject({ deletedObjects: 0, markedObjects: 0 });

  world.passDays(1);
  const swept = await world.collect();
  expect(swept.deletedObjects).toBe(marked.markedObjects);
  expect(swept.deletedBytes).toBe(marked.markedBytes);
  expect(world.names("/packs/").length).toBeLessThan(packs);
  expect(await world.leftovers()).toEqual([]);
  expect(await world.requireIntact()).toEqual(["p3"]);
});

it("deletes nothing while every point is kept, but the attempt that is over", async () => {
  const world = await worldOfThreePoints();
  const before = world.names("/packs/");
  await world.collectAll();
  expect(world.names("/packs/")).toEqual(before);
  expect(world.names("/attempts/")).toEqual([]);
  expect(await world.requireIntact()).toEqual(["p1", "p2", "p3"]);
});

it("leaves what an unfinished backup stored for its successor, until no session can be that long", async () => {
  const world = await VmWorld.create();
  const image = world.change(undefined, "first", range(0, 40));
  world.store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.includes("/indexes/")) throw new HoldfastError("Dead", "d");
  };
  expect(await failureOf(world.backUp({ pointId: "p1", image }))).toBe("Dead");
  world.store.beforeOperation = () => undefined;
  const packs = world.names("/packs/");
  expect(packs.length).toBeGreaterThan(0);

  world.passDays(6);
  expect(await world.collect()).toMatchObject({ markedObjects: 0, skippedDisks: [] });
  world.passDays(2);
  expect((await world.collect()).markedObjects).toBe(packs.length + 1);

  // A writer that comes now must not rely on what is about to go.
  const written = await world.backUp({ pointId: "p1", image });
  expect(written.stats.unchangedBytes).toBe(0);
  world.passDays(1);
  await world.collect();
  for (const pack of packs) expect(world.names("/packs/")).not.toContain(pack);
  expect(await world.requireIntact()).toEqual(["p1"]);
});

it("takes nothing over from a predecessor when a garbage list cannot be read", async () => {
  const world = await worldOfThreePoints();
  const image = world.change("p3", "fourth", range(0, 40));
  const backup = { pointId: "p4", image, parentId: "p3", changed: range(0, 40) };
  world.store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.includes("/indexes/")) throw new HoldfastError("Dead", "d");
  };
  expect(await failureOf(world.backUp(backup))).toBe("Dead");
  world.store.beforeOperation = () => undefined;
  const list = `disks/${DISK}/garbage/0000000007.manifest`;
  await world.store.create(list, Buffer.from("no envelope"), signal);
  const written = await world.backUp(backup);
  expect(written.stats).toMatchObject({ unchangedBytes: 0, changedBytes: 40 * 4096 });
  // The collection drops the list and marks anew, under a later number.
  world.passDays(8);
  expect((await world.collect()).markedObjects).toBeGreaterThan(0);
  expect(world.names("/garbage/")).toEqual([`disks/${DISK}/garbage/0000000008.manifest`]);
  expect(await world.requireIntact()).toEqual(["p1", "p2", "p3", "p4"]);
});

it("deletes all of a disk without any point left, in two runs", async () => {
  const world = await worldOfThreePoints();
  for (const name of world.names("/points/")) world.store.objects.delete(name);
  const marked = await world.collect();
  expect(world.names("/packs/").length).toBeGreaterThan(0);
  world.passDays(1);
  const swept = await world.collect();
  expect(swept.deletedObjects).toBe(marked.markedObjects);
  expect(world.names(`disks/${DISK}/`)).toEqual([]);
});

it.each(["a manifest", "a root"])("deletes nothing of a disk while %s is damaged", async (what) => {
  const world = await worldOfThreePoints();
  await world.expire(["p1"]);
  await world.collect();
  world.passDays(2);
  const damagedName =
    what === "a manifest" ? world.names(`${DISK}/points/`)[0]! : world.names("/indexes/").at(-1)!;
  world.store.objects.get(damagedName)!.bytes.fill(1, 64);
  if (what === "a root") {
    for (const name of world.names("/indexes/")) world.store.objects.get(name)!.bytes.fill(1, 64);
  }
  const before = [...world.store.objects.keys()];
  const { skippedDisks, ...counts } = await world.collect();
  expect(skippedDisks).toMatchObject([{ diskId: DISK }]);
  expect(skippedDisks[0]?.reason).toContain("cannot be read");
  expect(counts).toMatchObject({ deletedObjects: 0, markedObjects: 0 });
  expect([...world.store.objects.keys()]).toEqual(before);
});

it("skips a disk whose lock is held, and works on the others", async () => {
  const world = await worldOfThreePoints();
  const image = world.change(undefined, "other disk", range(0, 10));
  await world.backUp({ pointId: "q1", image, diskId: "disk-2" });
  world.passDays(30);
  await world.expire(["p1", "p2"]);
  const lock = await world.store.lock(`disks/${DISK}/lock`, signal);
  const first = await world.collect();
  expect(first.skippedDisks).toEqual([
    { diskId: DISK, reason: "a backup or another collection holds its lock" },
  ]);
  // The finished attempt of the other disk.
  expect(first.markedObjects).toBe(1);
  await lock?.release();
  expect((await world.collect()).skippedDisks).toEqual([]);
});

it("stops at once when its lock is lost, having deleted only what was marked", async () => {
  const world = await worldOfThreePoints();
  await world.expire(["p1", "p2"]);
  await world.collect();
  world.passDays(2);
  let deletions = 0;
  world.store.beforeOperation = (operation) => {
    if (operation === "delete" && ++deletions === 2) world.store.breakLocks();
  };
  const { skippedDisks } = await world.collect();
  expect(skippedDisks).toEqual([{ diskId: DISK, reason: "its lock was lost on the way" }]);
  world.store.beforeOperation = () => undefined;
  expect(await world.requireIntact()).toEqual(["p3"]);
  await world.collect();
  expect(await world.leftovers()).toEqual([]);
});

it("counts what the store protects and deletes it when the protection ends", async () => {
  const world = await VmWorld.create();
  const immutableUntil = new Date(world.nowMs + 20 * 86_400_000);
  const image = world.change(undefined, "first", range(0, 40));
  await world.backUp({ pointId: "p1", image, immutableUntil });
  for (const name of world.names("/points/")) world.store.objects.delete(name);
  world.passDays(10);
  const early = await world.collect();
  expect(early.immutableObjects).toBe(world.names("/packs/").length + 2);
  expect(early.markedObjects).toBe(1);
  world.passDays(25);
  await world.collectAll();
  expect(world.names(`disks/${DISK}/`)).toEqual([]);
});

it("accepts the refusal of a store that does not list immutability", async () => {
  const world = await worldOfThreePoints();
  await world.expire(["p1", "p2"]);
  await world.collect();
  world.passDays(1);
  for (const [name, object] of world.store.objects) {
    const immutableUntil = new Date(world.nowMs + 86_400_000);
    if (name.includes("/packs/")) world.store.objects.set(name, { ...object, immutableUntil });
  }
  const list = world.store.list.bind(world.store);
  world.store.list = async function* (prefix, inner) {
    for await (const { immutableUntil: _, ...blob } of list(prefix, inner)) yield blob;
  };
  const refused = await world.collect();
  expect(refused.immutableObjects).toBeGreaterThan(0);
  await world.collectAll();
  expect(await world.leftovers()).toEqual([]);
  expect(await world.requireIntact()).toEqual(["p3"]);
});

it("obeys the margins that it is given", async () => {
  const world = await worldOfThreePoints();
  await world.expire(["p1", "p2"]);
  const run = (margins: { sessionSeconds: number; markedSeconds: number }) =>
    collectGarbage(
      world.through(),
      { now: () => world.now(), random: seededRandom(`${world.nowMs}`), margins },
      signal,
    );
  expect((await run({ sessionSeconds: 60 * 86_400, markedSeconds: 1 })).markedObjects).toBe(0);
  expect((await run({ sessionSeconds: 1, markedSeconds: 3600 })).markedObjects).toBeGreaterThan(0);
  world.nowMs += 3_599_000;
  expect((await run({ sessionSeconds: 1, markedSeconds: 3600 })).deletedObjects).toBe(0);
  world.nowMs += 1_000;
  expect((await run({ sessionSeconds: 1, markedSeconds: 3600 })).deletedObjects).toBeGreaterThan(0);
});

it("refuses a repository whose deletion rules it does not know", async () => {
  const world = await worldOfThreePoints();
  const repository = world.through();
  const { descriptor } = repository;
  const features = { ...descriptor.features, delete: ["legal-hold"] };
  const newer = { ...repository, descriptor: { ...descriptor, features } };
  const options = { now: () => world.now(), random: seededRandom("x") };
  expect(await failureOf(collectGarbage(newer, options, signal))).toBe("RepositoryFeatureUnknown");
});

it("deletes quarantine records when no root names any of their objects, also of a disk that is gone", async () => {
  const world = await worldOfThreePoints();
  const packs = world.names("/packs/").map((name) => name.slice(-37, -5));
  const record = async (diskId: string, ids: readonly string[]) => {
    const objects = ids.map((id) => ({ kind: "pack", id, frames: "all" }) as const);
    const details = { diskId, foundAt: world.now(), foundBy: "job-1", level: "complete", objects };
    const before = new Set(world.names("quarantine/"));
    await recordQuarantine(world.through(), details, world.random(), signal);
    return world.names("quarantine/").find((name) => !before.has(name)) ?? "";
  };
  const [first = "", ...others] = packs;
  const ofLive = await record(DISK, packs);
  const ofUnknown = await record(DISK, ["ee".repeat(16)]);
  const ofGoneDisk = await record("disk-9", [first]);
  const damaged = await record(DISK, others);
  world.store.objects.set(damaged, {
    bytes: Buffer.from("noise"),
    modifiedAt: world.now(),
    tier: "hot",
  });
  expect(new Set(world.names("quarantine/")).size).toBe(4);
  await world.collect();
  expect(world.names("quarantine/")).toEqual([ofLive, damaged].sort());
  expect([ofUnknown, ofGoneDisk]).not.toContain("");
});
