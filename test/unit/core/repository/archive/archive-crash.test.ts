import { describe, expect, it } from "vitest";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import {
  collectArchiveLeftovers,
  deleteArchive,
  deleteRetrieval,
  readArchive,
  readVmPoint,
} from "#core/repository/index.ts";
import { DyingStore, type StoreFault } from "#core/repository/testing/dying-store.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { failureOf, restore, signal } from "../fixtures.ts";
import { SINGLE_FAULTS } from "../single-faults.ts";
import {
  NOW,
  archive,
  openOver,
  namesUnder,
  restoreArchived,
  retrieve,
  startingPoint,
  type Start,
} from "./archive-fixture.ts";

const ARCHIVE = "archives/vm-1/arc-1/";
const MANIFEST = `${ARCHIVE}archive.manifest`;
const name = { vmId: "vm-1", archiveId: "arc-1" };
const LATER = new Date("2027-01-01T00:00:00Z");

/** Same objects, own map: each crash starts from the same state. */
function copyOf(store: MemoryStore): MemoryStore {
  const copy = new MemoryStore(() => NOW);
  for (const [object, content] of store.objects) copy.objects.set(object, content);
  return copy;
}

async function requirePointIntact(store: MemoryStore, { images }: Start): Promise<void> {
  const repository = await openOver(store);
  const point = await readVmPoint(repository, "vm-1", "p1", signal);
  expect(point.disks).toHaveLength(3);
  for (const { diskPoint } of point.disks) {
    const content = await restore(repository, diskPoint);
    expect(content.equals(images[diskPoint.diskId] ?? Buffer.alloc(0))).toBe(true);
  }
}

async function requireArchiveWhole(store: MemoryStore, { images }: Start): Promise<void> {
  const copy = copyOf(store);
  await retrieve(copy, ["a", "b", "c"], { retrievalId: "check" });
  copy.finishRetrievals();
  for (const [diskId, image] of Object.entries(images)) {
    expect((await restoreArchived(copy, diskId, "check")).equals(image)).toBe(true);
  }
}

/** Strikes at every operation of `work`, each time from the state `start`; hands over what is left. */
async function strikeEverywhere(
  start: MemoryStore,
  { after, aftermath }: Omit<StoreFault, "at">,
  work: (store: BlobStore) => Promise<unknown>,
  judge: (left: MemoryStore, hasEnded: boolean) => Promise<void>,
): Promise<number> {
  for (let at = 0; ; at++) {
    const store = copyOf(start);
    const dying = new DyingStore(store, { at, after, aftermath });
    const outcome = await failureOf(work(dying));
    // A minute of silence passes.
    store.breakLocks();
    await judge(store, outcome === "no failure");
    if (!dying.hasStruck) return at;
    if (aftermath === "dies") expect(outcome).toBe("Dead");
  }
}

