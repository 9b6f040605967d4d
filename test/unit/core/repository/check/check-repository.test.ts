import { expect, it } from "vitest";
import { DiskPointReader, checkRepository, decodeBlocks } from "#core/repository/index.ts";
import type { BlockCodec } from "#core/repository/index.ts";
import { inlineBlockCodec } from "#core/repository/codec/block-codec.ts";
import {
  BLOCK_BYTES,
  BLOCK_SECTORS,
  backUpNext,
  check,
  commitVm,
  edit,
  flip,
  nameOf,
  summaryOf,
  threePoints,
} from "./check-fixture.ts";
import { TestDisk, backUp, failureOf, restore, seededRandom, signal } from "../fixtures.ts";

const LEVELS = ["presence", "metadata", "sample", "complete"] as const;

it.each(LEVELS)("finds nothing in a sound repository at level %s", async (level) => {
  const { repository, store } = await threePoints();
  const before = store.objects.size;
  const quarantine = { now: new Date(0), foundBy: "job-1" };
  const report = await check(repository, { level, quarantine });
  expect(report).toMatchObject({ level, findings: [], findingCount: 0, checkedPoints: 3 });
  expect(store.objects.size).toBe(before);
});

it("reads no more than its level asks for", async () => {
  const { repository, store } = await threePoints();
  const reads: string[] = [];
  store.beforeOperation = (operation, name) => void (operation === "read" && reads.push(name));
  const readsAt = async (level: (typeof LEVELS)[number]) => {
    reads.length = 0;
    const report = await check(repository, { level, samplePercent: 50 });
    return { report, packReads: reads.filter((name) => name.endsWith(".pack")).length };
  };
  const presence = await readsAt("presence");
  expect(presence).toMatchObject({ packReads: 0, report: { verifiedBlocks: 0 } });
  // Header, trailer and footer of three packs.
  expect(await readsAt("metadata")).toMatchObject({ packReads: 9, report: { verifiedBlocks: 0 } });
  const { report: sample } = await readsAt("sample");
  expect(sample.verifiedBlocks).toBeGreaterThan(2);
  expect(sample.verifiedBlocks).toBeLessThan(20);
  // 20 blocks of the first point, one of each later one; what they share is verified once.
  const { report: complete } = await readsAt("complete");
  expect(complete.verifiedBlocks).toBe(22);
  expect(complete.readBytes).toBeGreaterThan(22 * BLOCK_BYTES);
});

it("takes other blocks into each sample", async () => {
  const { repository } = await threePoints();
  const verified = async (seed: string) => {
    const hashes: string[] = [];
    const codec: BlockCodec = {
      ...inlineBlockCodec,
      decode: async (job) => {
        for (const { hash } of job.blocks) hashes.push(Buffer.from(hash).toString("hex"));
        return decodeBlocks(job);
      },
    };
    const random = seededRandom(seed);
    await check(repository, { level: "sample", samplePercent: 30, random, codec });
    return hashes.sort();
  };
  expect(await verified("one")).toEqual(await verified("one"));
  expect(await verified("one")).not.toEqual(await verified("two"));
});

it("names a missing pack and the points that need it, at any level", async () => {
  const { repository, store } = await threePoints();
  const name = nameOf(store, /packs\/00000002/);
  store.objects.delete(name);
  for (const level of LEVELS) {
    expect(summaryOf(await check(repository, { level }))).toEqual([`missing ${name} [p2,p3]`]);
  }
});

it("names a cut pack and a missing index at level presence", async () => {
  const { repository, store } = await threePoints();
  const pack = nameOf(store, /packs\/00000003/);
  edit(store, pack, (bytes) => bytes.subarray(0, -1));
  expect(summaryOf(await check(repository, { level: "presence" }))).toEqual([
    `wrong-size ${pack} [p3]`,
  ]);
  const indexes = [...store.objects.keys()].filter((name) => name.includes("indexes/00000001"));
  expect(indexes).toHaveLength(2);
  for (const index of indexes) {
    const object = store.objects.get(index);
    store.objects.delete(index);
    expect(summaryOf(await check(repository, { level: "presence" }))).toContain(
      `missing ${index} [p1]`,
    );
    if (object !== undefined) store.objects.set(index, object);
  }
});

