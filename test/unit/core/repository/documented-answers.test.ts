/**
 * Objects that are lost, cut or damaged: one test for each row of docs/repository-format.md, section 14 "What a
 * program answers". Secrets, features and the descriptor: `documented-refusals.test.ts`.
 */
import { expect, it } from "vitest";
import { messageOf } from "#core/lib/errors.ts";
import {
  archiveVmPoint,
  openArchivedDisk,
  readReferencedDiskPoint,
  readVmPoint,
  type Repository,
} from "#core/repository/index.ts";
import { BlockMap } from "#core/repository/block-map.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import {
  backUpNext,
  check,
  edit,
  flip,
  nameOf,
  summaryOf,
  threePoints,
  type Scene,
} from "./check/check-fixture.ts";
import { contentOf } from "./check/damage-scene.ts";
import { TestDisk, failureOf, newRepository, restore, seededRandom, signal } from "./fixtures.ts";
import { damaged, listed, restored } from "./repository-answers.ts";

const quarantine = { now: new Date(0), foundBy: "job-1" };

/** A disk of two leaves of which the points after the first change one only. */
async function sharedLeaves(): Promise<Scene> {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = new TestDisk(1100 * 4096);
  disk.write(0, seededRandom("first leaf")(4096));
  disk.write(1050 * 8, seededRandom("second leaf")(4096));
  const scene: Scene = { store, repository, disk, points: [] };
  await backUpNext(scene, "p1");
  for (const pointId of ["p2", "p3"]) {
    disk.write(1060 * 8, seededRandom(pointId)(4096));
    await backUpNext(scene, pointId);
  }
  return scene;
}

/** The index of the leaf that no later point changed. */
async function firstLeafIndex({ repository, points }: Scene): Promise<string> {
  const last = points.at(-1)?.reference;
  if (last === undefined) throw new Error("no point");
  const point = await readReferencedDiskPoint(repository, last, signal);
  const { root } = await BlockMap.open(repository, point, signal);
  const leaf = root.leaves.get(0);
  if (leaf === undefined) throw new Error("no leaf");
  return leaf.indexId;
}

/** Of the disk in each archive: `whole` or a code. */
async function archiveAnswers(repository: Repository): Promise<string[]> {
  const answers: string[] = [];
  for (const archiveId of ["a1", "a2"]) {
    const reference = { vmId: "vm-1", archiveId, diskId: "disk-1" };
    const answer = await failureOf(
      openArchivedDisk(repository, reference, signal).then((reader) => contentOf(reader)),
    );
    answers.push(answer === "no failure" ? "whole" : answer);
  }
  return answers;
}

it("a lost index: its points are refused by name, others restore, the next backup is whole", async () => {
  const scene = await threePoints();
  const { repository, store } = scene;
  const name = nameOf(store, /indexes\/00000003/);
  store.objects.delete(name);
  expect(await listed(repository)).toEqual(["p1", "p2", "p3"]);
  expect(await restored(scene, "p1", "p2", "p3")).toEqual(["whole", "whole", damaged]);
  const report = await check(repository, { level: "presence", quarantine });
  expect(summaryOf(report)).toEqual([`missing ${name} [p3]`]);
  expect(await backUpNext(scene, "p4")).toMatchObject({ kind: "full" });
  expect(await restored(scene, "p4")).toEqual(["whole"]);
});

it("a lost pack: its points are refused by name, the next backup stores its blocks again", async () => {
  const scene = await threePoints();
  const { repository, store } = scene;
  const name = nameOf(store, /packs\/00000003/);
  store.objects.delete(name);
  expect(await listed(repository)).toEqual(["p1", "p2", "p3"]);
  expect(await restored(scene, "p1", "p2", "p3")).toEqual(["whole", "whole", damaged]);
  const point = await readVmPoint(repository, "vm-1", "p3", signal);
  const reference = point.disks[0]?.diskPoint;
  if (reference === undefined) throw new Error("no disk");
  expect(await restore(repository, reference).catch(messageOf)).toContain(name);
  const report = await check(repository, { level: "presence", quarantine });
  expect(summaryOf(report)).toEqual([`missing ${name} [p3]`]);
  expect(await backUpNext(scene, "p4")).toMatchObject({ kind: "incremental", healedBlocks: 1 });
  expect(await restored(scene, "p4")).toEqual(["whole"]);
});

const cut = (bytes: Buffer): Buffer => bytes.subarray(0, 100);

const longer = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.from("more")]);

it.each([
  { what: "a cut pack", part: /packs\/00000003/, change: cut, answer: damaged },
  { what: "a longer pack", part: /packs\/00000003/, change: longer, answer: "whole" },
])(
  "$what: wrong size, the next backup stores its blocks again",
  async ({ part, change, answer }) => {
    const scene = await threePoints();
    const name = nameOf(scene.store, part);
    edit(scene.store, name, change);
    expect(await listed(scene.repository)).toEqual(["p1", "p2", "p3"]);
    expect(await restored(scene, "p2", "p3")).toEqual(["whole", answer]);
    const report = await check(scene.repository, { level: "presence", quarantine });
    expect(summaryOf(report)).toEqual([`wrong-size ${name} [p3]`]);
    expect(await backUpNext(scene, "p4")).toMatchObject({ kind: "incremental", healedBlocks: 1 });
    expect(await restored(scene, "p4")).toEqual(["whole"]);
  },
);

