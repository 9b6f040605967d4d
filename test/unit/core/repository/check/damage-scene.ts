/**
 * Damages every byte (all its bits where no seal covers it) of every object of a small repository, one after the other, cuts every object
 * at every length, and takes every object away. A restore returns the right bytes or refuses, and the
 * lowest level of the health check that can see the damage names the object.
 */
import { expect } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import {
  openRepository,
  type CheckRepositoryOptions,
  type DiskPointReader,
  type Repository,
  type RepositorySecret,
} from "#core/repository/index.ts";
import type { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { seededRandom, signal } from "../fixtures.ts";
import { check } from "./check-fixture.ts";

type Level = CheckRepositoryOptions["level"];

/** Where a restore reads nothing of the damage, this share of the cases is restored all the same. */
const RESTORED_EACH = 16;
/** No restore reads these. */
const IS_RECORD = /\/attempts\/|\/garbage\/|^quarantine\//;
const IS_CONTAINER = /\.(?:pack|index)$/;

export interface DamageScene {
  readonly store: MemoryStore;
  readonly repository: Repository;
  readonly secret: RepositorySecret;
  /** Indexes that hold a root: no table has their size. */
  readonly rootNames: ReadonlySet<string>;
  /** Everything that the object serves; throws wrong bytes as an `Error`. */
  restore(repository: Repository, name: string): Promise<void>;
  /** The VMs whose check looks at the object; a whole check takes longer and finds the same. */
  vmIdsOf(name: string): readonly string[];
}

/** What the disk holds, zeros left out: `<offset>:<bytes>` for each extent. */
export async function contentOf(reader: DiskPointReader): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const extent of reader.extents(signal)) {
    parts.push(Buffer.from(`${extent.offsetBytes}:`), await reader.readBlocks(extent, signal));
  }
  return Buffer.concat(parts);
}

/** `README.txt` is for people: no program reads it, and no check verifies it. */
function objectsOf({ store }: DamageScene): [string, Uint8Array][] {
  return [...store.objects]
    .filter(([name]) => name !== "README.txt")
    .map(([name, { bytes }]) => [name, bytes]);
}

async function outcomeOf(scene: DamageScene, name: string): Promise<"refused" | "whole"> {
  const { store, repository, secret } = scene;
  try {
    const isOpenedAgain = name === "repo.json" || name.startsWith("keys/");
    await scene.restore(
      isOpenedAgain ? await openRepository(store, secret, signal) : repository,
      name,
    );
    return "whole";
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return "refused";
  }
}

async function isNamed(scene: DamageScene, name: string, level: Level): Promise<boolean> {
  const vmIds = scene.vmIdsOf(name);
  const { findings } = await check(scene.repository, { level, vmIds });
  return findings.some(({ object }) => object === name);
}

async function withObject(
  { store }: DamageScene,
  name: string,
  bytes: Uint8Array | undefined,
  look: () => Promise<void>,
): Promise<void> {
  const object = store.objects.get(name);
  if (object === undefined) throw new Error(`no object ${name}`);
  if (bytes === undefined) store.objects.delete(name);
  else store.objects.set(name, { ...object, bytes });
  try {
    await look();
  } finally {
    store.objects.set(name, object);
  }
}

/** Frames of a container lie between header and footer: 40 bytes an entry, tag, trailer of 32. */
function isInFrames(bytes: Uint8Array, position: number): boolean {
  const frameCount = Buffer.from(bytes).readUInt32LE(bytes.length - 20);
  return position >= 64 && position < bytes.length - 32 - 16 - 40 * frameCount;
}

function mustRefuse(name: string, bytes: Uint8Array, position: number): boolean {
  if (IS_RECORD.test(name)) return false;
  return IS_CONTAINER.test(name) ? isInFrames(bytes, position) : true;
}

function lowestLevelOf(scene: DamageScene, name: string, bytes: Uint8Array, at: number): Level {
  if (name.startsWith("keys/") || IS_RECORD.test(name)) return "metadata";
  if (!IS_CONTAINER.test(name)) return "presence";
  if (!isInFrames(bytes, at)) return "metadata";
  if (name.endsWith(".pack")) return "complete";
  return scene.rootNames.has(name) ? "presence" : "metadata";
}

export async function expectSound(scene: DamageScene): Promise<void> {
  expect((await check(scene.repository)).findings).toEqual([]);
  for (const [name] of objectsOf(scene)) expect(await outcomeOf(scene, name), name).toBe("whole");
}

