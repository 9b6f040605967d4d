/**
 * Every single storage operation of two parts and their join fails once, before it happened or after
 * it with the answer lost, and with it the process, or not. Then: the point that was there restores byte for byte, a second
 * run finishes with everything that was sealed, and what is left over goes with the next collections,
 * whether there is a second run or not.
 */
import { describe, expect, it } from "vitest";
import { BlockMap } from "#core/repository/block-map.ts";
import { listDiskPointSequences } from "#core/repository/disk-points.ts";
import { objectNames } from "#core/repository/format/layout.ts";
import { collectGarbage, readDiskPoint, type Repository } from "#core/repository/index.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { DyingStore } from "#core/repository/testing/dying-store.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import {
  SECTOR,
  TestDisk,
  backUp,
  failureOf,
  newRepository,
  restore,
  seededRandom,
  signal,
} from "../fixtures.ts";
import { SINGLE_FAULTS } from "../single-faults.ts";
import { BLOCK, DISK, LEAF, joinParts, partsAt, writePart } from "./parts-world.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const wait = async (): Promise<void> => undefined;

interface Start {
  readonly store: MemoryStore;
  /** Key and descriptor, to be used with any store. */
  readonly opened: Repository;
  readonly disk: TestDisk;
  readonly firstImage: Buffer | undefined;
  readonly clock: { nowMs: number };
}

/** A disk of two leaves and a bit; with a parent whose blocks are partly still good. */
async function start(hasParent: boolean): Promise<Start> {
  const clock = { nowMs: Date.parse("2026-03-01T00:00:00Z") };
  const store = new MemoryStore(() => new Date(clock.nowMs));
  const repository = await newRepository(store);
  const disk = new TestDisk(2 * LEAF + SECTOR);
  disk.write(0, seededRandom("one")(6 * BLOCK));
  disk.write((LEAF + 8 * BLOCK) / SECTOR, seededRandom("two")(6 * BLOCK));
  const firstImage = hasParent ? Buffer.from(disk.bytes) : undefined;
  if (hasParent) {
    await backUp(repository, disk, "p0", disk.full());
    disk.write(8, seededRandom("changed")(3 * BLOCK));
    disk.write((LEAF + 10 * BLOCK) / SECTOR, seededRandom("changed too")(6 * BLOCK));
  }
  return { store, opened: repository, disk, firstImage, clock };
}

async function runAll(store: BlobStore, { opened, disk, clock }: Start, process: string) {
  const repository = { ...opened, store };
  const backup = { repository, disk, pointId: "p1", process };
  const parts = partsAt([0, 1], disk.bytes.length);
  const immutableUntil = new Date(clock.nowMs + 2 * DAY_MS);
  for (const part of parts) await writePart(backup, part, { immutableUntil });
  return joinParts(backup, parts, { immutableUntil, wait });
}

async function requireIntact({ store, opened, disk, firstImage }: Start): Promise<string[]> {
  const repository = { ...opened, store };
  const found: string[] = [];
  for (const sequence of await listDiskPointSequences(repository, DISK, signal)) {
    const { reference, manifest } = await readDiskPoint(repository, DISK, sequence, signal);
    const image = manifest.pointId === "p0" ? firstImage : disk.bytes;
    expect((await restore(repository, reference)).equals(image!)).toBe(true);
    found.push(manifest.pointId);
  }
  return found;
}

/** Collects until nothing is left to collect; answers what lies there that no point needs. */
async function collectAll({ store, opened, clock }: Start): Promise<string[]> {
  const repository = { ...opened, store };
  for (let run = 0; run < 3; run++) {
    clock.nowMs += 10 * DAY_MS;
    const now = () => new Date(clock.nowMs);
    await collectGarbage(repository, { now, random: seededRandom(`collector ${run}`) }, signal);
  }
  const needed = await neededNames(repository);
  const garbage = /^disks\/[^/]+\/(?:packs|indexes|attempts)\//;
  return [...store.objects.keys()].filter((name) => garbage.test(name) && !needed.has(name));
}

async function neededNames(repository: Repository): Promise<Set<string>> {
  const needed = new Set<string>();
  for (const sequence of await listDiskPointSequences(repository, DISK, signal)) {
    const point = await readDiskPoint(repository, DISK, sequence, signal);
    const { root } = await BlockMap.open(repository, point, signal);
    needed.add(objectNames.index(DISK, point.manifest.root?.indexId ?? ""));
    for (const id of root.packs.keys()) needed.add(objectNames.pack(DISK, id));
    for (const id of root.indexes.keys()) needed.add(objectNames.index(DISK, id));
  }
  return needed;
}

function copyOf(start: Start): Start {
  const clock = { ...start.clock };
  const store = new MemoryStore(() => new Date(clock.nowMs));
  for (const [name, object] of start.store.objects) store.objects.set(name, object);
  return { ...start, store, clock };
}

describe.each([{ hasParent: false }, { hasParent: true }])(
  "parent: $hasParent",
  ({ hasParent }) => {
    it.each(SINGLE_FAULTS)("survives $kind each operation", async ({ after, aftermath }) => {
      const prepared = await start(hasParent);
      const before = hasParent ? ["p0"] : [];
      let faults = 0;
      for (;;) {
        const scene = copyOf(prepared);
        const dying = new DyingStore(scene.store, { at: faults, after, aftermath });
        const outcome = await failureOf(runAll(dying, scene, "first process"));
        scene.store.breakLocks();
        const visible = await requireIntact(scene);
        expect([before, [...before, "p1"]]).toContainEqual(visible);
        if (outcome === "no failure") expect(visible).toEqual([...before, "p1"]);
        const abandoned = copyOf(scene);
        await runAll(scene.store, scene, "second process");
        expect(await requireIntact(scene)).toEqual([...before, "p1"]);
        for (const each of [scene, abandoned]) expect(await collectAll(each)).toEqual([]);
        expect(await requireIntact(abandoned)).toEqual(visible);
        if (!dying.hasStruck) break;
        if (aftermath === "dies") expect(outcome).toBe("Dead");
        faults++;
      }
      expect(faults).toBeGreaterThan(30);
    });
  },
);
