import { expect, it } from "vitest";
import {
  addKeySlot,
  commitVmPoint,
  createRepository,
  listKeySlots,
  openRepository,
  readDiskPoint,
  readVmPoint,
  rotateRepositoryKey,
  type Repository,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import {
  TestDisk,
  backUp,
  failureOf,
  newRepository,
  password,
  reopen,
  restore,
  seededRandom,
  signal,
} from "./fixtures.ts";

const next = { kind: "password", password: "battery staple" } as const;
const later = { kind: "password", password: "third time" } as const;
const BLOCK = 8;

function options(seed: string, secrets = [next] as const) {
  return { random: seededRandom(seed), scryptLogN: 10, now: new Date(0), secrets };
}

function diskWith(seed: string, blockCount = 40): TestDisk {
  const disk = new TestDisk(4096 * 64);
  for (let block = 0; block < blockCount; block++) {
    disk.write(block * BLOCK, seededRandom(`${seed}/${block}`)(4096));
  }
  return disk;
}

function change(disk: TestDisk, seed: string): void {
  for (const block of [3, 50]) disk.write(block * BLOCK, seededRandom(`${seed}/${block}`)(4096));
}

async function dataKeyIds(repository: Repository, sequence: number): Promise<string[]> {
  const { manifest } = await readDiskPoint(repository, "disk-1", sequence, signal);
  return manifest.dataKeys.map(({ keyId }) => keyId);
}

/** Data key ids in the headers of the packs that a point wrote. */
function packKeyIds(store: MemoryStore, sequence: number): string[] {
  const folder = `disks/disk-1/packs/${sequence.toString(16).padStart(8, "0")}/`;
  return [...store.objects]
    .filter(([name]) => name.startsWith(folder))
    .map(([, { bytes }]) => Buffer.from(bytes).toString("hex", 24, 40));
}

it("seals what is new by another data key, and reads what is old by the former", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = diskWith("first");
  const first = await backUp(repository, disk, "p1", disk.full());
  const before = Buffer.from(disk.bytes);
  disk.takeChanges();
  change(disk, "second");
  const ranges = disk.incremental(first.reference, disk.takeChanges());
  const second = await backUp(repository, disk, "p2", ranges, { rotateDataKey: true });
  const [oldKey, newKey] = await dataKeyIds(repository, 2);
  expect(await dataKeyIds(repository, 1)).toEqual([oldKey]);
  expect(newKey).toMatch(/^[0-9a-f]{32}$/);
  expect(newKey).not.toBe(oldKey);
  expect(new Set(packKeyIds(store, 1))).toEqual(new Set([oldKey]));
  expect(new Set(packKeyIds(store, 2))).toEqual(new Set([newKey]));
  expect(second.kind).toBe("incremental");
  const bytes = Buffer.from(disk.bytes);
  change(disk, "third");
  // Without the option the newest key goes on.
  const more = disk.incremental(second.reference, disk.takeChanges());
  const third = await backUp(repository, disk, "p3", more);
  expect(await dataKeyIds(repository, 3)).toEqual([oldKey, newKey]);
  expect(new Set(packKeyIds(store, 3))).toEqual(new Set([newKey]));
  const opened = await reopen(store);
  expect(await restore(opened, first.reference)).toEqual(before);
  expect(await restore(opened, second.reference)).toEqual(bytes);
  expect(await restore(opened, third.reference)).toEqual(disk.bytes);
});

it("a full with another data key stores everything again by that key alone", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = diskWith("full");
  await backUp(repository, disk, "p1", disk.full());
  const second = await backUp(repository, disk, "p2", disk.full(), { rotateDataKey: true });
  for (const name of store.objects.keys()) {
    if (name.startsWith("disks/disk-1/packs/00000001/")) store.objects.delete(name);
  }
  expect(await restore(await reopen(store), second.reference)).toEqual(disk.bytes);
});

it("a successor of a dead rotation goes on with the key that it recorded", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = diskWith("dead");
  const first = await backUp(repository, disk, "p1", disk.full());
  disk.takeChanges();
  change(disk, "changed");
  const ranges = disk.incremental(first.reference, disk.takeChanges());
  store.beforeOperation = (operation, name) => {
    if (operation === "create" && name.endsWith("/points/0000000002.manifest")) {
      throw new Error("power cut");
    }
  };
  const rotating = { rotateDataKey: true };
  await expect(backUp(repository, disk, "p2", ranges, rotating)).rejects.toThrow("power cut");
  store.beforeOperation = () => undefined;
  const [recorded] = packKeyIds(store, 2);
  const again = { ...rotating, random: seededRandom("successor") };
  const second = await backUp(repository, disk, "p2", ranges, again);
  expect((await dataKeyIds(repository, 2))[1]).toBe(recorded);
  expect(await restore(await reopen(store), second.reference)).toEqual(disk.bytes);
});

