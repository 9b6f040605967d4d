/**
 * Every byte of every object of a small repository is damaged, and every object is cut at every
 * length: a restore returns the right bytes or refuses, and the lowest level of the health check that
 * can see the damage names the object.
 */
import { beforeAll, expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import {
  createRepository,
  openRepository,
  readVmPoint,
  type CheckRepositoryOptions,
  type Repository,
} from "#core/repository/index.ts";
import { recordQuarantine } from "#core/repository/quarantine.ts";
import { encodeRecoveryKey } from "#core/repository/format/recovery-key.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { SECTOR, TestDisk, backUp, restore, seededRandom, signal } from "../fixtures.ts";
import { check, commitVm } from "./check-fixture.ts";

type Level = CheckRepositoryOptions["level"];

/** Where a restore reads nothing of the damage, this share of the cases is restored all the same. */
const RESTORED_EACH = 16;

/** Opening by a recovery key takes no time. */
const secret = {
  kind: "recovery-key",
  recoveryKey: encodeRecoveryKey(seededRandom("recovery")(32)),
} as const;

let store: MemoryStore;
let repository: Repository;
let image: Buffer;
/** The index that holds the root. */
let rootName: string;

beforeAll(async () => {
  store = new MemoryStore();
  const options = { encryption: secret, random: seededRandom("tiny"), now: new Date(0) };
  repository = await createRepository(store, options, signal);
  // 2 blocks and a short one: zstd, zero, raw.
  const disk = new TestDisk(2 * 4096 + SECTOR);
  disk.write(0, Buffer.alloc(4096, "compressible "));
  disk.write(16, seededRandom("raw")(SECTOR));
  const written = await backUp(repository, disk, "p1", disk.full());
  image = disk.bytes;
  const { root } = written.manifest;
  rootName = `disks/disk-1/indexes/${root?.indexId}.index`;
  await commitVm(repository, "p1", [written]);
  const record = { diskId: "disk-1", foundAt: new Date(0), foundBy: "j", level: "complete" };
  const objects = [{ kind: "pack", id: "ee".repeat(16), frames: "all" }] as const;
  await recordQuarantine(repository, { ...record, objects }, seededRandom("q"), signal);
  expect((await check(repository)).findings).toEqual([]);
});

/** `refused`, or the right bytes; anything else than a clear refusal is a failure. */
async function restoreAll(name: string): Promise<"refused" | "whole"> {
  try {
    const isOpenedAgain = name === "repo.json" || name.startsWith("keys/");
    const opened = isOpenedAgain ? await openRepository(store, secret, signal) : repository;
    const { disks } = await readVmPoint(opened, "vm-1", "p1", signal);
    const [disk] = disks;
    if (disk === undefined) throw new Error("a point without a disk");
    const restored = await restore(opened, disk.diskPoint);
    if (!restored.equals(image)) throw new Error("wrong bytes");
    return "whole";
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return "refused";
  }
}

async function withDamage(name: string, bytes: Uint8Array, look: () => Promise<void>) {
  const object = store.objects.get(name);
  if (object === undefined) throw new Error(`no object ${name}`);
  store.objects.set(name, { ...object, bytes });
  try {
    await look();
  } finally {
    store.objects.set(name, object);
  }
}

/** Objects that a check opens; README.txt is for people. */
function objectsToDamage(): [string, Uint8Array][] {
  return [...store.objects]
    .filter(([name]) => name !== "README.txt")
    .map(([name, { bytes }]) => [name, bytes]);
}

/** Frames of a container lie between header and footer: 40 bytes an entry, tag, trailer of 32. */
function isInFrames(bytes: Uint8Array, position: number): boolean {
  const frameCount = Buffer.from(bytes).readUInt32LE(bytes.length - 20);
  return position >= 64 && position < bytes.length - 32 - 16 - 40 * frameCount;
}

function lowestLevelOf(name: string, bytes: Uint8Array, position: number): Level {
  if (/^vms|points/.test(name) || name === "repo.json") return "presence";
  if (name.endsWith(".pack") && isInFrames(bytes, position)) return "complete";
  const isRoot = name.endsWith(".index") && name === rootName && isInFrames(bytes, position);
  return isRoot ? "presence" : "metadata";
}

function mustRefuse(name: string, bytes: Uint8Array, position: number): boolean {
  if (/attempts|^quarantine/.test(name)) return false;
  return /pack|index/.test(name) ? isInFrames(bytes, position) : true;
}

async function namesAt(level: Level): Promise<string[]> {
  return (await check(repository, { level })).findings.map(({ object }) => object);
}

it("detects and names a flipped bit in every byte of every object", async () => {
  const dice = seededRandom("bits");
  let flipCount = 0;
  for (const [name, bytes] of objectsToDamage()) {
    for (let position = 0; position < bytes.length; position++) {
      const edited = Uint8Array.from(bytes);
      edited[position] = (edited[position] ?? 0) ^ (1 << ((dice(1)[0] ?? 0) % 8));
      const place = `${name} byte ${position}`;
      await withDamage(name, edited, async () => {
        flipCount++;
        if (mustRefuse(name, bytes, position)) {
          expect(await restoreAll(name), place).toBe("refused");
        } else if (position % RESTORED_EACH === 0) {
          expect(await restoreAll(name), place).toBe("whole");
        }
        // A slot shows its damage to who has its secret: opening refuses, as asserted above.
        if (name.startsWith("keys/")) return;
        const level = lowestLevelOf(name, bytes, position);
        expect(await namesAt(level), `${place} at ${level}`).toContain(name);
      });
    }
  }
  expect(flipCount).toBeGreaterThan(2500);
});

it("flips that only a complete check can see are not reported by lower levels", async () => {
  const packs = objectsToDamage().filter(([name]) => name.endsWith(".pack"));
  for (const [name, bytes] of packs) {
    const edited = Uint8Array.from(bytes);
    edited[70] = (edited[70] ?? 0) ^ 1;
    await withDamage(name, edited, async () => {
      expect(await namesAt("metadata")).toEqual([]);
      expect(await namesAt("complete")).toEqual([name]);
    });
  }
});

it("detects and names every truncation of every object", async () => {
  for (const [name, bytes] of objectsToDamage()) {
    const isContainer = /pack|index/.test(name);
    // The newline at the end of a slot carries nothing.
    const endBytes = name.startsWith("keys/") ? bytes.length - 1 : bytes.length;
    for (let keptBytes = 0; keptBytes < endBytes; keptBytes++) {
      const place = `${name} cut to ${keptBytes}`;
      await withDamage(name, bytes.slice(0, keptBytes), async () => {
        // The first bytes of a container are its header: cut there, it has lost its frames.
        const isNeeded = mustRefuse(name, bytes, isContainer ? Math.max(64, keptBytes) : 0);
        if (isNeeded || keptBytes % RESTORED_EACH === 0) {
          expect(await restoreAll(name), place).toBe(isNeeded ? "refused" : "whole");
        }
        if (name.startsWith("keys/")) return;
        // Sizes stand in the tables of roots; a root itself, and records, are read.
        const level =
          /attempts|^quarantine/.test(name) || name === rootName ? "metadata" : "presence";
        expect(await namesAt(level), place).toContain(name);
      });
    }
  }
});

it("detects and names the loss of every object", async () => {
  for (const [name] of objectsToDamage()) {
    const object = store.objects.get(name);
    if (object === undefined || /attempts|^quarantine/.test(name)) continue;
    store.objects.delete(name);
    expect(await restoreAll(name), name).toBe("refused");
    // A VM point that is gone leaves no trace but in the control plane.
    const isTold = !name.startsWith("keys/") && !name.startsWith("vms/");
    if (isTold) expect(await namesAt("presence"), name).toContain(name);
    store.objects.set(name, object);
  }
  expect((await check(repository)).findings).toEqual([]);
});
