import { expect, it } from "vitest";
import {
  DiskPointReader,
  deleteArchive,
  listArchives,
  openArchivedDisk,
  readArchive,
  readRetrieval,
  readVmPoint,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { failureOf, restore, seededRandom, signal } from "../fixtures.ts";
import {
  NOW,
  archive,
  openOver,
  namesUnder,
  restoreArchived,
  retrieve,
  startingPoint,
} from "./archive-fixture.ts";

const ARCHIVE = "archives/vm-1/arc-1/";
const name = { vmId: "vm-1", archiveId: "arc-1" };

it("brings back every byte of every disk, and leaves the restore point as it is", async () => {
  const { store, images } = await startingPoint();
  const before = new Map(store.objects);
  const written = await archive(store);
  expect(written.alreadyCommitted).toBe(false);
  for (const [object, content] of before) expect(store.objects.get(object)).toBe(content);
  await retrieve(store, ["a", "b", "c"]);
  store.finishRetrievals();
  for (const [diskId, image] of Object.entries(images)) {
    expect((await restoreArchived(store, diskId)).equals(image)).toBe(true);
  }
  const repository = await openOver(store);
  const point = await readVmPoint(repository, "vm-1", "p1", signal);
  for (const { diskPoint } of point.disks) {
    const image = images[diskPoint.diskId];
    expect((await restore(repository, diskPoint)).equals(image ?? Buffer.alloc(0))).toBe(true);
  }
});

it("needs nothing of the restore point, of other points or of their packs", async () => {
  const { store, images } = await startingPoint();
  await archive(store);
  for (const object of store.objects.keys()) {
    if (/^(disks|vms)\//.test(object)) store.objects.delete(object);
  }
  await retrieve(store, ["a", "c"]);
  store.finishRetrievals();
  expect((await restoreArchived(store, "a")).equals(images["a"] ?? new Uint8Array())).toBe(true);
  expect((await restoreArchived(store, "c")).equals(images["c"] ?? new Uint8Array())).toBe(true);
});

it("puts packs into the archive tier, in the order of the disk, and the rest online", async () => {
  const { store } = await startingPoint();
  const { archive: written } = await archive(store);
  const packs = namesUnder(store, ARCHIVE).filter((object) => object.endsWith(".pack"));
  expect(packs.length).toBeGreaterThan(4);
  for (const object of namesUnder(store, ARCHIVE)) {
    expect(store.objects.get(object)?.tier).toBe(object.endsWith(".pack") ? "archive" : "hot");
  }
  const ofDisk = packs.filter((object) => object.startsWith(`${ARCHIVE}disks/a/`));
  const numbers = ofDisk.map((object) => Number.parseInt(object.split("/").at(-2) ?? "", 16));
  expect(numbers).toEqual(numbers.map((_, position) => position + 1));
  const diskA = written.disks.find(({ image }) => image.diskId === "a");
  const bytesOf = ofDisk.map((object) => store.objects.get(object)?.bytes.length ?? 0);
  expect(diskA).toMatchObject({
    packCount: ofDisk.length,
    storedBytes: bytesOf.reduce((sum, each) => sum + each, 0),
  });
  expect(Math.max(...bytesOf)).toBeLessThanOrEqual(32 * 1024);
});

it("tells configuration, disks, sizes and extents while the packs cannot be read", async () => {
  const { store, disks } = await startingPoint();
  await archive(store);
  const repository = await openOver(store);
  const found = [];
  for await (const each of listArchives(repository, undefined, signal)) found.push(each);
  for await (const each of listArchives(repository, "vm-1", signal)) found.push(each);
  for await (const each of listArchives(repository, "vm", signal)) found.push(each);
  expect(found).toEqual([name, name]);
  const read = await readArchive(repository, name, signal);
  expect(read).toMatchObject({ pointId: "p1", vm: { name: "web" }, archivedAt: NOW.toISOString() });
  const sizes = read.disks.map(({ lun, image }) => [lun, image.diskId, image.sizeBytes]);
  expect(sizes).toEqual(
    Object.entries(disks).map(([diskId, { bytes }], lun) => [lun, diskId, bytes.length]),
  );
  const reader = await openArchivedDisk(repository, { ...name, diskId: "a" }, signal);
  const point = await readVmPoint(repository, "vm-1", "p1", signal);
  const diskPoint = point.disks[0]?.diskPoint;
  if (diskPoint === undefined) throw new Error("no disk");
  const original = await DiskPointReader.open(repository, diskPoint, signal);
  const collect = async (from: DiskPointReader) => {
    const extents = [];
    for await (const extent of from.extents(signal)) extents.push(extent);
    return extents;
  };
  expect(await collect(reader)).toEqual(await collect(original));
});

it("says what to do while the packs are archived, under way, or not asked for", async () => {
  const { store } = await startingPoint();
  await archive(store);
  const message = async (retrievalId?: string) =>
    restoreArchived(store, "a", retrievalId).then(
      () => "no failure",
      (error: unknown) => (error instanceof Error ? error.message : ""),
    );
  expect(await failureOf(restoreArchived(store, "a", ""))).toBe("ArchiveNotRetrieved");
  expect(await message("")).toContain("Start a retrieval");
  expect(await failureOf(restoreArchived(store, "a"))).toBe("RetrievalNotFound");
  await retrieve(store, ["a"]);
  expect(await failureOf(restoreArchived(store, "a"))).toBe("ArchiveNotRetrieved");
  expect(await message()).toContain("Wait until the retrieval ret-1 is ready");
  expect(await failureOf(restoreArchived(store, "c"))).toBe("RetrievalMismatch");
  store.finishRetrievals();
  for (const object of namesUnder(store, "retrievals/ret-1/disks/")) store.objects.delete(object);
  expect(await failureOf(restoreArchived(store, "a"))).toBe("ArchiveNotRetrieved");
});

it("reads packs where they lie in a store without an archive tier", async () => {
  const { store, images } = await startingPoint();
  store.capabilities = { immutability: false, archiveTier: false };
  await archive(store);
  expect((await restoreArchived(store, "a", "")).equals(images["a"] ?? new Uint8Array())).toBe(
    true,
  );
});

it("returns the archive that is there, and refuses its id for another point", async () => {
  const { store } = await startingPoint();
  const first = await archive(store);
  const before = new Map(store.objects);
  const again = await archive(store);
  expect(again).toEqual({ ...first, alreadyCommitted: true });
  expect(new Map(store.objects)).toEqual(before);
  expect(await failureOf(archive(store, { pointId: "p0" }))).toBe("ArchiveExists");
  expect(await failureOf(archive(store, { archiveId: "x", pointId: "p9" }))).toBe(
    "VmPointNotFound",
  );
  expect(await failureOf(archive(store, { archiveId: "../x" }))).toBe("InvalidRepositoryName");
});

it("lets one process at a time work on the archives of a VM", async () => {
  const { store } = await startingPoint();
  const lock = await store.lock("archives/vm-1/lock", signal);
  expect(await failureOf(archive(store))).toBe("ArchiveBusy");
  expect(namesUnder(store, ARCHIVE)).toEqual([]);
  await lock?.release();
  await archive(store);
  const repository = await openOver(store);
  await store.lock("archives/vm-1/lock", signal);
  const deleting = deleteArchive(repository, { ...name, now: NOW }, signal);
  expect(await failureOf(deleting)).toBe("ArchiveBusy");
  expect(namesUnder(store, ARCHIVE)).toContain(`${ARCHIVE}archive.manifest`);
});

it("protects all of an archive until it expires", async () => {
  const { store } = await startingPoint();
  const immutableUntil = new Date("2026-06-01T00:00:00Z");
  const { archive: written } = await archive(store, { immutableUntil });
  for (const object of namesUnder(store, ARCHIVE)) {
    const until = store.objects.get(object)?.immutableUntil ?? new Date(0);
    expect(until >= immutableUntil).toBe(true);
  }
  expect(new Date(written.immutableUntil ?? 0) >= immutableUntil).toBe(true);
});

it("finds every block that is damaged in the restore point before it is in the archive", async () => {
  const { store } = await startingPoint();
  for (const [object, { bytes }] of store.objects) {
    if (object.startsWith("disks/a/packs/")) bytes[5000]! ^= 1;
  }
  expect(await failureOf(archive(store))).toBe("RepositoryDamaged");
  expect(namesUnder(store, ARCHIVE)).not.toContain(`${ARCHIVE}archive.manifest`);
});

it("says that the restore point is gone when it expires while it is copied", async () => {
  const { store } = await startingPoint();
  store.beforeOperation = (operation, object) => {
    if (operation !== "read" || !object.startsWith("disks/a/packs/")) return;
    for (const each of store.objects.keys()) {
      if (/^(disks|vms)\//.test(each)) store.objects.delete(each);
    }
  };
  expect(await failureOf(archive(store))).toBe("VmPointNotFound");
});

it("refuses every damaged byte of a manifest, a record and a map, and truncations", async () => {
  const { store } = await startingPoint();
  await archive(store);
  await retrieve(store, ["c"]);
  store.finishRetrievals();
  const online = [
    ...namesUnder(store, ARCHIVE).filter((object) => /manifest|disks\/c\/indexes/.test(object)),
    "retrievals/ret-1/retrieval.manifest",
    ...namesUnder(store, "retrievals/ret-1/disks/c/"),
  ];
  expect(online.length).toBeGreaterThan(4);
  const random = seededRandom("flips");
  for (const object of online) {
    const intact = store.objects.get(object);
    if (intact === undefined) throw new Error("no object");
    const isMap = object.includes("/disks/");
    for (let round = 0; round < (isMap ? 1 : 40); round++) {
      const bytes = Uint8Array.from(intact.bytes);
      const place = Buffer.from(random(4)).readUInt32LE() % (isMap ? 80 : bytes.length);
      bytes[isMap ? 64 + (place % 60) : place]! ^= 1 << (round % 8);
      store.objects.set(object, { ...intact, bytes });
      expect(await failureOf(restoreArchived(store, "c"))).toBe("RepositoryDamaged");
      store.objects.set(object, { ...intact, bytes: bytes.subarray(0, place) });
      expect(await failureOf(restoreArchived(store, "c"))).toBe("RepositoryDamaged");
      store.objects.set(object, { ...intact, bytes: random(place + 1) });
      expect(await failureOf(restoreArchived(store, "c"))).toBe("RepositoryDamaged");
    }
    store.objects.set(object, intact);
  }
});

it("refuses manifests that were put in the place of another", async () => {
  const { store } = await startingPoint();
  await archive(store);
  await archive(store, { archiveId: "arc-2" });
  await retrieve(store, ["c"]);
  const manifest = store.objects.get(`${ARCHIVE}archive.manifest`);
  const record = store.objects.get("retrievals/ret-1/retrieval.manifest");
  if (manifest === undefined || record === undefined) throw new Error("no manifest");
  store.objects.set("archives/vm-1/arc-2/archive.manifest", manifest);
  store.objects.set("retrievals/ret-2/retrieval.manifest", record);
  const repository = await openOver(store);
  const other = { ...name, archiveId: "arc-2" };
  expect(await failureOf(readArchive(repository, other, signal))).toBe("RepositoryDamaged");
  expect(await failureOf(readRetrieval(repository, "ret-2", signal))).toBe("RepositoryDamaged");
  const missing = { ...name, archiveId: "arc-3" };
  expect(await failureOf(readArchive(repository, missing, signal))).toBe("ArchiveNotFound");
});

it("stores nothing of the disks or of the configuration in the clear", async () => {
  const { store } = await startingPoint();
  await archive(store);
  for (const object of namesUnder(store, ARCHIVE)) {
    const bytes = Buffer.from(store.objects.get(object)?.bytes ?? []);
    expect(bytes.includes("compressible")).toBe(false);
    expect(bytes.includes("web")).toBe(false);
  }
});

it("copies nothing of an empty VM but its configuration", async () => {
  const store = new MemoryStore();
  const { store: source } = await startingPoint();
  for (const [object, content] of source.objects) store.objects.set(object, content);
  const { archive: written } = await archive(store);
  const empty = written.disks.find(({ image }) => image.diskId === "b");
  expect(empty).toMatchObject({ packCount: 0, storedBytes: 0, image: { root: null } });
  expect(namesUnder(store, `${ARCHIVE}disks/b/`)).toEqual([]);
});
