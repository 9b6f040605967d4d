/**
 * Finding the *current* repository key with a secret.
 *
 * A new repository has one key, named in `repo.json`. A rotation adds another: slots for it, then a
 * *rewrap object*, which holds all *former* keys sealed by the new one. That object makes the new
 * key current; `repo.json` is never written again. Former keys go on opening what they sealed.
 */
import { HoldfastError, codeOf } from "../lib/errors.ts";
import type { BlobStore } from "../ports/blob-store.ts";
import type { RepositoryDescriptor } from "./format/descriptor.ts";
import { openEnvelope, type EnvelopeKey, type SealingKey } from "./format/envelope.ts";
import {
  MAX_SLOT_BYTES,
  decodeKeySlot,
  openKeySlot,
  verifyKeySlot,
  type RepositorySecret,
} from "./format/key-slot.ts";
import { damaged, objectNames } from "./format/layout.ts";
import { unwrapFormerKey } from "./format/keys.ts";
import { readWhole } from "./read-whole.ts";
import { keyRewrapSchema, parseManifest } from "./format/manifests.ts";

/** Bound on the key slots of one repository that are tried. */
export const MAX_KEY_SLOTS = 64;
const MAX_REWRAP_BYTES = 1024 * 1024;
const KEY_OBJECT = /^keys\/([0-9a-f]{32})\/(?:(rewrap\.manifest)|([^/]+)\.json)$/;

/** What lies under `keys/<keyId>/`. */
interface KeyFolder {
  readonly keyId: string;
  readonly slotNames: string[];
  hasRewrap: boolean;
}

async function listKeyFolders(
  store: BlobStore,
  descriptor: RepositoryDescriptor,
  signal: AbortSignal,
): Promise<KeyFolder[]> {
  const folders = new Map<string, KeyFolder>();
  let slotCount = 0;
  for await (const { name } of store.list(objectNames.keys, signal)) {
    const [, keyId, rewrap] = KEY_OBJECT.exec(name) ?? [];
    if (keyId === undefined) continue;
    const folder = folders.get(keyId) ?? { keyId, slotNames: [], hasRewrap: false };
    folders.set(keyId, folder);
    if (rewrap !== undefined) folder.hasRewrap = true;
    else if (++slotCount <= MAX_KEY_SLOTS) folder.slotNames.push(name);
  }
  // Slots without a rewrap object are left over from a rotation that did not get that far.
  return [...folders.values()].filter(
    ({ keyId, hasRewrap }) => hasRewrap || keyId === descriptor.keyId,
  );
}

/**
 * Throws `RepositoryKeyMissing` (no slots), `WrongRepositoryPassword`, `WrongRecoveryKey`,
 * `NoSlotOfVaultKey`, `RepositoryKeyRotated` (the secret opens a former key only),
 * `RepositoryDamaged`, and the errors of a vault.
 */
export async function findRepositoryKey(
  store: BlobStore,
  descriptor: RepositoryDescriptor,
  secret: RepositorySecret,
  signal: AbortSignal,
): Promise<EnvelopeKey> {
  const folders = await listKeyFolders(store, descriptor, signal);
  if (!folders.some(({ slotNames }) => slotNames.length > 0)) {
    throw new HoldfastError(
      "RepositoryKeyMissing",
      `The repository has no key slot under ${objectNames.keySlots(descriptor.keyId)}. ` +
        "Restore that folder from a copy; without it nothing can be read.",
    );
  }
  const opened: EnvelopeKey[] = [];
  let failure: unknown;
  for (const folder of folders) {
    const found = await openAnySlot(store, descriptor, folder, secret, signal);
    if (found.key === undefined) failure ??= found.failure;
    else opened.push(await withFormerKeys(store, descriptor, folder, found.key, signal));
  }
  const current = opened.sort((left, right) => formerCount(right) - formerCount(left))[0];
  if (current === undefined) throw failure ?? wrongSecret(secret);
  requireNoLaterKey(folders, current, failure);
  return current;
}

/** Throws `RepositoryKeyRotated` when the key was rotated since the repository was opened. */
export async function requireCurrentKey(
  store: BlobStore,
  descriptor: RepositoryDescriptor,
  key: EnvelopeKey,
  signal: AbortSignal,
): Promise<void> {
  requireNoLaterKey(await listKeyFolders(store, descriptor, signal), key, undefined);
}

