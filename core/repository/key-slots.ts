/**
 * Looking after the keys of a repository. Whoever may do so has opened it: a new slot seals the key
 * that is open. Changing a password is adding a slot and removing the former one.
 *
 * Removing a slot does not take the key from someone who has copied it, nor from a locked version of
 * the slot's blob: for that, rotate the repository key.
 */
import { HoldfastError, codeOf } from "../lib/errors.ts";
import { requireFeatures } from "./format/descriptor.ts";
import { sealEnvelope } from "./format/envelope.ts";
import {
  MAX_SLOT_BYTES,
  createKeySlot,
  decodeKeySlot,
  encodeKeySlot,
  verifyKeySlot,
  type KeySlot,
  type NewSlotOptions,
  type RepositorySecret,
} from "./format/key-slot.ts";
import { wrapFormerKey } from "./format/keys.ts";
import { ID_BYTES, KEY_BYTES, objectNames } from "./format/layout.ts";
import { encodeRecoveryKey } from "./format/recovery-key.ts";
import { readWhole } from "./read-whole.ts";
import { MAX_KEY_SLOTS, requireCurrentKey } from "./repository-key.ts";
import type { Repository } from "./repository.ts";

export interface ListedKeySlot {
  readonly slotId: string;
  readonly name: string;
  /** `unknown`: of a later version of this program; `damaged`: opens with nothing. */
  readonly type: KeySlot["type"] | "unknown" | "damaged";
  /** Of a Key Vault slot: the version of the key that wrapped it. */
  readonly vaultKeyId?: string;
  readonly createdAt: Date;
  readonly immutableUntil?: Date;
}

/** Slots of the current repository key. */
export async function listKeySlots(
  repository: Repository,
  signal: AbortSignal,
): Promise<ListedKeySlot[]> {
  const folder = objectNames.keySlots(repository.key.repositoryKeyId);
  const slots: ListedKeySlot[] = [];
  for await (const blob of repository.store.list(folder, signal)) {
    if (!blob.name.endsWith(".json")) continue;
    const { immutableUntil } = blob;
    slots.push({
      slotId: blob.name.slice(folder.length, -".json".length),
      name: blob.name,
      createdAt: blob.modifiedAt,
      ...(immutableUntil === undefined ? {} : { immutableUntil }),
      ...(await describeSlot(repository, blob, signal)),
    });
  }
  return slots;
}

async function describeSlot(
  repository: Repository,
  blob: { readonly name: string; readonly sizeBytes: number },
  signal: AbortSignal,
): Promise<Pick<ListedKeySlot, "type" | "vaultKeyId">> {
  try {
    const bytes = await readWhole(repository.store, blob.name, MAX_SLOT_BYTES, signal);
    const slot = decodeKeySlot(blob.name, bytes);
    verifyKeySlot(blob.name, bytes, slot, repository.key.repositoryKey);
    if (slot === undefined) return { type: "unknown" };
    const isOurs =
      slot.repositoryId === repository.descriptor.repositoryId &&
      blob.name === objectNames.keySlot(repository.key.repositoryKeyId, slot.slotId) &&
      slot.keyId === repository.key.repositoryKeyId;
    if (!isOurs) return { type: "damaged" };
    const { type } = slot;
    return type === "key-vault-rsa-oaep-256" ? { type, vaultKeyId: slot.vaultKeyId } : { type };
  } catch (error) {
    if (codeOf(error) === "RepositoryDamaged") return { type: "damaged" };
    throw error;
  }
}

/** 32 random bytes as the text that an operator prints and locks away (`addKeySlot` makes its slot). */
export function newRecoveryKey(random: (byteCount: number) => Uint8Array): string {
  return encodeRecoveryKey(random(KEY_BYTES));
}

export interface AddKeySlotOptions extends NewSlotOptions {
  /** Nobody can delete the slot before this instant. Only where the store knows immutability. */
  readonly immutableUntil?: Date;
}

/**
 * Lets one more secret open the repository. Throws `RepositoryNotEncrypted`, `TooManyKeySlots`,
 * `RecoveryKeyMistyped`, and the errors of the vault.
 */
export async function addKeySlot(
  repository: Repository,
  secret: RepositorySecret,
  options: AddKeySlotOptions,
  signal: AbortSignal,
): Promise<{ readonly slotId: string }> {
  requireEncrypted(repository, secret);
  return withKeysLock(repository, signal, async () => {
    if ((await listKeySlots(repository, signal)).length >= MAX_KEY_SLOTS) {
      throw new HoldfastError(
        "TooManyKeySlots",
        `The repository has ${MAX_KEY_SLOTS} key slots. Remove one that nobody needs.`,
      );
    }
    const { repositoryKeyId, repositoryKey } = repository.key;
    const slotId = await writeSlot(
      repository,
      { keyId: repositoryKeyId, key: repositoryKey },
      secret,
      options,
      signal,
    );
    return { slotId };
  });
}

async function writeSlot(
  { store, descriptor }: Repository,
  target: { readonly keyId: string; readonly key: Uint8Array },
  secret: RepositorySecret,
  options: AddKeySlotOptions,
  signal: AbortSignal,
): Promise<string> {
  const { repositoryId } = descriptor;
  const { keyId } = target;
  const slotId = `${secret.kind}-${Buffer.from(options.random(4)).toString("hex")}`;
  const slot = await createKeySlot(
    { repositoryId, keyId, slotId },
    target.key,
    secret,
    options,
    signal,
  );
  const { immutableUntil } = options;
  const created = await store.create(
    objectNames.keySlot(keyId, slotId),
    encodeKeySlot(slot, target.key),
    signal,
    immutableUntil === undefined ? {} : { immutableUntil },
  );
  if (created === "created") return slotId;
  throw new HoldfastError("KeySlotExists", `The key slot ${slotId} exists already. Try again.`, {
    retry: "backoff",
  });
}

