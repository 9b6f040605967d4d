/**
 * Secrets, key slots, features and the descriptor: one test for each row of docs/repository-format.md,
 * section 14 "What a program answers". Lost and damaged objects: `documented-answers.test.ts`.
 */
import { expect, it } from "vitest";
import {
  addKeySlot,
  collectArchiveLeftovers,
  collectGarbage,
  createRepository,
  deleteArchive,
  deleteRetrieval,
  expireVmPoints,
  newRecoveryKey,
  openRepository,
  removeKeySlot,
  type Repository,
  type RepositorySecret,
} from "#core/repository/index.ts";
import { encodeDescriptor } from "#core/repository/format/descriptor.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import {
  backUpNext,
  check,
  edit,
  nameOf,
  summaryOf,
  threePoints,
  type Scene,
} from "./check/check-fixture.ts";
import { TestDisk, failureOf, newRepository, password, seededRandom, signal } from "./fixtures.ts";
import { damaged, listed, restored } from "./repository-answers.ts";

const quarantine = { now: new Date(0), foundBy: "job-1" };

async function opened(store: MemoryStore, secret = password): Promise<string> {
  return failureOf(openRepository(store, secret, signal));
}

async function created(store: MemoryStore): Promise<string> {
  const options = { encryption: password, random: seededRandom("new"), now: new Date(0) };
  return failureOf(createRepository(store, { ...options, scryptLogN: 10 }, signal));
}

const noVault = {
  wrap: () => Promise.reject(new Error("nothing is wrapped")),
  unwrap: () => Promise.reject(new Error("nothing is unwrapped")),
};

const wrongSecrets: readonly [string, RepositorySecret][] = [
  ["WrongRepositoryPassword", { kind: "password", password: "guess" }],
  ["WrongRecoveryKey", { kind: "recovery-key", recoveryKey: newRecoveryKey(seededRandom("r")) }],
  ["NoSlotOfVaultKey", { kind: "key-vault", keyId: "https://v.example/keys/k", vault: noVault }],
];

it.each(wrongSecrets)("a wrong secret answers %s", async (code, secret) => {
  const { store } = await threePoints();
  expect(await failureOf(openRepository(store, secret, signal))).toBe(code);
});

it("a damaged key slot: another one opens, the check names it, a backup goes on", async () => {
  const scene = await threePoints();
  const { store, repository } = scene;
  const good: RepositorySecret = { kind: "password", password: "second" };
  const random = seededRandom("slot");
  await addKeySlot(repository, good, { random, scryptLogN: 10 }, signal);
  const first = nameOf(store, /password-1\.json$/);
  edit(store, first, (bytes) => bytes.subarray(0, 50));
  const opened = { ...scene, repository: await openRepository(store, good, signal) };
  expect(await listed(opened.repository)).toEqual(["p1", "p2", "p3"]);
  expect(await restored(opened, "p3")).toEqual(["whole"]);
  expect((await check(opened.repository, { level: "presence" })).findings).toEqual([]);
  const report = await check(opened.repository, { level: "metadata" });
  expect(summaryOf(report)).toEqual([`unreadable-metadata ${first} []`]);
  await backUpNext(opened, "p4");
  expect(await restored(opened, "p4")).toEqual(["whole"]);
});

it("no key slot at all", async () => {
  const { store } = await threePoints();
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

/** Opens it again as one that uses a feature which nobody knows. */
async function withFeature(scene: Scene, list: "read" | "write" | "delete"): Promise<Scene> {
  const { repository, store } = scene;
  const { descriptor, key } = repository;
  const names = [...descriptor.features[list], "holograms"];
  const features = { ...descriptor.features, [list]: names };
  edit(store, "repo.json", () => encodeDescriptor({ ...descriptor, features }, key.repositoryKey));
  return { ...scene, repository: await openRepository(store, password, signal) };
}

async function deletionAnswers(repository: Repository): Promise<string[]> {
  const now = new Date("2030-01-01T00:00:00Z");
  const random = seededRandom("deletion");
  const name = { vmId: "vm-1", archiveId: "a1", now };
  const answers = [
    expireVmPoints(repository, { points: [], activeDiskIds: [], now: () => now }, signal),
    collectGarbage(repository, { now: () => now, random }, signal),
    collectArchiveLeftovers(repository, { olderThan: now }, signal),
    deleteArchive(repository, name, signal),
    deleteRetrieval(repository, "ret", signal),
    removeKeySlot(repository, "password-1", signal),
  ];
  return Promise.all(answers.map((answer) => failureOf(answer)));
}

it("an unknown feature to delete: everything but deleting goes on", async () => {
  const scene = await withFeature(await threePoints(), "delete");
  const { repository, store } = scene;
  expect(await listed(repository)).toEqual(["p1", "p2", "p3"]);
  expect(await restored(scene, "p1", "p2", "p3")).toEqual(["whole", "whole", "whole"]);
  store.objects.delete(nameOf(store, /packs\/00000003/));
  expect((await check(repository, { level: "presence", quarantine })).findingCount).toBe(1);
  expect([...store.objects.keys()].filter((name) => name.startsWith("quarantine/"))).toHaveLength(
    1,
  );
  expect(await backUpNext(scene, "p4")).toMatchObject({ kind: "incremental", healedBlocks: 1 });
  expect(await restored(scene, "p4")).toEqual(["whole"]);
  const names = [...store.objects.keys()];
  expect(new Set(await deletionAnswers(repository))).toEqual(new Set(["RepositoryFeatureUnknown"]));
  expect([...store.objects.keys()]).toEqual(names);
});

it("an unknown feature to delete: a writer does not replace a damaged leftover", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = new TestDisk(4096);
  disk.write(0, seededRandom("x")(4096));
  const scene = await withFeature({ store, repository, disk, points: [] }, "delete");
  const attempt = "disks/disk-1/attempts/0000000001.manifest";
  await store.create(attempt, Buffer.from("damaged"), signal);
  expect(await failureOf(backUpNext(scene, "p1"))).toBe("RepositoryFeatureUnknown");
  expect(Buffer.from(store.objects.get(attempt)?.bytes ?? []).toString()).toBe("damaged");
});

it("an unknown feature: to read nothing works, to write only writing is refused", async () => {
  const scene = await threePoints();
  const { store } = scene;
  const unreadable = await failureOf(withFeature(scene, "read"));
  expect(unreadable).toBe("RepositoryFeatureUnknown");
  const readable = await withFeature(scene, "write");
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