it("rotates the repository key: old points stay readable, new ones need the new key", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const disk = diskWith("rotated");
  const first = await backUp(repository, disk, "p1", disk.full());
  const point = {
    vmId: "vm",
    pointId: "p1",
    takenAt: new Date(0),
    vm: { name: "x" },
    disks: [{ lun: "os" as const, sizeBytes: disk.bytes.length, diskPoint: first.reference }],
    random: seededRandom("point"),
    now: () => new Date(0),
  };
  await commitVmPoint(repository, point, signal);
  const before = Buffer.from(disk.bytes);
  const objects = new Map(store.objects);

  const rotated = await rotateRepositoryKey(repository, options("rotate"), signal);
  expect(rotated.remainingSlots).toEqual([]);
  expect(await failureOf(reopen(store))).toBe("WrongRepositoryPassword");
  const opened = await openRepository(store, next, signal);
  expect(opened.key.repositoryKeyId).toBe(rotated.repository.key.repositoryKeyId);
  expect(Uint8Array.from(opened.key.repositoryKey)).toEqual(rotated.repository.key.repositoryKey);
  expect(opened.key.repositoryKeyId).not.toBe(repository.key.repositoryKeyId);
  // Only slots went; no other object was touched.
  for (const [name, { bytes }] of objects) {
    if (!name.startsWith("keys/")) expect(store.objects.get(name)?.bytes).toEqual(bytes);
  }
  disk.takeChanges();
  change(disk, "after");
  const ranges = disk.incremental(first.reference, disk.takeChanges());
  const second = await backUp(opened, disk, "p2", ranges);
  const fresh = await openRepository(store, next, signal);
  expect(await restore(fresh, first.reference)).toEqual(before);
  expect(await restore(fresh, second.reference)).toEqual(disk.bytes);
  expect((await readVmPoint(fresh, "vm", "p1", signal)).vm).toEqual({ name: "x" });
  // Who kept the former key reads the former points, and nothing newer.
  expect(await restore(repository, first.reference)).toEqual(before);
  expect(await failureOf(readDiskPoint(repository, "disk-1", 2, signal))).toBe("RepositoryDamaged");
});

it("rotates again and again, and each former key goes on opening its points", async () => {
  const store = new MemoryStore();
  let repository = await newRepository(store);
  const disk = diskWith("again");
  const first = await backUp(repository, disk, "p1", disk.full());
  ({ repository } = await rotateRepositoryKey(repository, options("one"), signal));
  const second = await backUp(repository, disk, "p2", disk.full());
  const opened = await openRepository(store, next, signal);
  await rotateRepositoryKey(opened, { ...options("two"), secrets: [later, password] }, signal);
  for (const secret of [later, password]) {
    const fresh = await openRepository(store, secret, signal);
    expect(fresh.key.former).toHaveLength(2);
    expect(await listKeySlots(fresh, signal)).toHaveLength(2);
    expect(await restore(fresh, first.reference)).toEqual(disk.bytes);
    expect(await restore(fresh, second.reference)).toEqual(disk.bytes);
  }
  expect(await failureOf(openRepository(store, next, signal))).toBe("WrongRepositoryPassword");
});

it("refuses a secret whose immutable slot opens a former key only", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  const immutableUntil = new Date(1000);
  await addKeySlot(repository, later, { ...options("lock"), immutableUntil }, signal);
  const rotated = await rotateRepositoryKey(repository, options("rotate"), signal);
  expect(rotated.remainingSlots).toHaveLength(1);
  expect(await failureOf(openRepository(store, later, signal))).toBe("RepositoryKeyRotated");
  expect(await failureOf(openRepository(store, next, signal))).toBe("no failure");
});

it("does not change keys through a handle that is older than a rotation", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  await rotateRepositoryKey(repository, options("rotate"), signal);
  expect(await failureOf(rotateRepositoryKey(repository, options("fork"), signal))).toBe(
    "RepositoryKeyRotated",
  );
  expect(await failureOf(addKeySlot(repository, later, options("late"), signal))).toBe(
    "RepositoryKeyRotated",
  );
});

it("a rotation that dies at any operation leaves the old or the new key, whole", async () => {
  for (let survived = 0; ; survived++) {
    const store = new MemoryStore();
    const repository = await newRepository(store);
    const disk = diskWith("crash", 4);
    const first = await backUp(repository, disk, "p1", disk.full());
    let left = survived;
    store.beforeOperation = (operation) => {
      if (operation === "create" || operation === "delete") {
        if (left-- === 0) throw new Error("power cut");
      }
    };
    const outcome = await failureOf(rotateRepositoryKey(repository, options("crash"), signal));
    store.beforeOperation = () => undefined;
    store.breakLocks();
    const old = await reopen(store).catch(() => undefined);
    const opened = old ?? (await openRepository(store, next, signal));
    expect(await restore(opened, first.reference)).toEqual(disk.bytes);
    const again = await rotateRepositoryKey(
      opened,
      { ...options("more"), secrets: [later] },
      signal,
    );
    expect(await restore(again.repository, first.reference)).toEqual(disk.bytes);
    expect(await failureOf(openRepository(store, later, signal))).toBe("no failure");
    if (outcome === "no failure") {
      // A slot, the rewrap object, the former slot.
      expect(survived).toBe(3);
      break;
    }
  }
});

it("notices a rewrap object that was edited or comes from elsewhere", async () => {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  await rotateRepositoryKey(repository, options("rotate"), signal);
  const name = [...store.objects.keys()].find((each) => each.endsWith("/rewrap.manifest"))!;
  const object = store.objects.get(name)!;
  for (let at = 0; at < object.bytes.length; at += 7) {
    const bytes = Uint8Array.from(object.bytes);
    bytes[at]! ^= 1;
    store.objects.set(name, { ...object, bytes });
    expect(await failureOf(openRepository(store, next, signal)), `byte ${at}`).toBe(
      "RepositoryDamaged",
    );
  }
  store.objects.set(name, { ...object, bytes: new Uint8Array(2 * 1024 * 1024) });
  expect(await failureOf(openRepository(store, next, signal))).toBe("RepositoryDamaged");
});

it("has nothing to rotate where nothing is encrypted", async () => {
  const encryption = { kind: "none" } as const;
  const create = { encryption, random: seededRandom("open"), now: new Date(0) };
  const repository = await createRepository(new MemoryStore(), create, signal);
  expect(await failureOf(rotateRepositoryKey(repository, options("x"), signal))).toBe(
    "RepositoryNotEncrypted",
  );
});
