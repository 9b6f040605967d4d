import { expect, it } from "vitest";
import { deleteArchive } from "#core/repository/index.ts";
import {
  NOW,
  archive,
  namesUnder,
  openOver,
  retrieve,
  startingPoint,
} from "../archive/archive-fixture.ts";
import { signal } from "../fixtures.ts";
import { check, edit, flip, nameOf, summaryOf } from "./check-fixture.ts";

const FOLDER = "archives/vm-1/arc-1";
const LEVELS = ["presence", "metadata", "sample", "complete"] as const;

async function archivedPoint(archiveTier = true) {
  const { store } = await startingPoint();
  store.capabilities = { immutability: true, archiveTier };
  await archive(store);
  return { store, repository: await openOver(store) };
}

async function findingsOf(scene: Awaited<ReturnType<typeof archivedPoint>>, level = "complete") {
  const asked = LEVELS.find((each) => each === level) ?? "complete";
  return (await check(scene.repository, { level: asked })).findings;
}

const ofArchive = { affectedPoints: [], affectedArchives: [{ vmId: "vm-1", archiveId: "arc-1" }] };

it.each(LEVELS)("finds nothing in a sound archive and its retrieval at level %s", async (level) => {
  const scene = await archivedPoint();
  await retrieve(scene.store, ["a", "c"]);
  expect(await findingsOf(scene, level)).toEqual([]);
  scene.store.finishRetrievals();
  const report = await check(scene.repository, { level });
  expect(report).toMatchObject({ findings: [], checkedPoints: 2 });
});

it("reads no pack that lies in the archive tier", async () => {
  const scene = await archivedPoint();
  const reads: string[] = [];
  scene.store.beforeOperation = (operation, name) =>
    void (operation === "read" && reads.push(name));
  expect(await findingsOf(scene)).toEqual([]);
  expect(reads.filter((name) => name.startsWith(`${FOLDER}/`) && name.endsWith(".pack"))).toEqual(
    [],
  );
  expect(reads.some((name) => name.startsWith(`${FOLDER}/`) && name.endsWith(".index"))).toBe(true);
});

it("names the archive that lost a pack or an index, or has one of another size", async () => {
  const scene = await archivedPoint();
  const { store } = scene;
  for (const name of namesUnder(store, `${FOLDER}/disks/`)) {
    const object = store.objects.get(name);
    if (object === undefined) throw new Error(name);
    store.objects.delete(name);
    const missing = { kind: "missing", object: name, ...ofArchive };
    expect(await findingsOf(scene, "presence"), name).toMatchObject([missing]);
    store.objects.set(name, { ...object, bytes: object.bytes.slice(0, -1) });
    if (name.endsWith(".pack")) {
      const cut = { kind: "wrong-size", object: name, ...ofArchive };
      expect(await findingsOf(scene, "presence"), name).toMatchObject([cut]);
    }
    store.objects.set(name, object);
  }
});

it("names an archive whose manifest or map is damaged, and not the point that was copied", async () => {
  const scene = await archivedPoint();
  const manifest = `${FOLDER}/archive.manifest`;
  flip(scene.store, manifest, 100);
  const unreadable = { kind: "unreadable-metadata", ...ofArchive };
  expect(await findingsOf(scene, "presence")).toMatchObject([{ ...unreadable, object: manifest }]);
  flip(scene.store, manifest, 100);
  for (const [position] of namesUnder(scene.store, `${FOLDER}/disks/a/indexes/`).entries()) {
    const index = nameOf(scene.store, /arc-1\/disks\/a\/indexes/, position);
    flip(scene.store, index, 70);
    const [finding] = await findingsOf(scene, "metadata");
    expect(finding).toMatchObject({ ...unreadable, object: index, diskId: "a" });
    flip(scene.store, index, 70);
  }
});

it("verifies the blocks of an archive in a store without tiers", async () => {
  const scene = await archivedPoint(false);
  const pack = nameOf(scene.store, /arc-1\/disks\/a\/packs/);
  flip(scene.store, pack, 64);
  const bad = { kind: "unreadable-block", object: pack, diskId: "a", ...ofArchive };
  expect(await findingsOf(scene)).toMatchObject([bad]);
  expect(await findingsOf(scene, "metadata")).toEqual([]);
});

it("names a retrieval that lost a copy, or whose copy failed, is cut or damaged", async () => {
  const scene = await archivedPoint();
  const { store } = scene;
  await retrieve(store, ["a"]);
  store.finishRetrievals();
  const copy = nameOf(store, /^retrievals\/ret-1\/disks\/a\/packs/);
  const object = store.objects.get(copy);
  if (object === undefined) throw new Error(copy);
  const look = async (level: string) => summaryOf({ findings: await findingsOf(scene, level) });
  store.objects.delete(copy);
  expect(await look("presence")).toEqual([`missing ${copy} []`]);
  store.objects.set(copy, { ...object, tier: "archive" });
  expect(await look("presence")).toEqual([`missing ${copy} []`]);
  store.objects.set(copy, { ...object, bytes: object.bytes.slice(1) });
  expect(await look("presence")).toEqual([`wrong-size ${copy} []`]);
  store.objects.set(copy, object);
  flip(store, copy, 64);
  expect((await look("complete"))[0]).toMatch(`unreadable-block ${copy}`);
  const [finding] = await findingsOf(scene);
  expect(finding?.message).toContain("Start the retrieval ret-1 again");
  store.objects.set(copy, object);
  edit(store, "retrievals/ret-1/retrieval.manifest", (bytes) => bytes.subarray(1));
  expect(await look("presence")).toEqual([
    "unreadable-metadata retrievals/ret-1/retrieval.manifest []",
  ]);
});

it("does not take a deletion for damage, and looks at the VMs that it was asked for", async () => {
  const scene = await archivedPoint();
  const { store, repository } = scene;
  await retrieve(store, ["a"]);
  store.objects.delete(nameOf(store, /arc-1\/disks\/a\/packs/));
  const ofOther = await check(repository, { level: "presence", vmIds: ["vm-2"] });
  expect(ofOther.findings).toEqual([]);
  const ofOne = await check(repository, { level: "presence", vmIds: ["vm-1"] });
  expect(ofOne.findings).toHaveLength(1);
  let isDone = false;
  store.beforeOperation = (operation, name) => {
    if (isDone || operation !== "read" || !name.startsWith(`${FOLDER}/disks/`)) return;
    isDone = true;
    store.objects.delete(`${FOLDER}/archive.manifest`);
  };
  expect(await findingsOf(scene)).toEqual([]);
  store.beforeOperation = () => undefined;
  await deleteArchive(repository, { vmId: "vm-1", archiveId: "arc-1", now: NOW }, signal);
  // Its retrieval goes with the next maintenance.
  expect(await findingsOf(scene)).toEqual([]);
});

it("knows every name in an archive and a retrieval, and the lock files of a folder", async () => {
  const scene = await archivedPoint();
  const { store } = scene;
  const foreign = [`${FOLDER}/notes.txt`, "retrievals/ret-1/other", `${FOLDER}/disks/a/lock`];
  const known = ["disks/a/lock.12.held", "keys/lock.1.held", "archives/vm-1/lock.3.held"];
  for (const name of [...foreign, ...known]) await store.create(name, new Uint8Array(), signal);
  const objects = (await findingsOf(scene, "presence")).map(({ object }) => object);
  expect(objects.sort()).toEqual(foreign.sort());
});