it("names a bad block, where it lies on the disk and every point that shares it", async () => {
  const { repository, store } = await threePoints();
  const name = nameOf(store, /packs\/00000001/);
  // Four blocks of raw content share a frame. Block 3 is replaced in the second point.
  flip(store, name, 64 + 5);
  expect(summaryOf(await check(repository))).toEqual([
    `unreadable-block ${name} 0+3 [p1,p2,p3]`,
    `unreadable-block ${name} 3+1 [p1]`,
  ]);
  flip(store, name, 64 + (4 * BLOCK_BYTES + 16) + 5);
  const report = await check(repository);
  expect(summaryOf(report)).toEqual([
    `unreadable-block ${name} 0+3 [p1,p2,p3]`,
    `unreadable-block ${name} 3+1 [p1]`,
    `unreadable-block ${name} 4+4 [p1,p2,p3]`,
  ]);
  expect(report.findings[0]?.message).toContain("authentication tag");
  expect(summaryOf(await check(repository, { level: "metadata" }))).toEqual([]);
});

it("names damage in frames that no point needs any more, at level complete, and no point with it", async () => {
  const scene = await threePoints();
  const { repository, store, disk } = scene;
  disk.write(8 * BLOCK_SECTORS, seededRandom("d")(4 * BLOCK_BYTES));
  await backUpNext(scene, "p4");
  for (const gone of ["p1", "p2", "p3"].flatMap((point, number) => [
    `vms/vm-1/points/${point}`,
    `disks/disk-1/points/000000000${number + 1}`,
  ])) {
    store.objects.delete(`${gone}.manifest`);
  }
  const pack = nameOf(store, /packs\/00000001/);
  // Blocks 8 to 11 are a frame of the first point, and were replaced in the fourth.
  flip(store, pack, 64 + 2 * (4 * BLOCK_BYTES + 16) + 5);
  const quarantine = { now: new Date(0), foundBy: "job-1" };
  expect(summaryOf(await check(repository, { level: "sample", quarantine }))).toEqual([]);
  const report = await check(repository, { quarantine });
  expect(summaryOf(report)).toEqual([`unreadable-block ${pack} 8+4 []`]);
  expect(report.findings[0]?.message).toContain("Restores do not need this part");
  // Nothing can refer to it, so there is nothing to keep writers from.
  expect([...store.objects.keys()].filter((name) => name.startsWith("quarantine/"))).toEqual([]);
});

it("names damaged ends of packs and indexes, which no restore and no later backup needs", async () => {
  const scene = await threePoints();
  const { repository, store } = scene;
  const quarantine = { now: new Date(0), foundBy: "job-1" };
  for (const pattern of [/packs\/00000003/, /indexes\/00000003/]) {
    const name = nameOf(store, pattern);
    const object = store.objects.get(name);
    if (object === undefined) throw new Error(name);
    for (const position of [20, object.bytes.length - 40, object.bytes.length - 1]) {
      flip(store, name, position);
      expect(summaryOf(await check(repository, { level: "presence", quarantine }))).toEqual([]);
      const found = await check(repository, { level: "metadata", quarantine });
      expect(summaryOf(found)).toEqual([`unreadable-metadata ${name} []`]);
      store.objects.set(name, object);
    }
  }
  for (const name of store.objects.keys())
    if (/\.(?:pack|index)$/.test(name)) flip(store, name, 20);
  await check(repository, { quarantine });
  expect([...store.objects.keys()].filter((name) => name.startsWith("quarantine/"))).toEqual([]);
  expect(await backUpNext(scene, "p4")).toMatchObject({ kind: "incremental", healedBlocks: 0 });
});

