import { HoldfastError, codeOf } from "../lib/errors.ts";
import type { BlobStore } from "../ports/blob-store.ts";
import {
  decodeDescriptor,
  encodeDescriptor,
  newDescriptor,
  requireFeatures,
  verifyDescriptor,
  type RepositoryDescriptor,
} from "./format/descriptor.ts";
import {
  DEFAULT_SCRYPT_LOG_N,
  createKeySlot,
  decodeKeySlot,
  encodeKeySlot,
  openKeySlot,
  type RepositorySecret,
} from "./format/key-slot.ts";
import { ID_BYTES, KEY_BYTES, objectNames } from "./format/layout.ts";
import type { EnvelopeKey } from "./format/envelope.ts";

/** An open repository: its store and the keys to it. Holds no other state; share it freely. */
export interface Repository {
  readonly store: BlobStore;
  readonly descriptor: RepositoryDescriptor;
  readonly key: EnvelopeKey;
}

/** Bound on the key slots of one repository that are tried. */
const MAX_KEY_SLOTS = 64;

export interface CreateRepositoryOptions {
  /** Also says whether the content is encrypted: `none` must be asked for. */
  readonly encryption: RepositorySecret;
  /** Cryptographically strong bytes. */
  readonly random: (byteCount: number) => Uint8Array;
  readonly now: Date;
  /** log2 of scrypt's N for a new password slot, 10 to 20. Default 15. */
  readonly scryptLogN?: number;
}

/**
 * Creates a repository, or opens the one that is there when the secret fits (so a retry is safe).
 * Throws `WrongRepositoryPassword`, `RepositoryEncryptionMismatch`, `NotARepository` (a foreign
 * `repo.json`), `RepositoryTooNew`, `RepositoryDamaged`.
 */
export async function createRepository(
  store: BlobStore,
  options: CreateRepositoryOptions,
  signal: AbortSignal,
): Promise<Repository> {
  if ((await readDescriptor(store, signal)) === undefined) {
    const keyId = Buffer.from(options.random(ID_BYTES)).toString("hex");
    const repositoryId = Buffer.from(options.random(ID_BYTES)).toString("hex");
    const repositoryKey = options.random(KEY_BYTES);
    const slotId = options.encryption.kind === "none" ? "open" : "password-1";
    const slot = await createKeySlot(
      { repositoryId, keyId, slotId },
      repositoryKey,
      options.encryption,
      { random: options.random, scryptLogN: options.scryptLogN ?? DEFAULT_SCRYPT_LOG_N },
    );
    // The slot first: a crash in between leaves a slot without a repository, never the reverse.
    await store.create(objectNames.keySlot(keyId, slotId), encodeKeySlot(slot), signal);
    const descriptor = newDescriptor({
      repositoryId,
      keyId,
      createdAt: options.now,
      encryption: options.encryption.kind === "none" ? "none" : "aes-256-gcm",
    });
    await store.create(objectNames.descriptor, encodeDescriptor(descriptor, repositoryKey), signal);
  }
  return openRepository(store, options.encryption, signal);
}

/** Opens an existing repository for reading. Errors as `createRepository`, and `RepositoryNotFound`. */
export async function openRepository(
  store: BlobStore,
  secret: RepositorySecret,
  signal: AbortSignal,
): Promise<Repository> {
  const bytes = await readDescriptor(store, signal);
  if (bytes === undefined) {
    throw new HoldfastError(
      "RepositoryNotFound",
      `There is no repository in this folder (no ${objectNames.descriptor}). ` +
        "Check container and folder, or create the repository.",
    );
  }
  const descriptor = decodeDescriptor(bytes);
  requireFeatures(descriptor, "read");
  if ((descriptor.encryption === "none") !== (secret.kind === "none")) {
    throw new HoldfastError(
      "RepositoryEncryptionMismatch",
      descriptor.encryption === "none"
        ? "The repository is not encrypted, but a password was given. Refused, because somebody may have replaced it."
        : "The repository is encrypted. Give its password.",
    );
  }
  const repositoryKey = await openAnySlot(store, descriptor, secret, signal);
  verifyDescriptor(bytes, repositoryKey);
  return { store, descriptor, key: { repositoryKeyId: descriptor.keyId, repositoryKey } };
}

async function readDescriptor(
  store: BlobStore,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  try {
    return await store.read(objectNames.descriptor, undefined, signal);
  } catch (error) {
    if (codeOf(error) === "BlobNotFound") return undefined;
    throw error;
  }
}

async function openAnySlot(
  store: BlobStore,
  descriptor: RepositoryDescriptor,
  secret: RepositorySecret,
  signal: AbortSignal,
): Promise<Buffer> {
  let slotCount = 0;
  let damage: unknown;
  for await (const blob of store.list(objectNames.keySlots(descriptor.keyId), signal)) {
    if (++slotCount > MAX_KEY_SLOTS) break;
    try {
      const slot = decodeKeySlot(blob.name, await store.read(blob.name, undefined, signal));
      const isOurs =
        slot !== undefined &&
        slot.repositoryId === descriptor.repositoryId &&
        slot.keyId === descriptor.keyId;
      const key = isOurs ? await openKeySlot(slot, secret) : undefined;
      if (key !== undefined) return key;
    } catch (error) {
      if (codeOf(error) !== "RepositoryDamaged") throw error;
      // Another slot may be intact; the damage is reported when none opens.
      damage = error;
    }
  }
  if (damage !== undefined) throw damage;
  if (slotCount === 0) {
    throw new HoldfastError(
      "RepositoryKeyMissing",
      `The repository has no key slot under ${objectNames.keySlots(descriptor.keyId)}. ` +
        "Restore that folder from a copy; without it nothing can be read.",
    );
  }
  throw new HoldfastError(
    "WrongRepositoryPassword",
    "No key slot of the repository opens with this password. Check the password.",
  );
}
