import { codeOf } from "../lib/errors.ts";
import type { BlobStore } from "../ports/blob-store.ts";
import {
  MAX_SLOT_BYTES,
  decodeKeySlot,
  openKeySlot,
  verifyKeySlot,
  type RepositorySecret,
  type SlotIdentity,
} from "./format/key-slot.ts";
import { objectNames } from "./format/layout.ts";
import { readWhole } from "./read-whole.ts";

export interface UnfinishedCreation {
  readonly identity: SlotIdentity;
  readonly repositoryKey: Buffer;
}

/** Slots of earlier tries that are looked at; one that is not found costs a few hundred bytes. */
const SLOTS_MAX = 16;

/**
 * A creation that died left a key slot without a descriptor. Whoever tries again with the same
 * secret goes on with that key, so that no slot stays for ever that belongs to nothing. A folder with a
 * rotated key has lost its descriptor, which is another matter: there nothing is found. Nor is a slot
 * of a key vault taken over: anybody can make one for a public key, with a repository key of their own.
 */
export async function findUnfinishedCreation(
  store: BlobStore,
  secret: RepositorySecret,
  signal: AbortSignal,
): Promise<UnfinishedCreation | undefined> {
  if (secret.kind === "key-vault") return undefined;
  const names: string[] = [];
  for await (const { name } of store.list(objectNames.keys, signal)) {
    if (name.endsWith(".manifest")) return undefined;
    if (name.endsWith(".json") && names.length < SLOTS_MAX) names.push(name);
  }
  for (const name of names) {
    const found = await openSlot(store, name, secret, signal);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function openSlot(
  store: BlobStore,
  name: string,
  secret: RepositorySecret,
  signal: AbortSignal,
): Promise<UnfinishedCreation | undefined> {
  try {
    const bytes = await readWhole(store, name, MAX_SLOT_BYTES, signal);
    const slot = decodeKeySlot(name, bytes);
    if (slot === undefined || objectNames.keySlot(slot.keyId, slot.slotId) !== name)
      return undefined;
    const repositoryKey = await openKeySlot(slot, secret, signal);
    if (repositoryKey === undefined) return undefined;
    verifyKeySlot(name, bytes, slot, repositoryKey);
    const { repositoryId, keyId, slotId } = slot;
    return { identity: { repositoryId, keyId, slotId }, repositoryKey };
  } catch (error) {
    // What cannot be read is nobody's key; a new one is made beside it.
    if (["RepositoryDamaged", "BlobNotFound"].includes(codeOf(error))) return undefined;
    throw error;
  }
}
