/**
 * Two writers of one disk, retention, garbage collection and a reader at once on a real folder, with its
 * files as locks. `concurrency.test.ts` has each pair in seeded orders, in memory.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { codeOf, isRetryable } from "#core/lib/errors.ts";
import {
  collectGarbage,
  createRepository,
  expireVmPoints,
  listVmPoints,
  readVmPoint,
  type Repository,
} from "#core/repository/index.ts";
import { encodeRecoveryKey } from "#core/repository/format/recovery-key.ts";
import { commitVm, check } from "../check/check-fixture.ts";
import { TestDisk, backUp, restore, seededRandom, signal } from "../fixtures.ts";

const BLOCK = 4096;
const POINTS_OF_EACH = 5;
const POINTS_KEPT = 3;
const ENDS_OF_A_READER = ["VmPointNotFound", "DiskPointNotFound", "RepositoryDamaged"];

let folder: string;
let repository: Repository;
const images = new Map<string, Buffer>();
const written = new AbortController();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "holdfast-unit-"));
  const recoveryKey = encodeRecoveryKey(seededRandom("recovery")(32));
  const encryption = { kind: "recovery-key", recoveryKey } as const;
  const options = { encryption, random: seededRandom("folder"), now: new Date(0) };
  repository = await createRepository(new FolderStore(folder), options, signal);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function pointIds(): Promise<string[]> {
  const found: string[] = [];
  for await (const { pointId } of listVmPoints(repository, "vm-1", signal)) found.push(pointId);
  return found.sort();
}

/** A writer that finds the disk locked tries again, as the control plane does. */
async function writer(name: string): Promise<void> {
  for (let number = 1; number <= POINTS_OF_EACH; number++) {
    const pointId = `${number}-${name}`;
    const disk = new TestDisk(1100 * BLOCK);
    disk.write(0, seededRandom("shared")(4 * BLOCK));
    disk.write(8 * 10, seededRandom(pointId)(6 * BLOCK));
    disk.write(8 * 1050, seededRandom(`${pointId} in another leaf`)(2 * BLOCK));
    images.set(pointId, disk.bytes);
    for (;;) {
      try {
        const wait = () => sleep(5);
        const point = await backUp(repository, disk, pointId, disk.full(), { wait });
        await commitVm(repository, pointId, [point]);
        break;
      } catch (error) {
        if (!isRetryable(error)) throw error;
      }
    }
  }
}

/** What is long unfinished may go at once here: only the locks keep it from what a writer needs. */
async function maintainer(): Promise<number> {
  let deletedObjects = 0;
  const random = seededRandom("maintenance");
  const now = () => new Date(Date.now() + 1000);
  do {
    const old = (await pointIds()).slice(0, -POINTS_KEPT);
    const points = old.map((pointId) => ({ vmId: "vm-1", pointId }));
    await expireVmPoints(repository, { points, activeDiskIds: ["disk-1"], now }, signal);
    const margins = { sessionSeconds: 0, markedSeconds: 0 };
    const collected = await collectGarbage(repository, { now, random, margins }, signal);
    deletedObjects += collected.deletedObjects;
    await sleep(1);
  } while (!written.signal.aborted);
  return deletedObjects;
}

async function readPoint(pointId: string): Promise<Buffer> {
  const { disks } = await readVmPoint(repository, "vm-1", pointId, signal);
  const [disk] = disks;
  if (disk === undefined) throw new Error("a point without a disk");
  return restore(repository, disk.diskPoint);
}

async function reader(): Promise<number> {
  let readCount = 0;
  do {
    for (const pointId of await pointIds()) {
      try {
        expect((await readPoint(pointId)).equals(images.get(pointId) ?? Buffer.alloc(0))).toBe(
          true,
        );
        readCount++;
      } catch (error) {
        if (!ENDS_OF_A_READER.includes(codeOf(error))) throw error;
      }
    }
    await sleep(1);
  } while (!written.signal.aborted);
  return readCount;
}

it("loses nothing and comes to an end", async () => {
  const writing = Promise.all([writer("a"), writer("b")]).finally(() => written.abort());
  const [readCount, deletedObjects] = await Promise.all([reader(), maintainer(), writing]);
  expect(readCount).toBeGreaterThan(0);
  expect(deletedObjects + (await maintainer())).toBeGreaterThan(0);
  const left = await pointIds();
  expect(left.length).toBeGreaterThanOrEqual(POINTS_KEPT);
  for (const pointId of left) {
    expect((await readPoint(pointId)).equals(images.get(pointId) ?? Buffer.alloc(0))).toBe(true);
  }
  expect((await check(repository)).findings).toEqual([]);
});
