/**
 * Keys. The *repository key* opens manifests and wraps a *data key* per disk; data keys seal packs
 * and indexes. Every object derives its own key from its random id, so that a nonce (the number of
 * a frame) never meets the same key twice.
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  KeyObject,
} from "node:crypto";
import { KEY_BYTES, TAG_BYTES, damaged } from "./layout.ts";

const CIPHER = "aes-256-gcm";
const NO_SALT = Buffer.alloc(0);
export const ZERO_NONCE: Uint8Array = Buffer.alloc(12);

function derive(key: Uint8Array, salt: Uint8Array, purpose: string): Buffer {
  const info = `holdfast/1/${purpose}`;
  return Buffer.from(hkdfSync("sha256", keyObjectOf(key), salt, info, KEY_BYTES));
}

/** Given raw bytes, Node finds out by an error of its own that they are no key object: 10 µs each time. */
export function keyObjectOf(key: Uint8Array | KeyObject): KeyObject {
  return key instanceof KeyObject ? key : createSecretKey(key);
}

export function frameKeyOf(dataKey: Uint8Array, objectId: Uint8Array): Buffer {
  return derive(dataKey, objectId, "frames");
}

export function hashKeyOf(dataKey: Uint8Array): Buffer {
  return derive(dataKey, NO_SALT, "hash");
}

/** Makes the ids of an archive's packs, so that a retry gives them the same names. */
export function archiveNameKeyOf(dataKey: Uint8Array): Buffer {
  return derive(dataKey, NO_SALT, "archive");
}

export function manifestKeyOf(repositoryKey: Uint8Array, objectId: Uint8Array): Buffer {
  return derive(repositoryKey, objectId, "manifest");
}

export function descriptorKeyOf(repositoryKey: Uint8Array): Buffer {
  return derive(repositoryKey, NO_SALT, "descriptor");
}

/** Makes the tag of a key slot. */
export function slotTagKeyOf(repositoryKey: Uint8Array): Buffer {
  return derive(repositoryKey, NO_SALT, "key-slot");
}

/** AES-256-GCM: `ciphertext || tag`. */
export function seal(
  key: Uint8Array | KeyObject,
  nonce: Uint8Array,
  aad: Uint8Array,
  plain: Uint8Array,
): Buffer {
  const cipher = createCipheriv(CIPHER, keyObjectOf(key), nonce);
  cipher.setAAD(aad);
  const body = cipher.update(plain);
  cipher.final();
  return Buffer.concat([body, cipher.getAuthTag()]);
}

/** Inverse of `seal`; throws `RepositoryDamaged` when the tag does not fit. */
export function unseal(
  key: Uint8Array | KeyObject,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Buffer {
  if (sealed.length < TAG_BYTES) throw damaged("a sealed part is too short");
  const bodyBytes = sealed.length - TAG_BYTES;
  const options = { authTagLength: TAG_BYTES };
  const decipher = createDecipheriv(CIPHER, keyObjectOf(key), nonce, options);
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(bodyBytes));
  const plain = decipher.update(sealed.subarray(0, bodyBytes));
  try {
    decipher.final();
  } catch (cause) {
    throw damaged("an authentication tag does not fit", {}, cause);
  }
  return plain;
}

/** A former repository key, sealed by the one that followed it. */
export function wrapFormerKey(
  repositoryKey: Uint8Array,
  former: { readonly repositoryId: string; readonly keyId: string },
  formerKey: Uint8Array,
): string {
  const key = derive(repositoryKey, Buffer.from(former.keyId, "hex"), "rewrap");
  return seal(key, ZERO_NONCE, formerKeyAad(former), formerKey).toString("base64url");
}

export function unwrapFormerKey(
  repositoryKey: Uint8Array,
  former: { readonly repositoryId: string; readonly keyId: string },
  wrapped: string,
): Buffer {
  const key = derive(repositoryKey, Buffer.from(former.keyId, "hex"), "rewrap");
  const sealed = Buffer.from(wrapped, "base64url");
  const formerKey = unseal(key, ZERO_NONCE, formerKeyAad(former), sealed);
  if (formerKey.length !== KEY_BYTES) throw damaged("a former repository key has a wrong length");
  return formerKey;
}

function formerKeyAad(former: { readonly repositoryId: string; readonly keyId: string }): Buffer {
  return Buffer.from(`holdfast/1/former-key\n${former.repositoryId}\n${former.keyId}`);
}

function dataKeyAad(diskId: string, keyId: string): Buffer {
  return Buffer.from(`holdfast/1/data-key\n${diskId}\n${keyId}`);
}

/** Data key sealed by the repository key. Deterministic: one data key has one wrapped form. */
export function wrapDataKey(
  repositoryKey: Uint8Array,
  owner: { readonly diskId: string; readonly keyId: string },
  dataKey: Uint8Array,
): string {
  const key = derive(repositoryKey, Buffer.from(owner.keyId, "hex"), "wrap");
  return seal(key, ZERO_NONCE, dataKeyAad(owner.diskId, owner.keyId), dataKey).toString(
    "base64url",
  );
}

export function unwrapDataKey(
  repositoryKey: Uint8Array,
  owner: { readonly diskId: string; readonly keyId: string },
  wrapped: string,
): Buffer {
  const key = derive(repositoryKey, Buffer.from(owner.keyId, "hex"), "wrap");
  const sealed = Buffer.from(wrapped, "base64url");
  const dataKey = unseal(key, ZERO_NONCE, dataKeyAad(owner.diskId, owner.keyId), sealed);
  if (dataKey.length !== KEY_BYTES) throw damaged("a data key has the wrong length");
  return dataKey;
}
