import { expect, it } from "vitest";
import { deleteArchive, deleteRetrieval, readRetrieval } from "#core/repository/index.ts";
import { failureOf, signal } from "../fixtures.ts";
import {
  NOW,
  archive,
  openOver,
  namesUnder,
  restoreArchived,
  retrieve,
  startingPoint,
} from "./archive-fixture.ts";

const name = { vmId: "vm-1", archiveId: "arc-1" };
const DAY_MS = 24 * 60 * 60 * 1000;

it("copies the packs of the disks that are asked for, and no others", async () => {
  const { store, images } = await startingPoint();
  await archive(store);
  const started = await retrieve(store, ["c"], { tier: "cool", priority: "high" });
  const copies = namesUnder(store, "retrievals/ret-1/disks/");
  expect(copies).toEqual(
    namesUnder(store, "archives/vm-1/arc-1/disks/c/packs/").map((object) =>
      object.replace("archives/vm-1/arc-1/", "retrievals/ret-1/"),
    ),
  );
  const storedBytes = copies.reduce(
    (sum, object) => sum + (store.objects.get(object)?.bytes.length ?? 0),
    0,
  );
  const all = { objectCount: copies.length, storedBytes, missingObjects: 0 };
  expect(started).toMatchObject({ ...all, readyObjects: 0, pendingObjects: copies.length });
  store.finishRetrievals();
  for (const copy of copies) expect(store.objects.get(copy)?.tier).toBe("cool");
  const state = await readRetrieval(await openOver(store), "ret-1", signal);
  expect(state).toMatchObject({
    ...all,
    readyObjects: copies.length,
    readyBytes: storedBytes,
    pendingObjects: 0,
  });
  expect((await restoreArchived(store, "c")).equals(images["c"] ?? new Uint8Array())).toBe(true);
});

it("starts again what is missing or failed, and leaves what is under way or ready alone", async () => {
  const { store } = await startingPoint();
  await archive(store);
  const { objectCount } = await retrieve(store, ["a"]);
  const [first = "", second = "", third = ""] = namesUnder(store, "retrievals/ret-1/disks/");
  store.finishRetrievals();
  store.objects.delete(first);
  const content = store.objects.get(second);
  if (content === undefined) throw new Error("no copy");
  store.objects.set(second, { ...content, tier: "archive", bytes: new Uint8Array() });
  const ready = store.objects.get(third);
  const before = await readRetrieval(await openOver(store), "ret-1", signal);
  expect(before).toMatchObject({ missingObjects: 2, readyObjects: objectCount - 2 });
  const after = await retrieve(store, ["a"]);
  expect(after).toMatchObject({
    pendingObjects: 2,
    missingObjects: 0,
    readyObjects: objectCount - 2,
  });
  expect(store.objects.get(third)).toBe(ready);
});

it("refuses an id that names another retrieval, unknown disks and unsafe names", async () => {
  const { store } = await startingPoint();
  await archive(store);
  await retrieve(store, ["a", "c"]);
  expect(await retrieve(store, ["c", "a", "a"])).toMatchObject({ missingObjects: 0 });
  expect(await failureOf(retrieve(store, ["a"]))).toBe("RetrievalExists");
  expect(await failureOf(retrieve(store, ["a", "c"], { tier: "cold" }))).toBe("RetrievalExists");
  expect(await failureOf(retrieve(store, ["z"]))).toBe("DiskNotInArchive");
  expect(await failureOf(retrieve(store, ["a"], { archiveId: "x" }))).toBe("ArchiveNotFound");
  expect(await failureOf(retrieve(store, ["a"], { retrievalId: ".." }))).toBe(
    "InvalidRepositoryName",
  );
});

it("deletes a retrieval and leaves the archive", async () => {
  const { store } = await startingPoint();
  await archive(store);
  await retrieve(store, ["a"]);
  const archived = namesUnder(store, "archives/");
  const repository = await openOver(store);
  const count = namesUnder(store, "retrievals/").length;
  expect(await deleteRetrieval(repository, "ret-1", signal)).toMatchObject({
    deletedObjects: count,
  });
  expect(await deleteRetrieval(repository, "ret-1", signal)).toMatchObject({ deletedObjects: 0 });
  expect(namesUnder(store, "archives/")).toEqual(archived);
  expect(await failureOf(readRetrieval(repository, "ret-1", signal))).toBe("RetrievalNotFound");
});

it("deletes an archive and warns when the archive tier is charged on", async () => {
  const { store } = await startingPoint();
  await archive(store);
  const repository = await openOver(store);
  const now = new Date(NOW.getTime() + 100 * DAY_MS);
  const deleted = await deleteArchive(repository, { ...name, now }, signal);
  expect(deleted.outcome).toBe("deleted");
  expect(deleted.warnings).toEqual([expect.stringContaining("after 100 days")]);
  expect(namesUnder(store, "archives/vm-1/arc-1/")).toEqual([]);
  expect(await deleteArchive(repository, { ...name, now }, signal)).toEqual({
    outcome: "absent",
    deletedObjects: 0,
    deletedBytes: 0,
    immutableObjects: 0,
    warnings: [],
  });
  await archive(store);
  const late = new Date(NOW.getTime() + 180 * DAY_MS);
  expect((await deleteArchive(repository, { ...name, now: late }, signal)).warnings).toEqual([]);
});

it("keeps an archive that is still immutable as it is", async () => {
  const { store, images } = await startingPoint();
  await archive(store, { immutableUntil: new Date("2026-06-01T00:00:00Z") });
  const before = new Map(store.objects);
  const deleted = await deleteArchive(await openOver(store), { ...name, now: NOW }, signal);
  expect(deleted).toMatchObject({ outcome: "immutable", deletedObjects: 0, immutableObjects: 1 });
  expect(new Map(store.objects)).toEqual(before);
  await retrieve(store, ["c"]);
  store.finishRetrievals();
  expect((await restoreArchived(store, "c")).equals(images["c"] ?? new Uint8Array())).toBe(true);
});
