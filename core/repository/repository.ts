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
import type { EnvelopeKey } from "./format/envelope.ts";
import {
  createKeySlot,
  encodeKeySlot,
  type NewSlotOptions,
  type RepositorySecret,
} from "./format/key-slot.ts";
import { ID_BYTES, KEY_BYTES, MAX_DESCRIPTOR_BYTES, objectNames } from "./format/layout.ts";
import { readWhole } from "./read-whole.ts";
import { readmeText } from "./readme-text.ts";
import { findUnfinishedCreation, type UnfinishedCreation } from "./unfinished-creation.ts";
import { descriptorKey, findRepositoryKey } from "./repository-key.ts";

/** An open repository: its store and the keys to it. Holds no other state; share it freely. */
export interface Repository {
  readonly store: BlobStore;
  readonly descriptor: RepositoryDescriptor;
  readonly key: EnvelopeKey;
}

export interface CreateRepositoryOptions extends NewSlotOptions {
  /** Also says whether the content is encrypted: `none` must be asked for. */
  readonly encryption: RepositorySecret;
  readonly now: Date;
}

const FIRST_SLOT_IDS = {
  none: "open",
  password: "password-1",
  "recovery-key": "recovery-key-1",
  "key-vault": "key-vault-1",
} as const;

/**
 * Creates a repository, or opens the one that is there when the secret fits (so a retry is safe).
 * Throws `RepositoryEncryptionMismatch`, `NotARepository` (a foreign `repo.json`), `RepositoryTooNew`,
 * `RepositoryDamaged`, `RepositoryDescriptorMissing` and the errors of `findRepositoryKey` (a wrong secret).
 */
export async function createRepository(
  store: BlobStore,
  options: CreateRepositoryOptions,
  signal: AbortSignal,
): Promise<Repository> {
  if ((await readDescriptor(store, signal)) === undefined) {
    await requireNoBackups(store, signal);
    const { encryption } = options;
    const { identity, repositoryKey } =
      (await findUnfinishedCreation(store, encryption, signal)) ??
      (await createFirstSlot(store, options, signal));
    await store.create(objectNames.readme, Buffer.from(readmeText()), signal);
    const { repositoryId, keyId } = identity;
    const descriptor = newDescriptor({
      repositoryId,
      keyId,
      createdAt: options.now,
      encryption: encryption.kind === "none" ? "none" : "aes-256-gcm",
    });
    await store.create(objectNames.descriptor, encodeDescriptor(descriptor, repositoryKey), signal);
  }
  return openRepository(store, options.encryption, signal);
}

/** The slot first: a crash after it leaves a slot without a repository, never the reverse. */
async function createFirstSlot(
  store: BlobStore,
  options: CreateRepositoryOptions,
  signal: AbortSignal,
): Promise<UnfinishedCreation> {
  const { encryption, random } = options;
  const keyId = Buffer.from(random(ID_BYTES)).toString("hex");
  const repositoryId = Buffer.from(random(ID_BYTES)).toString("hex");
  const repositoryKey = Buffer.from(random(KEY_BYTES));
  const slotId = FIRST_SLOT_IDS[encryption.kind];
  const identity = { repositoryId, keyId, slotId };
  const slot = await createKeySlot(identity, repositoryKey, encryption, options, signal);
  const slotBytes = encodeKeySlot(slot, repositoryKey);
  await store.create(objectNames.keySlot(keyId, slotId), slotBytes, signal);
  return { identity, repositoryKey };
}

/** A new repository over the backups of one whose descriptor got lost would lose them for good. */
async function requireNoBackups(store: BlobStore, signal: AbortSignal): Promise<void> {
  for await (const { name } of store.list("disks/", signal)) {
    throw new HoldfastError(
      "RepositoryDescriptorMissing",
      `The folder holds backups (${name}), but no ${objectNames.descriptor}. ` +
        "Restore that object from a copy, or choose another folder; nothing was changed.",
      { context: { name } },
    );
  }
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
        ? "The repository is not encrypted, but a secret was given. Refused, because somebody may have replaced it."
        : "The repository is encrypted. Give its password, its recovery key or its key in a key vault.",
    );
  }
  const key = await findRepositoryKey(store, descriptor, secret, signal);
  verifyDescriptor(bytes, descriptorKey(descriptor, key));
  return { store, descriptor, key };
}

async function readDescriptor(
  store: BlobStore,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  try {
    return await readWhole(store, objectNames.descriptor, MAX_DESCRIPTOR_BYTES, signal);
  } catch (error) {
    if (codeOf(error) === "BlobNotFound") return undefined;
    throw error;
  }
}
