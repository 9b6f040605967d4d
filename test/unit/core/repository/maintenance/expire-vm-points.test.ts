import { expect, it } from "vitest";
import { expireVmPoints } from "#core/repository/index.ts";
import { failureOf, signal } from "../fixtures.ts";
import { DISK, VM, range, worldOfThreePoints } from "./vm-world.ts";

const diskPoint = (sequence: number): string =>
  `disks/${DISK}/points/${String(sequence).padStart(10, "0")}.manifest`;

it("deletes manifests of the VM and of its disks, and never the newest point of an active disk", async () => {
  const world = await worldOfThreePoints();
  const result = await world.expire(["p1", "p2", "p3"]);
  expect(result).toMatchObject({
    expired: [
      { vmId: VM, pointId: "p1" },
      { vmId: VM, pointId: "p2" },
    ],
    kept: [{ vmId: VM, pointId: "p3", reason: "newest-complete-point-of-an-active-disk" }],
    deletedObjects: 4,
    immutableObjects: 0,
  });
  expect(result.deletedBytes).toBeGreaterThan(0);
  expect(world.names(`${DISK}/points/`)).toEqual([diskPoint(3)]);
  expect(await world.requireIntact()).toEqual(["p3"]);
});

it("deletes all points of a disk that is not protected any more", async () => {
  const world = await worldOfThreePoints();
  const points = ["p1", "p2", "p3"].map((pointId) => ({ vmId: VM, pointId }));
  const options = { points, activeDiskIds: [], now: () => world.now() };
  expect((await expireVmPoints(world.through(), options, signal)).expired).toEqual(points);
  expect(world.names("/points/")).toEqual([]);
});

it("keeps the newest point that can be opened when the one after it is damaged", async () => {
  const world = await worldOfThreePoints();
  world.store.objects.get(diskPoint(3))!.bytes.fill(1, 64);
  const result = await world.expire(["p1", "p2"]);
  expect(result.expired).toEqual([{ vmId: VM, pointId: "p1" }]);
  expect(result.kept).toMatchObject([{ pointId: "p2" }]);
});

it("keeps everything of a VM, disk points too, while one of its manifests cannot be read", async () => {
  const world = await worldOfThreePoints();
  world.store.objects.get(`vms/${VM}/points/p2.manifest`)!.bytes.fill(1, 64);
  const before = [...world.store.objects.keys()];
  world.passDays(60);
  const result = await world.expire(["p1"]);
  expect(result.kept).toMatchObject([{ reason: "a-manifest-of-the-vm-cannot-be-read" }]);
  expect([...world.store.objects.keys()]).toEqual(before);
});

it("keeps disk points that an unreadable VM point alone may name", async () => {
  const world = await worldOfThreePoints();
  for (const pointId of ["p1", "p3"]) {
    world.store.objects.delete(`vms/${VM}/points/${pointId}.manifest`);
  }
  world.store.objects.get(`vms/${VM}/points/p2.manifest`)!.bytes.fill(1, 64);
  const options = { points: [], activeDiskIds: [], now: () => world.now() };
  await expireVmPoints(world.through(), options, signal);
  expect(world.names(`${DISK}/points/`)).toEqual([diskPoint(2)]);
});

it("leaves the disk points of a backup that has not committed its VM point yet", async () => {
  const world = await worldOfThreePoints();
  const image = world.change("p3", "fourth", range(0, 10));
  world.store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.startsWith("vms/")) throw new Error("the process died");
  };
  await failureOf(world.backUp({ pointId: "p4", image, parentId: "p3", changed: range(0, 10) }));
  world.store.beforeOperation = () => undefined;
  const options = { points: [], activeDiskIds: [], now: () => world.now() };
  world.passDays(6);
  await expireVmPoints(world.through(), options, signal);
  expect(world.names(`${DISK}/points/`)).toContain(diskPoint(4));
  world.passDays(1);
  await world.expire([]);
  // The newest of an active disk stays: numbers must not start anew.
  expect(world.names(`${DISK}/points/`)).toContain(diskPoint(4));
  await expireVmPoints(world.through(), options, signal);
  expect(world.names(`${DISK}/points/`)).not.toContain(diskPoint(4));
});

it("accepts and reports what the store protects, and finishes when it does so no more", async () => {
  const world = await worldOfThreePoints();
  const image = world.change("p3", "fourth", range(0, 10));
  const immutableUntil = new Date(world.nowMs + 86_400_000);
  const backup = { pointId: "p4", image, parentId: "p3", changed: range(0, 10), immutableUntil };
  await world.backUp(backup);
  world.passDays(1);
  await world.backUp({ pointId: "p5", image, parentId: "p4" });
  const early = await world.expire(["p4"]);
  expect(early.kept).toEqual([{ vmId: VM, pointId: "p4", reason: "immutable" }]);
  expect(await world.requireIntact()).toContain("p4");
  world.passDays(11);
  expect((await world.expire(["p4"])).expired).toEqual([{ vmId: VM, pointId: "p4" }]);
  expect(world.names(`${DISK}/points/`)).not.toContain(diskPoint(4));
});

it("counts a disk point that outlives its VM point because the store protects it", async () => {
  const world = await worldOfThreePoints();
  const object = world.store.objects.get(diskPoint(1))!;
  const immutableUntil = new Date(world.nowMs + 86_400_000);
  world.store.objects.set(diskPoint(1), { ...object, immutableUntil });
  expect(await world.expire(["p1"])).toMatchObject({ immutableObjects: 1, deletedObjects: 1 });
  world.passDays(1);
  expect(await world.expire([])).toMatchObject({ immutableObjects: 0, deletedObjects: 1 });
});

it("refuses names that cannot be objects, before it deletes anything", async () => {
  const world = await worldOfThreePoints();
  expect(await failureOf(world.expire(["p1", "../p2"]))).toBe("InvalidRepositoryName");
  expect(await world.pointIds()).toEqual(["p1", "p2", "p3"]);
});