it("goes on behind damaged manifests of one VM and one disk", async () => {
  const { repository, store } = await threePoints();
  const other = new TestDisk(8 * BLOCK_BYTES);
  other.write(0, seededRandom("other")(2 * BLOCK_BYTES));
  const written = await backUp(repository, other, "q1", other.full(), { diskId: "disk-2" });
  await commitVm(repository, "q1", [written], "vm-2");
  const vmPoint = "vms/vm-1/points/p1.manifest";
  const diskPoint = "disks/disk-1/points/0000000002.manifest";
  flip(store, vmPoint, 70);
  edit(store, diskPoint, () => Buffer.alloc(0));
  const pack = nameOf(store, /disk-2\/packs/);
  flip(store, pack, 70);
  for (const level of ["presence", "metadata"] as const) {
    expect(summaryOf(await check(repository, { level }))).toEqual([
      `unreadable-metadata ${vmPoint} [p1]`,
      `unreadable-metadata ${diskPoint} [p2]`,
    ]);
  }
  expect(summaryOf(await check(repository))).toEqual([
    `unreadable-metadata ${vmPoint} [p1]`,
    `unreadable-metadata ${diskPoint} [p2]`,
    `unreadable-block ${pack} 0+2 [q1]`,
  ]);
  const ofOneVm = await check(repository, { vmIds: ["vm-2"] });
  expect(summaryOf(ofOneVm)).toEqual([`unreadable-block ${pack} 0+2 [q1]`]);
  expect(ofOneVm.checkedPoints).toBe(1);
});

it("names a disk point that is gone, and one that is another than was asked for", async () => {
  const { repository, store, points, disk } = await threePoints();
  const name = "disks/disk-1/points/0000000003.manifest";
  store.objects.delete(name);
  expect(summaryOf(await check(repository))).toEqual([`missing ${name} [p3]`]);
  const base = points[1];
  if (base === undefined) throw new Error("no second point");
  await backUp(repository, disk, "p4", disk.incremental(base.reference, disk.takeChanges()));
  expect(summaryOf(await check(repository))).toEqual([`unreadable-metadata ${name} [p3]`]);
});

it("names foreign objects and leaves them alone", async () => {
  const { repository, store } = await threePoints();
  const names = [
    "disks/disk-1/packs/00000001/notes.txt",
    `disks/disk-1/packs/00000002/00000001${"a".repeat(24)}.pack`,
    "vms/vm-1/points/.hidden.manifest",
    "holiday.jpg",
  ];
  for (const name of names) await store.create(name, Buffer.from("x"), signal);
  const report = await check(repository, { level: "presence" });
  expect(summaryOf(report).sort()).toEqual(names.map((name) => `foreign ${name} []`).sort());
  expect(names.every((name) => store.objects.has(name))).toBe(true);
});

it("does not take for damage what retention deletes or a backup adds meanwhile", async () => {
  const scene = await threePoints();
  const { repository, store } = scene;
  let isDone = false;
  store.beforeOperation = (operation, name) => {
    if (isDone || operation !== "list" || name !== "disks/disk-1/") return;
    isDone = true;
    // The first point expires between the list of points and that of their packs.
    store.objects.delete("vms/vm-1/points/p1.manifest");
    store.objects.delete("disks/disk-1/points/0000000001.manifest");
    for (const index of store.objects.keys()) {
      if (index.includes("indexes/00000001")) store.objects.delete(index);
    }
  };
  const findings = summaryOf(await check(repository));
  expect(findings.filter((each) => !each.endsWith("[p2,p3]"))).toEqual([]);
  expect(isDone).toBe(true);
});

it("passes on what is no damage, and stops when told to", async () => {
  const { repository, store } = await threePoints();
  const stop = new AbortController();
  store.beforeOperation = (operation) => void (operation === "read" && stop.abort());
  const options = { level: "complete", samplePercent: 1, random: seededRandom("x") } as const;
  await expect(checkRepository(repository, options, stop.signal)).rejects.toThrow("abort");
  store.beforeOperation = (operation, name) => {
    if (operation === "read" && name.endsWith(".pack")) throw new Error("the network is down");
  };
  await expect(check(repository)).rejects.toThrow("the network is down");
});

