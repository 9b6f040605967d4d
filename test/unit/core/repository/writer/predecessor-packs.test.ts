import { expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import type { Repository } from "#core/repository/index.ts";
import { FOOTER_ENTRY_BYTES } from "#core/repository/format/sealed-object.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { TestDisk, backUp, failureOf, newRepository, restore, seededRandom } from "../fixtures.ts";

const BLOCK = 4096;
const LEAF_BYTES = 1024 * BLOCK;
const LIMITS = { maxReadBytes: 16 * 1024, windowBytes: 64 * 1024, packBytes: 64 * 1024 };

/** Three leaves with content all over them. */
function threeLeaves(): TestDisk {
  const disk = new TestDisk(3 * LEAF_BYTES);
  for (const leaf of [0, 1, 2]) {
    disk.write((leaf * LEAF_BYTES) / 512, seededRandom(`leaf ${leaf}`)(LEAF_BYTES / 4));
  }
  return disk;
}

/** A writer that dies when all packs are sealed. */
async function dieAfterPacks(
  { store, repository }: Scene,
  disk: TestDisk,
  process: string,
  pointId = "p1",
): Promise<void> {
  store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.includes("/indexes/"))
      throw new HoldfastError("Dead", "dead");
  };
  const options = { random: seededRandom(process) };
  expect(await failureOf(backUp(repository, disk, pointId, disk.full(), options))).toBe("Dead");
  store.beforeOperation = () => undefined;
}

interface Scene {
  readonly store: MemoryStore;
  readonly repository: Repository;
}

async function newScene(): Promise<Scene> {
  const store = new MemoryStore();
  return { store, repository: await newRepository(store) };
}

const packNames = ({ store }: Scene): string[] =>
  [...store.objects.keys()].filter((name) => name.includes("/packs/"));

async function resume(scene: Scene, disk: TestDisk, keptFooterBytes?: number) {
  let packReads = 0;
  scene.store.beforeOperation = (operation, name) => {
    if (operation === "read" && name.includes("/packs/")) packReads++;
  };
  const limits = keptFooterBytes === undefined ? LIMITS : { ...LIMITS, keptFooterBytes };
  const options = { random: seededRandom("successor"), limits };
  const written = await backUp(scene.repository, disk, "p1", disk.full(), options);
  scene.store.beforeOperation = () => undefined;
  return { written, packReads };
}

it.each([
  { kept: "all footers", keptFooterBytes: undefined, readsPerPack: 3 },
  { kept: "a few", keptFooterBytes: 5 * FOOTER_ENTRY_BYTES, readsPerPack: 6 },
  { kept: "none", keptFooterBytes: 0, readsPerPack: 6 },
])("stores nothing again with $kept in memory", async ({ keptFooterBytes, readsPerPack }) => {
  const scene = await newScene();
  const disk = threeLeaves();
  await dieAfterPacks(scene, disk, "predecessor");
  const sealed = packNames(scene);
  expect(sealed.length).toBeGreaterThan(40);
  const { written, packReads } = await resume(scene, disk, keptFooterBytes);
  expect(written.stats).toMatchObject({ storedBytes: 0, unchangedBytes: (3 * LEAF_BYTES) / 4 });
  expect(packNames(scene)).toEqual(sealed);
  expect((await restore(scene.repository, written.reference)).equals(disk.bytes)).toBe(true);
  // Header, trailer and footer once; then the footer for each leaf that the pack has blocks of.
  expect(packReads).toBeLessThanOrEqual(readsPerPack * sealed.length);
});

it("uses what any of several predecessors sealed of a block", async () => {
  const scene = await newScene();
  const disk = threeLeaves();
  const wanted = Buffer.from(disk.bytes);
  await dieAfterPacks(scene, disk, "same content");
  disk.write(0, seededRandom("other content")(LEAF_BYTES / 4));
  await dieAfterPacks(scene, disk, "other content", "p0");
  disk.write(0, wanted.subarray(0, LEAF_BYTES / 4));
  const sealed = packNames(scene);
  const { written } = await resume(scene, disk);
  expect(written.stats.storedBytes).toBe(0);
  expect(packNames(scene)).toEqual(sealed);
  expect((await restore(scene.repository, written.reference)).equals(wanted)).toBe(true);
});

it("stores again what is lost between looking at the packs and needing them", async () => {
  const scene = await newScene();
  const disk = threeLeaves();
  await dieAfterPacks(scene, disk, "predecessor");
  const lost = packNames(scene)[3] ?? "";
  const reads = new Map<string, number>();
  scene.store.beforeOperation = (operation, name) => {
    if (operation !== "read") return;
    reads.set(name, (reads.get(name) ?? 0) + 1);
    if (name === lost && reads.get(name) === 4) scene.store.objects.delete(lost);
  };
  const limits = { ...LIMITS, keptFooterBytes: 0 };
  const options = { random: seededRandom("successor"), limits };
  const written = await backUp(scene.repository, disk, "p1", disk.full(), options);
  scene.store.beforeOperation = () => undefined;
  expect(scene.store.objects.has(lost)).toBe(false);
  expect(written.stats.storedBytes).toBeGreaterThan(0);
  expect((await restore(scene.repository, written.reference)).equals(disk.bytes)).toBe(true);
});

it("fails, instead of storing again, when the store is busy while a footer is needed", async () => {
  const scene = await newScene();
  const disk = threeLeaves();
  await dieAfterPacks(scene, disk, "predecessor");
  let packReads = 0;
  const lookedAt = 3 * packNames(scene).length;
  scene.store.beforeOperation = (operation, name) => {
    if (operation === "read" && name.includes("/packs/") && ++packReads > lookedAt)
      throw new HoldfastError("ServerBusy", "busy", { retry: "backoff" });
  };
  const limits = { ...LIMITS, keptFooterBytes: 0 };
  const options = { random: seededRandom("successor"), limits };
  const outcome = failureOf(backUp(scene.repository, disk, "p1", disk.full(), options));
  expect(await outcome).toBe("ServerBusy");
});