/** Bytes that lie under no seal: JSON, and the first and last bytes of binary objects. */
function isInTheClear(name: string, bytes: Uint8Array, position: number): boolean {
  if (name.endsWith(".json") || position < 64) return true;
  return IS_CONTAINER.test(name) && position >= bytes.length - 32;
}

/**
 * One bit of a byte under a seal is as good as any other; in the clear each has a meaning of its own.
 * @param step 1: every byte, all bits of those in the clear; else one bit in every so many bytes
 */
function* flipsOf(name: string, bytes: Uint8Array, step: number, dice: Uint8Array) {
  for (let position = bytes.length % step; position < bytes.length; position += step) {
    const one = (dice[position] ?? 0) % 8;
    const isEach = step === 1 && isInTheClear(name, bytes, position);
    const bits = isEach ? [0, 1, 2, 3, 4, 5, 6, 7] : [one];
    for (const bit of bits) yield { position, bit };
  }
}

/**
 * @param step as in `flipsOf`
 * @returns how many bits were flipped
 */
export async function flipEverywhere(scene: DamageScene, step = 1): Promise<number> {
  const dice = seededRandom("bits");
  const unseen: string[] = [];
  let flipCount = 0;
  for (const [name, bytes] of objectsOf(scene)) {
    for (const { position, bit } of flipsOf(name, bytes, step, dice(bytes.length))) {
      const edited = Uint8Array.from(bytes);
      edited[position] = (edited[position] ?? 0) ^ (1 << bit);
      flipCount++;
      await withObject(scene, name, edited, async () => {
        const place = `${name} byte ${position} bit ${bit}`;
        const expected = mustRefuse(name, bytes, position) ? "refused" : "whole";
        if (expected === "refused" || flipCount % RESTORED_EACH === 0) {
          if ((await outcomeOf(scene, name)) !== expected) unseen.push(`${place}: not ${expected}`);
        }
        const level = lowestLevelOf(scene, name, bytes, position);
        if (!(await isNamed(scene, name, level))) unseen.push(`${place}: not named at ${level}`);
      });
    }
  }
  expect(unseen).toEqual([]);
  return flipCount;
}

export async function cutEverywhere(scene: DamageScene, step = 1): Promise<void> {
  const unseen: string[] = [];
  for (const [name, bytes] of objectsOf(scene)) {
    const isContainer = IS_CONTAINER.test(name);
    for (let keptBytes = bytes.length % step; keptBytes < bytes.length; keptBytes += step) {
      await withObject(scene, name, bytes.slice(0, keptBytes), async () => {
        const place = `${name} cut to ${keptBytes}`;
        // The first bytes of a container are its header: cut there, it has lost its frames.
        const isNeeded = mustRefuse(name, bytes, isContainer ? Math.max(64, keptBytes) : 0);
        const expected = isNeeded ? "refused" : "whole";
        if (isNeeded || keptBytes % RESTORED_EACH === 0) {
          if ((await outcomeOf(scene, name)) !== expected) unseen.push(`${place}: not ${expected}`);
        }
        // Sizes stand in the tables of roots; a root itself, and what no table names, is read.
        const isRead = name.startsWith("keys/") || IS_RECORD.test(name);
        const level = isRead || scene.rootNames.has(name) ? "metadata" : "presence";
        if (!(await isNamed(scene, name, level))) unseen.push(`${place}: not named at ${level}`);
      });
    }
  }
  expect(unseen).toEqual([]);
}

export async function loseEach(scene: DamageScene): Promise<void> {
  for (const [name] of objectsOf(scene)) {
    if (IS_RECORD.test(name)) continue;
    await withObject(scene, name, undefined, async () => {
      expect(await outcomeOf(scene, name), name).toBe("refused");
      // What nothing else names leaves no trace in the repository.
      const isTold = !/^keys\/.*\.json$|^vms\/|\/(?:archive|retrieval)\.manifest$/.test(name);
      const level = name.startsWith("keys/") ? "metadata" : "presence";
      if (isTold) expect(await isNamed(scene, name, level), name).toBe(true);
    });
  }
}

/** Damage of content that lower levels do not read is not told by them. */
export async function flipContent(scene: DamageScene): Promise<void> {
  for (const [name, bytes] of objectsOf(scene)) {
    if (!name.endsWith(".pack")) continue;
    const edited = Uint8Array.from(bytes);
    edited[70] = (edited[70] ?? 0) ^ 1;
    await withObject(scene, name, edited, async () => {
      expect(await isNamed(scene, name, "metadata"), name).toBe(false);
      expect(await isNamed(scene, name, "complete"), name).toBe(true);
    });
  }
}