describe.each(SINGLE_FAULTS)("$kind every store operation", (fault) => {
  it("leaves nothing broken of archiving", async () => {
    const start = await startingPoint();
    const clean = copyOf(start.store);
    await archive(clean);
    const packsOf = (store: MemoryStore) =>
      namesUnder(store, ARCHIVE).filter((object) => object.endsWith(".pack"));
    const faultCount = await strikeEverywhere(
      start.store,
      fault,
      archive,
      async (left, hasEnded) => {
        const abandoned = copyOf(left);
        const stored = packsOf(left).map((object) => left.objects.get(object));
        if (left.objects.has(MANIFEST)) await requireArchiveWhole(left, start);
        await archive(left);
        await requireArchiveWhole(left, start);
        await requirePointIntact(left, start);
        // Nothing was stored twice, and nothing is left over.
        expect(packsOf(left)).toEqual(packsOf(clean));
        for (const each of stored) expect([...left.objects.values()]).toContain(each);
        expect(namesUnder(left, ARCHIVE)).toHaveLength(namesUnder(clean, ARCHIVE).length);
        // Nobody tries again: the archive is whole, or the collector takes what is left of it.
        await collectArchiveLeftovers(await openOver(abandoned), { olderThan: LATER }, signal);
        if (hasEnded) expect(abandoned.objects.has(MANIFEST)).toBe(true);
        if (abandoned.objects.has(MANIFEST)) await requireArchiveWhole(abandoned, start);
        const wholeCount = abandoned.objects.has(MANIFEST) ? namesUnder(clean, ARCHIVE).length : 0;
        expect(namesUnder(abandoned, ARCHIVE)).toHaveLength(wholeCount);
        await requirePointIntact(abandoned, start);
      },
    );
    // Reads, packs, indexes, manifest, cleaning up: the loop really walked through them.
    expect(faultCount).toBeGreaterThan(30);
  });

  it("leaves nothing broken of a retrieval", async () => {
    const start = await startingPoint();
    await archive(start.store);
    const work = (store: BlobStore) => retrieve(store, ["a", "c"]);
    const faultCount = await strikeEverywhere(start.store, fault, work, async (left) => {
      const state = await work(left);
      expect(state.pendingObjects).toBe(state.objectCount);
      left.finishRetrievals();
      expect((await restoreArchived(left, "a")).equals(start.images["a"] ?? new Uint8Array())).toBe(
        true,
      );
      expect((await restoreArchived(left, "c")).equals(start.images["c"] ?? new Uint8Array())).toBe(
        true,
      );
      await requirePointIntact(left, start);
      await deleteRetrieval(await openOver(left), "ret-1", signal);
      await requireArchiveWhole(left, start);
    });
    expect(faultCount).toBeGreaterThan(8);
  });

  it("leaves nothing broken of deleting an archive", async () => {
    const start = await startingPoint();
    await archive(start.store);
    await archive(start.store, { archiveId: "arc-2" });
    const work = async (store: BlobStore) =>
      deleteArchive(await openOver(store), { ...name, now: LATER }, signal);
    const faultCount = await strikeEverywhere(start.store, fault, work, async (left) => {
      if (left.objects.has(MANIFEST)) await requireArchiveWhole(left, start);
      const byCollector = copyOf(left);
      await work(left);
      expect(namesUnder(left, ARCHIVE)).toEqual([]);
      await requirePointIntact(left, start);
      const second = { vmId: "vm-1", archiveId: "arc-2" };
      const other = await readArchive(await openOver(left), second, signal);
      const packCount = other.disks.reduce((sum, disk) => sum + disk.packCount, 0);
      const packs = namesUnder(left, "archives/vm-1/arc-2/disks/").filter((object) =>
        object.endsWith(".pack"),
      );
      expect(packs).toHaveLength(packCount);
      // Nobody tries again: the collector finds what is left.
      await collectArchiveLeftovers(await openOver(byCollector), { olderThan: LATER }, signal);
      const isThere = byCollector.objects.has(MANIFEST);
      if (isThere) await requireArchiveWhole(byCollector, start);
      else expect(namesUnder(byCollector, ARCHIVE)).toEqual([]);
    });
    expect(faultCount).toBeGreaterThan(8);
  });

  it("leaves nothing broken of deleting a retrieval", async () => {
    const start = await startingPoint();
    await archive(start.store);
    await retrieve(start.store, ["a"]);
    start.store.finishRetrievals();
    const work = async (store: BlobStore) =>
      deleteRetrieval(await openOver(store), "ret-1", signal);
    const faultCount = await strikeEverywhere(start.store, fault, work, async (left) => {
      await work(left);
      expect(namesUnder(left, "retrievals/")).toEqual([]);
      await requireArchiveWhole(left, start);
    });
    expect(faultCount).toBeGreaterThan(4);
  });

  it("leaves nothing broken of collecting leftovers", async () => {
    const start = await startingPoint();
    await archive(start.store);
    start.store.beforeOperation = (operation, object) => {
      if (operation === "create" && object.endsWith("archive.manifest"))
        throw new HoldfastError("Dead", "dead");
    };
    expect(await failureOf(archive(start.store, { archiveId: "arc-dead" }))).toBe("Dead");
    start.store.beforeOperation = () => undefined;
    expect(namesUnder(start.store, "archives/vm-1/arc-dead/")).not.toEqual([]);
    const work = async (store: BlobStore) =>
      collectArchiveLeftovers(await openOver(store), { olderThan: LATER }, signal);
    await strikeEverywhere(start.store, fault, work, async (left) => {
      await work(left);
      expect(namesUnder(left, "archives/vm-1/arc-dead/")).toEqual([]);
      await requireArchiveWhole(left, start);
      await requirePointIntact(left, start);
    });
  });
});

it("leaves young leftovers, and those of a manifest that it cannot read, alone", async () => {
  const start = await startingPoint();
  const { store } = start;
  await archive(store);
  const stray = `${ARCHIVE}disks/a/indexes/${"ab".repeat(16)}.index`;
  await store.create(stray, new Uint8Array(10), signal);
  await store.create("archives/vm-1/unfinished/disks/a/packs/x.pack", new Uint8Array(10), signal);
  const collect = async (olderThan: Date) =>
    collectArchiveLeftovers(await openOver(store), { olderThan }, signal);
  expect(await collect(NOW)).toMatchObject({ deletedObjects: 0, skipped: [] });
  const manifest = store.objects.get(MANIFEST);
  if (manifest === undefined) throw new Error("no manifest");
  store.objects.set(MANIFEST, { ...manifest, bytes: manifest.bytes.subarray(1) });
  expect(await collect(LATER)).toMatchObject({
    deletedObjects: 1,
    skipped: [{ ...name, reason: "RepositoryDamaged" }],
  });
  expect(store.objects.has(stray)).toBe(true);
  store.objects.set(MANIFEST, manifest);
  expect(await collect(LATER)).toMatchObject({ deletedObjects: 1, deletedBytes: 10, skipped: [] });
  await requireArchiveWhole(store, start);
});

it("stops writing when its lock is lost", async () => {
  const { store } = await startingPoint();
  let packCount = 0;
  store.beforeOperation = (operation, object) => {
    if (operation === "create" && object.endsWith(".pack") && ++packCount === 2) store.breakLocks();
  };
  expect(await failureOf(archive(store))).not.toBe("no failure");
  expect(store.objects.has(MANIFEST)).toBe(false);
});

it("goes on after a fault of the store, and replaces a pack of the wrong size", async () => {
  const start = await startingPoint();
  const { store } = start;
  let createCount = 0;
  store.beforeOperation = (operation) => {
    if (operation === "create" && ++createCount === 4)
      throw new HoldfastError("ServerBusy", "busy");
  };
  expect(await failureOf(archive(store))).toBe("ServerBusy");
  store.beforeOperation = () => undefined;
  const pack = namesUnder(store, ARCHIVE).find((object) => object.endsWith(".pack")) ?? "";
  const content = store.objects.get(pack);
  if (content === undefined) throw new Error("no pack");
  store.objects.set(pack, { ...content, bytes: content.bytes.subarray(9) });
  await archive(store);
  await requireArchiveWhole(store, start);
});