it("heals with the next incremental: later points are whole, and the report says so", async () => {
  const scene = await threePoints();
  const { repository, store, disk } = scene;
  const pack = nameOf(store, /packs\/00000001/);
  flip(store, pack, 64 + (4 * BLOCK_BYTES + 16));
  const quarantine = { now: new Date(0), foundBy: "job-1" };
  expect(summaryOf(await check(repository, { quarantine }))).toEqual([
    `unreadable-block ${pack} 4+4 [p1,p2,p3]`,
  ]);
  expect(nameOf(store, /^quarantine\/disk-1\/[0-9a-f]{32}\.manifest$/)).not.toBe("");
  disk.reads.length = 0;
  const healed = await backUpNext(scene, "p4");
  expect(healed).toMatchObject({ kind: "incremental", healedBlocks: 4 });
  expect(disk.reads).toEqual([{ offsetBytes: 4 * BLOCK_BYTES, lengthBytes: 4 * BLOCK_BYTES }]);
  expect((await restore(repository, healed.reference)).equals(disk.bytes)).toBe(true);
  // The next one builds on the healed one and reads nothing again.
  disk.reads.length = 0;
  const next = await backUpNext(scene, "p5");
  expect(next).toMatchObject({ kind: "incremental", healedBlocks: 0 });
  expect(disk.reads).toEqual([]);
  const objectCount = store.objects.size;
  expect(summaryOf(await check(repository, { quarantine }))).toEqual([
    `unreadable-block ${pack} 4+4 [p1,p2,p3]`,
  ]);
  expect(store.objects.size).toBe(objectCount);
});

it("heals a missing pack, in an incremental and in a full", async () => {
  const scene = await threePoints();
  const { repository, store, disk } = scene;
  const pack = nameOf(store, /packs\/00000001/);
  store.objects.delete(pack);
  const quarantine = { now: new Date(0), foundBy: "job-1" };
  await check(repository, { level: "presence", quarantine });
  const full = await backUp(repository, disk, "f", disk.full());
  expect(full.healedBlocks).toBeGreaterThan(0);
  expect((await restore(repository, full.reference)).equals(disk.bytes)).toBe(true);
  store.objects.delete("disks/disk-1/points/0000000004.manifest");
  const healed = await backUpNext(scene, "p4");
  expect(healed).toMatchObject({ kind: "incremental", healedBlocks: full.healedBlocks });
  expect((await restore(repository, healed.reference)).equals(disk.bytes)).toBe(true);
  const affected = (await check(repository)).findings.flatMap((each) => each.affectedPoints);
  expect(affected.map(({ pointId }) => pointId)).toEqual(["p1", "p2", "p3"]);
});

it("heals a lost leaf by reading the whole disk, also when nothing changed in it", async () => {
  const scene = await threePoints();
  const { repository, store, disk } = scene;
  const leaf = nameOf(store, /indexes\/00000003/, 0);
  const name = [...store.objects.keys()].find(
    (each) => each.includes("indexes/00000003") && each !== leaf,
  );
  if (name === undefined) throw new Error("no second index");
  const roots = new Set([leaf, name]);
  // One of the two holds the root; the other, the leaf of the newest point.
  for (const index of roots) flip(store, index, 64);
  const report = await check(repository, { quarantine: { now: new Date(0), foundBy: "j" } });
  expect(report.findings.every(({ kind }) => kind === "unreadable-metadata")).toBe(true);
  disk.write(0, disk.bytes.subarray(0, BLOCK_BYTES));
  const healed = await backUpNext(scene, "p4");
  expect(healed).toMatchObject({ kind: "full", fullReason: "parent-unreadable" });
  expect((await restore(repository, healed.reference)).equals(disk.bytes)).toBe(true);
});

it("lets readers name what fails, and read what was restored from a copy", async () => {
  const { repository, store, points } = await threePoints();
  const pack = nameOf(store, /packs\/00000002/);
  const copy = store.objects.get(pack);
  store.objects.delete(pack);
  await check(repository, { quarantine: { now: new Date(0), foundBy: "j" } });
  const reference = points[1]?.reference;
  if (reference === undefined || copy === undefined) throw new Error("no second point");
  expect(await failureOf(restore(repository, reference))).toBe("RepositoryDamaged");
  await expect(restore(repository, reference)).rejects.toThrow(pack);
  store.objects.set(pack, copy);
  const reader = await DiskPointReader.open(repository, reference, signal);
  expect(await reader.read({ offsetBytes: 0, lengthBytes: 512 }, signal)).toHaveLength(512);
  expect((await check(repository)).findings).toEqual([]);
});
