/** One test for each row of docs/repository-format.md, section 14 "What a program answers". */
import { expect, it } from "vitest";
import { messageOf } from "#core/lib/errors.ts";
import {
  createRepository,
  listVmPoints,
  openRepository,
  readVmPoint,
  type Repository,
} from "#core/repository/index.ts";
import { encodeDescriptor } from "#core/repository/format/descriptor.ts";
import type { MemoryStore } from "#core/repository/testing/memory-store.ts";
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
import { failureOf, password, restore, seededRandom, signal } from "./fixtures.ts";

async function listed(repository: Repository): Promise<string[]> {
  const names: string[] = [];
  for await (const { pointId } of listVmPoints(repository, undefined, signal)) names.push(pointId);
  return names.sort();
}

/** What each point answers to a restore: `whole` or a code. */
async function restored({ repository }: Scene, ...pointIds: string[]): Promise<string[]> {
  const answers: string[] = [];
  for (const pointId of pointIds) {
    const work = async (): Promise<void> => {
      const { disks } = await readVmPoint(repository, "vm-1", pointId, signal);
      for (const { diskPoint } of disks) await restore(repository, diskPoint);
    };
    const answer = await failureOf(work());
    answers.push(answer === "no failure" ? "whole" : answer);
  }
  return answers;
}

async function opened(store: MemoryStore, secret = password): Promise<string> {
  return failureOf(openRepository(store, secret, signal));
}

async function created(store: MemoryStore): Promise<string> {
  const options = { encryption: password, random: seededRandom("new"), now: new Date(0) };
  return failureOf(createRepository(store, { ...options, scryptLogN: 10 }, signal));
}

const quarantine = { now: new Date(0), foundBy: "job-1" };
const damaged = "RepositoryDamaged";

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

it("a cut pack: wrong size, its points are refused", async () => {
  const scene = await threePoints();
  const name = nameOf(scene.store, /packs\/00000003/);
  edit(scene.store, name, (bytes) => bytes.subarray(0, 100));
  expect(await restored(scene, "p2", "p3")).toEqual(["whole", damaged]);
  const report = await check(scene.repository, { level: "presence", quarantine });
  expect(summaryOf(report)).toEqual([`wrong-size ${name} [p3]`]);
  expect(await backUpNext(scene, "p4")).toMatchObject({ healedBlocks: 1 });
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

it("a wrong password, or no key slot at all", async () => {
  const { store } = await threePoints();
  const wrong = { kind: "password", password: "guess" } as const;
  expect(await failureOf(openRepository(store, wrong, signal))).toBe("WrongRepositoryPassword");
  store.objects.delete(nameOf(store, /^keys\//));
  expect(await opened(store)).toBe("RepositoryKeyMissing");
  expect(await created(store)).toBe("RepositoryKeyMissing");
});

it("a newer format version", async () => {
  const { store } = await threePoints();
  edit(store, "repo.json", (bytes) =>
    Buffer.from(bytes.toString().replace('"formatVersion": 1', '"formatVersion": 2')),
  );
  expect(await opened(store)).toBe("RepositoryTooNew");
  expect(await created(store)).toBe("RepositoryTooNew");
});

it("an unknown feature: to read nothing works, to write only writing is refused", async () => {
  const scene = await threePoints();
  const { repository, store } = scene;
  const withFeature = (list: "read" | "write"): void => {
    const { descriptor, key } = repository;
    const names = [...descriptor.features[list], "holograms"];
    const features = { ...descriptor.features, [list]: names };
    const text = encodeDescriptor({ ...descriptor, features }, key.repositoryKey);
    edit(store, "repo.json", () => text);
  };
  withFeature("read");
  expect(await opened(store)).toBe("RepositoryFeatureUnknown");
  withFeature("write");
  const readable = { ...scene, repository: await openRepository(store, password, signal) };
  expect(await restored(readable, "p1", "p2", "p3")).toEqual(["whole", "whole", "whole"]);
  expect(await failureOf(backUpNext(readable, "p4"))).toBe("RepositoryFeatureUnknown");
  store.objects.delete(nameOf(store, /packs\/00000003/));
  const objectCount = store.objects.size;
  expect((await check(readable.repository, { quarantine })).findingCount).toBe(1);
  expect(store.objects.size).toBe(objectCount);
});

it("a descriptor that is edited, foreign or gone", async () => {
  const { store, repository } = await threePoints();
  const original = store.objects.get("repo.json");
  edit(store, "repo.json", (bytes) => Buffer.from(bytes.toString().replace("1970", "1971")));
  edit(store, "repo.json", (bytes) => Buffer.from(bytes.toString().replace("2026", "2027")));
  expect(await opened(store)).toBe(damaged);
  expect(summaryOf(await check(repository))).toEqual(["unreadable-metadata repo.json []"]);
  edit(store, "repo.json", () => Buffer.from('{"name":"another program"}'));
  expect(await opened(store)).toBe("NotARepository");
  expect(await created(store)).toBe("NotARepository");
  store.objects.delete("repo.json");
  expect(await opened(store)).toBe("RepositoryNotFound");
  expect(await created(store)).toBe("RepositoryDescriptorMissing");
  expect(summaryOf(await check(repository))).toEqual(["missing repo.json []"]);
  if (original !== undefined) store.objects.set("repo.json", original);
  expect(await opened(store)).toBe("no failure");
});