function requireNoLaterKey(folders: readonly KeyFolder[], key: EnvelopeKey, cause: unknown): void {
  const openIds = new Set([key, ...(key.former ?? [])].map((each) => each.repositoryKeyId));
  const beyond = folders.find(({ keyId }) => !openIds.has(keyId));
  if (beyond === undefined) return;
  throw new HoldfastError(
    "RepositoryKeyRotated",
    "Only a former key of the repository is open: the key was rotated " +
      `(${objectNames.keyRewrap(beyond.keyId)}). Give a secret of the new key.`,
    cause === undefined ? {} : { cause },
  );
}

function formerCount(key: EnvelopeKey): number {
  return key.former?.length ?? 0;
}

async function openAnySlot(
  store: BlobStore,
  descriptor: RepositoryDescriptor,
  folder: KeyFolder,
  secret: RepositorySecret,
  signal: AbortSignal,
): Promise<{ readonly key: Buffer | undefined; readonly failure: unknown }> {
  let failure: unknown;
  for (const name of folder.slotNames) {
    try {
      const bytes = await readWhole(store, name, MAX_SLOT_BYTES, signal);
      const slot = decodeKeySlot(name, bytes);
      const isOurs =
        slot !== undefined &&
        slot.repositoryId === descriptor.repositoryId &&
        slot.keyId === folder.keyId;
      if (!isOurs) continue;
      const key = await openKeySlot(slot, secret, signal);
      if (key === undefined) continue;
      verifyKeySlot(name, bytes, slot, key);
      return { key, failure: undefined };
    } catch (error) {
      // Another slot may open; what was wrong with this one is told when none does.
      signal.throwIfAborted();
      if (codeOf(error) === "RecoveryKeyMistyped" || !(error instanceof HoldfastError)) throw error;
      failure = error;
    }
  }
  return { key: undefined, failure };
}

async function withFormerKeys(
  store: BlobStore,
  descriptor: RepositoryDescriptor,
  folder: KeyFolder,
  repositoryKey: Buffer,
  signal: AbortSignal,
): Promise<EnvelopeKey> {
  const key = { repositoryKeyId: folder.keyId, repositoryKey };
  if (!folder.hasRewrap) return key;
  return { ...key, former: await readFormerKeys(store, descriptor, key, signal) };
}

/** What the rewrap object of a key holds. Throws `RepositoryDamaged`, `BlobNotFound`. */
export async function readFormerKeys(
  store: BlobStore,
  { repositoryId }: RepositoryDescriptor,
  key: SealingKey,
  signal: AbortSignal,
): Promise<readonly SealingKey[]> {
  const name = objectNames.keyRewrap(key.repositoryKeyId);
  const bytes = await readWhole(store, name, MAX_REWRAP_BYTES, signal);
  const { document } = openEnvelope(key, "keyRewrap", name, bytes);
  const rewrap = parseManifest(keyRewrapSchema, name, document);
  if (rewrap.repositoryId !== repositoryId) throw damaged(`${name} is of another repository`);
  return rewrap.formerKeys.map(({ keyId, wrapped }) => ({
    repositoryKeyId: keyId,
    repositoryKey: unwrapFormerKey(key.repositoryKey, { repositoryId, keyId }, wrapped),
  }));
}

/** The key that `repo.json` names: it made the tag of that object. */
export function descriptorKey(descriptor: RepositoryDescriptor, key: EnvelopeKey): Uint8Array {
  const all: readonly SealingKey[] = [key, ...(key.former ?? [])];
  const found = all.find(({ repositoryKeyId }) => repositoryKeyId === descriptor.keyId);
  if (found !== undefined) return found.repositoryKey;
  throw damaged(`the key that ${objectNames.descriptor} names is not among the former keys`);
}

function wrongSecret(secret: RepositorySecret): HoldfastError {
  switch (secret.kind) {
    case "recovery-key":
      return new HoldfastError(
        "WrongRecoveryKey",
        "This recovery key is typed correctly, but it is not of this repository, or its slot was removed.",
      );
    case "key-vault":
      return new HoldfastError(
        "NoSlotOfVaultKey",
        `No key slot of the repository opens with the key ${secret.keyId}. Name the key that the slot was made with, or add a slot for this one.`,
      );
    case "password":
    case "none":
      return new HoldfastError(
        "WrongRepositoryPassword",
        "No key slot of the repository opens with this password. Check the password.",
      );
  }
}
