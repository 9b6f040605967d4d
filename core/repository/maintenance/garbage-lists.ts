/**
 * *Tombstones*: lists of objects that a garbage collection found unreferenced. A later one deletes
 * what is listed for long enough and still unreferenced; a writer never takes over a pack that is
 * listed. Each list is written once and deleted when its objects are gone.
 */
import { codeOf } from "../../lib/errors.ts";
import { openEnvelope, sealEnvelope } from "../format/envelope.ts";
import { ID_BYTES, damaged, objectNames, requireIntact } from "../format/layout.ts";
import { GARBAGE_LIST_OBJECTS_MAX, garbageListSchema, parseManifest } from "../format/manifests.ts";
import type { Repository } from "../repository.ts";
import { readManifestObject } from "../read-whole.ts";

export interface GarbageList {
  readonly name: string;
  readonly markedAt: Date;
  /** Names of packs, indexes and attempts of the disk. */
  readonly objects: readonly string[];
}

export interface GarbageLists {
  readonly lists: readonly GarbageList[];
  /** Names of lists that are damaged. */
  readonly unreadable: readonly string[];
  /** Of the newest list; 0 when there is none. */
  readonly newestNumber: number;
}

const LIST_NAME = /\/([0-9]{10})\.manifest$/;

/** What garbage collection may ever delete of a disk. */
export function isCollectable(diskId: string, name: string): boolean {
  const { packs, indexes, attempts } = objectNames;
  return [packs(diskId), indexes(diskId), attempts(diskId)].some((folder) =>
    name.startsWith(folder),
  );
}

export async function readGarbageLists(
  repository: Repository,
  diskId: string,
  signal: AbortSignal,
): Promise<GarbageLists> {
  const lists: GarbageList[] = [];
  const unreadable: string[] = [];
  let newestNumber = 0;
  for await (const { name } of repository.store.list(objectNames.garbageLists(diskId), signal)) {
    const number = LIST_NAME.exec(name)?.[1];
    if (number === undefined) continue;
    newestNumber = Math.max(newestNumber, Number(number));
    try {
      lists.push(await readGarbageList(repository, diskId, name, signal));
    } catch (error) {
      if (codeOf(error) === "BlobNotFound") continue;
      if (codeOf(error) !== "RepositoryDamaged") throw error;
      unreadable.push(name);
    }
  }
  return { lists, unreadable, newestNumber };
}

async function readGarbageList(
  repository: Repository,
  diskId: string,
  name: string,
  signal: AbortSignal,
): Promise<GarbageList> {
  const bytes = await readManifestObject(repository.store, name, signal);
  const { document } = openEnvelope(repository.key, "garbageList", name, bytes);
  const list = parseManifest(garbageListSchema, name, document);
  if (list.diskId !== diskId) throw damaged(`the garbage list ${name} belongs to another disk`);
  requireIntact(
    list.objects.every((object) => isCollectable(diskId, object)),
    `the garbage list ${name} names an object that is not garbage`,
  );
  return { name, markedAt: new Date(list.markedAt), objects: list.objects };
}

/** Names that writers must not take over. `isComplete`: false when some list is damaged. */
export async function readTombstones(
  repository: Repository,
  diskId: string,
  signal: AbortSignal,
): Promise<{ readonly names: ReadonlySet<string>; readonly isComplete: boolean }> {
  const { lists, unreadable } = await readGarbageLists(repository, diskId, signal);
  const names = new Set(lists.flatMap((list) => list.objects));
  return { names, isComplete: unreadable.length === 0 };
}

/** Writes as many lists as it takes. The disk's lock must be held. */
export async function writeGarbageLists(
  repository: Repository,
  garbage: {
    readonly diskId: string;
    readonly markedAt: Date;
    readonly objects: readonly string[];
    readonly firstNumber: number;
    readonly random: (byteCount: number) => Uint8Array;
  },
  signal: AbortSignal,
): Promise<void> {
  const { diskId, objects, firstNumber, random } = garbage;
  for (let at = 0, number = firstNumber; at < objects.length; number++) {
    const name = objectNames.garbageList(diskId, number);
    const document = {
      format: 1,
      diskId,
      markedAt: garbage.markedAt.toISOString(),
      objects: objects.slice(at, at + GARBAGE_LIST_OBJECTS_MAX),
    };
    const objectId = random(ID_BYTES);
    const body = sealEnvelope(repository.key, { kind: "garbageList", name, objectId, document });
    // "exists" is a list that somebody else wrote after our lock was lost: leave it to the next run.
    await repository.store.create(name, body, signal);
    at += GARBAGE_LIST_OBJECTS_MAX;
  }
}
