/** What meets a retrieval (docs/concurrency.md), each in seeded orders of all storage operations. */
import { beforeAll, expect, it } from "vitest";
import { collectArchiveLeftovers, deleteArchive, deleteRetrieval } from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { failureOf, signal } from "../fixtures.ts";
import { Interleaving } from "../maintenance/interleaving.ts";
import { range } from "../maintenance/vm-world.ts";
import {
  NOW,
  archive,
  namesUnder,
  openOver,
  restoreArchived,
  retrieve,
  startingPoint,
} from "./archive-fixture.ts";

const SEEDS = range(1, 13);
const DISKS = ["a", "c"];
const ARCHIVE = { vmId: "vm-1", archiveId: "arc-1", now: NOW };
const LATER = { olderThan: new Date(NOW.getTime() + 1) };

let archived: MemoryStore;
let images: Record<string, Buffer>;

beforeAll(async () => {
  const start = await startingPoint();
  await archive(start.store);
  ({ store: archived, images } = start);
});

function stageOf(seed: number) {
  const store = new MemoryStore(() => NOW);
  for (const [name, object] of archived.objects) store.objects.set(name, object);
  const order = new Interleaving(seed);
  return { store, order, ordered: order.store(store) };
}

async function readyStage(seed: number) {
  const stage = stageOf(seed);
  await retrieve(stage.store, DISKS);
  stage.store.finishRetrievals();
  return stage;
}

const isRight = async (store: MemoryStore, retrievalId?: string): Promise<boolean> =>
  (await restoreArchived(store, "a", retrievalId)).equals(images["a"] ?? new Uint8Array());

it.each(SEEDS)("two starts of one retrieval make each copy once (seed %i)", async (seed) => {
  const { store, order, ordered } = stageOf(seed);
  await retrieve(store, DISKS);
  const copies = namesUnder(store, "retrievals/ret-1/disks/");
  const [lost = "", failed = ""] = copies;
  store.objects.delete(lost);
  const broken = store.objects.get(failed);
  if (broken === undefined) throw new Error("no copy");
  // A copy that failed lies there without content and without an end.
  const { rehydratingTo: _never, ...rest } = broken;
  store.objects.set(failed, { ...rest, bytes: new Uint8Array() });
  const starts = [1, 2].map(() => () => retrieve(ordered, DISKS));
  await order.run(starts);
  expect(namesUnder(store, "retrievals/ret-1/disks/")).toEqual(copies);
  for (const copy of copies) expect(store.objects.get(copy)?.rehydratingTo, copy).toBe("hot");
  store.finishRetrievals();
  expect(await isRight(store)).toBe(true);
});

it.each(SEEDS)("a restore waits for a start, and gets the right bytes (seed %i)", async (seed) => {
  const { store, order, ordered } = stageOf(seed);
  const answers: string[] = [];
  await order.run([
    () => retrieve(ordered, DISKS),
    async () => void answers.push(await failureOf(restoreArchived(ordered, "a"))),
  ]);
  expect(["ArchiveNotRetrieved", "RetrievalNotFound"]).toContain(answers[0]);
  store.finishRetrievals();
  expect(await isRight(store)).toBe(true);
});

it.each(SEEDS)("an archive is deleted while it is retrieved (seed %i)", async (seed) => {
  const { store, order, ordered } = stageOf(seed);
  const answers: string[] = [];
  await order.run([
    async () => void answers.push(await failureOf(retrieve(ordered, DISKS))),
    async () => deleteArchive(await openOver(ordered), ARCHIVE, signal),
  ]);
  expect(["no failure", "ArchiveNotFound"]).toContain(answers[0]);
  expect(namesUnder(store, "archives/vm-1/arc-1/")).toEqual([]);
  expect(await failureOf(retrieve(store, DISKS))).toBe("ArchiveNotFound");
  const repository = await openOver(store);
  await deleteRetrieval(repository, "ret-1", signal);
  expect(namesUnder(store, "retrievals/")).toEqual([]);
});

it.each(SEEDS)(
  "a retrieval is deleted while it is started: no copy stays (seed %i)",
  async (seed) => {
    const { store, order, ordered } = stageOf(seed);
    await retrieve(store, DISKS);
    for (const name of namesUnder(store, "retrievals/ret-1/disks/")) store.objects.delete(name);
    const answers: string[] = [];
    await order.run([
      async () => void answers.push(await failureOf(retrieve(ordered, DISKS))),
      async () => deleteRetrieval(await openOver(ordered), "ret-1", signal),
    ]);
    expect(["no failure", "RetrievalNotFound"]).toContain(answers[0]);
    const repository = await openOver(store);
    const isRecorded = store.objects.has("retrievals/ret-1/retrieval.manifest");
    const left = namesUnder(store, "retrievals/");
    const young = { olderThan: NOW };
    expect(await collectArchiveLeftovers(repository, young, signal)).toMatchObject({
      deletedObjects: 0,
    });
    const collected = await collectArchiveLeftovers(repository, LATER, signal);
    expect(collected.deletedObjects).toBe(isRecorded ? 0 : left.length);
    expect(namesUnder(store, "retrievals/")).toEqual(isRecorded ? left : []);
    await retrieve(store, DISKS);
    store.finishRetrievals();
    expect(await isRight(store)).toBe(true);
  },
);

it.each(SEEDS)("what is read is right or refused while it is deleted (seed %i)", async (seed) => {
  const refusals = [
    "ArchiveNotRetrieved",
    "RetrievalNotFound",
    "ArchiveNotFound",
    "RepositoryDamaged",
  ];
  for (const deletes of ["retrieval", "archive"]) {
    const { store, order, ordered } = await readyStage(seed);
    let answer = "";
    await order.run([
      async () => {
        const read = restoreArchived(ordered, "a");
        answer = await failureOf(read);
        if (answer === "no failure") expect((await read).equals(images["a"]!)).toBe(true);
      },
      async () => {
        const repository = await openOver(ordered);
        if (deletes === "retrieval") await deleteRetrieval(repository, "ret-1", signal);
        else await deleteArchive(repository, ARCHIVE, signal);
      },
    ]);
    expect(["no failure", ...refusals]).toContain(answer);
    const gone = deletes === "retrieval" ? "retrievals/" : "archives/vm-1/arc-1/";
    expect(namesUnder(store, gone)).toEqual([]);
  }
});

it("an archive that lost a pack says so when it is retrieved", async () => {
  const { store } = stageOf(0);
  const [pack = ""] = namesUnder(store, "archives/vm-1/arc-1/disks/a/packs/");
  store.objects.delete(pack);
  expect(await failureOf(retrieve(store, DISKS))).toBe("RepositoryDamaged");
});