/**
 * Throws `KeySlotNotFound`, `LastKeySlot` (no other intact slot that this version knows is left) and
 * `KeySlotImmutable`.
 */
export async function removeKeySlot(
  repository: Repository,
  slotId: string,
  signal: AbortSignal,
): Promise<void> {
  requireFeatures(repository.descriptor, "delete");
  await withKeysLock(repository, signal, async () => {
    const slots = await listKeySlots(repository, signal);
    const wanted = slots.find((slot) => slot.slotId === slotId);
    if (wanted === undefined) throw slotNotFound(slotId);
    const others = slots.filter(
      ({ type, slotId: other }) => other !== slotId && type !== "unknown" && type !== "damaged",
    );
    if (others.length === 0) {
      throw new HoldfastError(
        "LastKeySlot",
        `The key slot ${slotId} is the last one that opens the repository. Add another one before.`,
      );
    }
    const outcome = await repository.store.delete(wanted.name, signal);
    if (outcome === "absent") throw slotNotFound(slotId);
    if (outcome === "deleted") return;
    const until = wanted.immutableUntil?.toISOString();
    throw new HoldfastError(
      "KeySlotImmutable",
      `The key slot ${slotId} is immutable${until === undefined ? "" : ` until ${until}`}: it goes on ` +
        "opening the repository. Rotate the repository key to shut its secret out of new backups.",
    );
  });
}

export interface RotateKeyOptions extends AddKeySlotOptions {
  readonly now: Date;
  /** A slot is made for each; at least one. */
  readonly secrets: readonly RepositorySecret[];
}

export interface RotatedKey {
  /** Open with the new key. The former object goes on reading what is there; write with this one. */
  readonly repository: Repository;
  readonly slotIds: readonly string[];
  /** Slots of former keys that could not be deleted: their secrets open what was sealed before. */
  readonly remainingSlots: readonly string[];
}

/**
 * Gives the repository another key: what is written from now on is sealed by it; what is there stays
 * as it is and opens with the former keys, which the new one opens. Order: slots, then the rewrap
 * object (the commit point), then the former slots go. Data keys are not changed: rotate those of
 * the disks too (`rotateDataKey` of the next backup) when a key has leaked.
 */
export async function rotateRepositoryKey(
  repository: Repository,
  options: RotateKeyOptions,
  signal: AbortSignal,
): Promise<RotatedKey> {
  requireFeatures(repository.descriptor, "delete");
  for (const secret of options.secrets) requireEncrypted(repository, secret);
  if (options.secrets.length === 0) throw new RangeError("a key without a slot would be lost");
  return withKeysLock(repository, signal, async () => {
    const { store, descriptor, key } = repository;
    const { repositoryId } = descriptor;
    const keyId = Buffer.from(options.random(ID_BYTES)).toString("hex");
    const newKey = options.random(KEY_BYTES);
    const slotIds: string[] = [];
    for (const secret of options.secrets) {
      slotIds.push(await writeSlot(repository, { keyId, key: newKey }, secret, options, signal));
    }
    const former = [
      ...(key.former ?? []),
      { repositoryKeyId: key.repositoryKeyId, repositoryKey: key.repositoryKey },
    ];
    const name = objectNames.keyRewrap(keyId);
    const document = {
      format: 1,
      repositoryId,
      createdAt: options.now.toISOString(),
      formerKeys: former.map((each) => {
        const owner = { repositoryId, keyId: each.repositoryKeyId };
        const wrapped = wrapFormerKey(newKey, owner, each.repositoryKey);
        return { keyId: each.repositoryKeyId, wrapped };
      }),
    };
    const current = { repositoryKeyId: keyId, repositoryKey: newKey };
    const objectId = options.random(ID_BYTES);
    const body = sealEnvelope(current, { kind: "keyRewrap", name, objectId, document });
    const { immutableUntil } = options;
    await store.create(name, body, signal, immutableUntil === undefined ? {} : { immutableUntil });
    const remainingSlots: string[] = [];
    for (const { name: slotName } of await listKeySlots(repository, signal)) {
      if ((await store.delete(slotName, signal)) === "immutable") remainingSlots.push(slotName);
    }
    return {
      repository: { ...repository, key: { ...current, former } },
      slotIds,
      remainingSlots,
    };
  });
}

function slotNotFound(slotId: string): HoldfastError {
  return new HoldfastError("KeySlotNotFound", `The repository has no key slot ${slotId}.`);
}

function requireEncrypted({ descriptor }: Repository, secret: RepositorySecret): void {
  requireFeatures(descriptor, "write");
  if (descriptor.encryption !== "none" && secret.kind !== "none") return;
  throw new HoldfastError(
    "RepositoryNotEncrypted",
    descriptor.encryption === "none"
      ? "The repository is not encrypted: it has no secrets to manage."
      : "An encrypted repository gets no open key.",
  );
}

/** Two at once could each remove the other's last slot, or rotate to two keys. */
async function withKeysLock<Result>(
  { store, descriptor, key }: Repository,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  const lock = await store.lock(objectNames.keysLock, signal);
  if (lock === undefined) {
    throw new HoldfastError(
      "RepositoryKeysBusy",
      "Somebody else is changing the keys of the repository. Try again in a minute.",
      { retry: "backoff" },
    );
  }
  try {
    await requireCurrentKey(store, descriptor, key, signal);
    return await work();
  } finally {
    await lock.release();
  }
}