it.each([
  // A leaf of the first point is shared by all: nothing of the block map can be read any more.
  { what: "a cut index", change: cut, answers: [damaged, damaged, damaged] },
  { what: "a longer index", change: longer, answers: ["whole", "whole", "whole"] },
])("$what: wrong size, the next backup reads the whole disk", async ({ change, answers }) => {
  const scene = await sharedLeaves();
  const { store, repository } = scene;
  const name = `disks/disk-1/indexes/${await firstLeafIndex(scene)}.index`;
  edit(store, name, change);
  expect(await restored(scene, "p1", "p2", "p3")).toEqual(answers);
  const report = await check(repository, { level: "presence", quarantine });
  expect(summaryOf(report)).toContain(`wrong-size ${name} [p1,p2,p3]`);
  expect(await backUpNext(scene, "p4")).toMatchObject({ kind: "full" });
  expect(await restored(scene, "p4")).toEqual(["whole"]);
});

it("a block that does not verify: named by restore and check, stored again", async () => {
  const scene = await threePoints();
  const { store, repository, points } = scene;
  const name = nameOf(store, /packs\/00000003/);
  flip(store, name, 70);
  expect(await listed(repository)).toEqual(["p1", "p2", "p3"]);
  expect(await restored(scene, "p1", "p2", "p3")).toEqual(["whole", "whole", damaged]);
  const reference = points.at(-1)?.reference;
  if (reference === undefined) throw new Error("no point");
  expect(await restore(repository, reference).catch(messageOf)).toMatch(/firstBlock 30\b/);
  expect((await check(repository, { level: "metadata" })).findings).toEqual([]);
  for (const level of ["sample", "complete"] as const) {
    const report = await check(repository, { level, quarantine });
    expect(summaryOf(report)).toEqual([`unreadable-block ${name} 30+1 [p3]`]);
  }
  expect(await backUpNext(scene, "p4")).toMatchObject({ kind: "incremental", healedBlocks: 1 });
  expect(await restored(scene, "p4")).toEqual(["whole"]);
});

it("a damaged manifest of a VM or a disk: only its point is refused", async () => {
  const scene = await threePoints();
  flip(scene.store, "vms/vm-1/points/p1.manifest", 80);
  flip(scene.store, "disks/disk-1/points/0000000003.manifest", 80);
  expect(await listed(scene.repository)).toEqual(["p1", "p2", "p3"]);
  expect(await restored(scene, "p1", "p2", "p3")).toEqual([damaged, "whole", damaged]);
  expect((await check(scene.repository, { level: "presence" })).findingCount).toBe(2);
  expect(await backUpNext(scene, "p4")).toMatchObject({ kind: "full" });
  scene.store.objects.delete("disks/disk-1/points/0000000002.manifest");
  expect(await restored(scene, "p2", "p4")).toEqual(["DiskPointNotFound", "whole"]);
});

it("a half-written restore point: not shown, not damage, and the next backup goes on", async () => {
  const scene = await threePoints();
  scene.store.objects.delete("vms/vm-1/points/p3.manifest");
  expect(await listed(scene.repository)).toEqual(["p1", "p2"]);
  expect(await restored(scene, "p3")).toEqual(["VmPointNotFound"]);
  scene.store.objects.delete("disks/disk-1/points/0000000003.manifest");
  expect((await check(scene.repository)).findings).toEqual([]);
  scene.points.pop();
  await backUpNext(scene, "p4");
  expect(await restored(scene, "p4")).toEqual(["whole"]);
});

it("a foreign object: told by the check, ignored by everything else, never deleted", async () => {
  const scene = await threePoints();
  const name = "vms/vm-1/points/notes.txt";
  await scene.store.create(name, Buffer.from("mine"), signal);
  expect(await listed(scene.repository)).toEqual(["p1", "p2", "p3"]);
  const report = await check(scene.repository, { level: "presence" });
  expect(summaryOf(report)).toEqual([`foreign ${name} []`]);
  await backUpNext(scene, "p4");
  expect(scene.store.objects.has(name)).toBe(true);
});

it("an archive that lost a pack or an index: only it is refused, a backup goes on", async () => {
  const scene = await threePoints();
  const { store, repository } = scene;
  // As in a folder: what lies in the archive tier of a container cannot be read at all.
  store.capabilities = { immutability: false, archiveTier: false };
  const tools = { random: seededRandom("archive"), now: () => new Date(0) };
  for (const archiveId of ["a1", "a2"]) {
    await archiveVmPoint(repository, { vmId: "vm-1", archiveId, pointId: "p3", ...tools }, signal);
  }
  for (const part of [/a1\/.*\.pack$/, /a1\/.*\.index$/]) {
    const name = nameOf(store, part);
    const object = store.objects.get(name);
    const look = async () => (await check(repository, { level: "presence" })).findings;
    store.objects.delete(name);
    expect(await archiveAnswers(repository)).toEqual([damaged, "whole"]);
    const ofArchive = [{ vmId: "vm-1", archiveId: "a1" }];
    expect(await look()).toMatchObject([
      { kind: "missing", object: name, affectedArchives: ofArchive, affectedPoints: [] },
    ]);
    if (object === undefined) throw new Error(name);
    store.objects.set(name, { ...object, bytes: object.bytes.slice(0, 70) });
    expect(await archiveAnswers(repository)).toEqual([damaged, "whole"]);
    const [finding] = await look();
    expect(finding).toMatchObject({ object: name, affectedArchives: ofArchive });
    store.objects.set(name, object);
  }
  store.objects.delete(nameOf(store, /a1\/.*\.pack$/));
  await backUpNext(scene, "p4");
  expect(await restored(scene, "p3", "p4")).toEqual(["whole", "whole"]);
});
