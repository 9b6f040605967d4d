/**
 * A *key slot* gives the repository key to those who hold one secret. Each lies in its own object;
 * several slots may open the same key, and types unknown to this version are skipped.
 *
 * Every type but `none` seals the repository key by a *slot key*. Where that comes from is all that
 * tells the types apart. Nothing of a slot is believed before the seal has opened.
 */
import { z } from "zod";
import type { KeyWrapper } from "../../ports/key-wrapper.ts";
import { KEY_BYTES, damaged } from "./layout.ts";
import { seal, slotTagKeyOf, unseal } from "./keys.ts";
import { decodeRecoveryKey } from "./recovery-key.ts";
import { ARGON2_BOUNDS, argon2Key, hkdfKey, scryptKey, type Argon2Cost } from "./slot-keys.ts";
import { encodeTaggedJson, isTaggedBy } from "./tagged-json.ts";

const NONCE_BYTES = 12;
const SALT_BYTES = 16;
/** A slot is a few hundred bytes; RSA-4096 makes the largest of them. */
export const MAX_SLOT_BYTES = 64 * 1024;
/**
 * N=2^15, r=8, p=3: one of the equally strong settings of the OWASP password storage cheat sheet,
 * and the one that fits beside a running backup (32 MiB, about half a second).
 */
const DEFAULT_SCRYPT_LOG_N = 15;
const SCRYPT_PASSES = 3;
const SCRYPT_BLOCK_SIZE = 8;
/** The second recommended setting of RFC 9106, section 4. */
const DEFAULT_ARGON2: Argon2Cost = { memoryKiB: 64 * 1024, passes: 3, parallelism: 4 };

const identity = {
  magic: z.literal("holdfast-key-slot"),
  version: z.literal(1),
  repositoryId: z.string(),
  keyId: z.string(),
  slotId: z.string(),
};
/** In the one form that the encoder gives: a flipped bit among those that carry nothing is damage, too. */
const base64url = z
  .string()
  .max(4096)
  .refine((text) => Buffer.from(text, "base64url").toString("base64url") === text);
const bounded = ({ min, max }: { readonly min: number; readonly max: number }) =>
  z.number().int().min(min).max(max);

const knownSlotSchema = z.discriminatedUnion("type", [
  z.object({
    ...identity,
    type: z.literal("scrypt"),
    logN: z.number().int().min(10).max(20),
    r: z.number().int().min(1).max(8),
    p: z.number().int().min(1).max(4),
    salt: base64url,
    wrapped: base64url,
  }),
  z.object({
    ...identity,
    type: z.literal("argon2id"),
    memoryKiB: bounded(ARGON2_BOUNDS.memoryKiB),
    passes: bounded(ARGON2_BOUNDS.passes),
    parallelism: bounded(ARGON2_BOUNDS.parallelism),
    salt: base64url,
    wrapped: base64url,
  }),
  z.object({ ...identity, type: z.literal("recovery-key"), salt: base64url, wrapped: base64url }),
  z.object({
    ...identity,
    type: z.literal("key-vault-rsa-oaep-256"),
    /** https URL of the version of the key. */
    vaultKeyId: z.string().startsWith("https://").max(1024),
    /** The slot's secret, wrapped by that key. */
    wrappedSecret: base64url,
    wrapped: base64url,
  }),
  /** An unencrypted repository: the key lies in the open, for anybody. */
  z.object({ ...identity, type: z.literal("none"), key: base64url }),
]);

const anySlotSchema = z.object({ ...identity, type: z.string() });

export type KeySlot = z.infer<typeof knownSlotSchema>;
const KNOWN_TYPES: ReadonlySet<string> = new Set<KeySlot["type"]>([
  "scrypt",
  "argon2id",
  "recovery-key",
  "key-vault-rsa-oaep-256",
  "none",
]);

/** What opens a repository. `none` only fits one that was created without encryption. */
export type RepositorySecret =
  | { readonly kind: "password"; readonly password: string }
  /** As printed (`encodeRecoveryKey`), in any case and grouping. */
  | { readonly kind: "recovery-key"; readonly recoveryKey: string }
  /**
   * `keyId`: https URL of a key or of one of its versions. Only slots of this very key are tried, in
   * whatever version they name: what a slot says must not decide who is asked to unwrap.
   */
  | { readonly kind: "key-vault"; readonly keyId: string; readonly vault: KeyWrapper }
  | { readonly kind: "none" };

export interface SlotIdentity {
  readonly repositoryId: string;
  readonly keyId: string;
  readonly slotId: string;
}

export interface NewSlotOptions {
  /** Cryptographically strong bytes. */
  readonly random: (byteCount: number) => Uint8Array;
  /** How a slot's key comes from a password. Default `scrypt`: any language has it. */
  readonly passwordMethod?: "scrypt" | "argon2id";
  /** log2 of scrypt's N for a new password slot, 10 to 20. Default 15. */
  readonly scryptLogN?: number;
  /** Default 64 MiB, 3 passes, 4 lanes. */
  readonly argon2?: Argon2Cost;
}

function aadOf(slot: SlotIdentity, ...more: readonly string[]): Buffer {
  const lines = ["holdfast/1/key-slot", slot.repositoryId, slot.keyId, slot.slotId, ...more];
  return Buffer.from(lines.join("\n"));
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

export async function createKeySlot(
  slot: SlotIdentity,
  repositoryKey: Uint8Array,
  secret: RepositorySecret,
  options: NewSlotOptions,
  signal: AbortSignal,
): Promise<KeySlot> {
  const head = { magic: "holdfast-key-slot", version: 1, ...slot } as const;
  const { random } = options;
  const wrap = (slotKey: Uint8Array, ...context: readonly string[]): string => {
    const nonce = random(NONCE_BYTES);
    const sealed = seal(slotKey, nonce, aadOf(slot, ...context), repositoryKey);
    return toText(Buffer.concat([nonce, sealed]));
  };
  switch (secret.kind) {
    case "none":
      return { ...head, type: "none", key: toText(repositoryKey) };
    case "password": {
      const salt = random(SALT_BYTES);
      if (options.passwordMethod === "argon2id") {
        const type = "argon2id";
        const cost = options.argon2 ?? DEFAULT_ARGON2;
        const key = await argon2Key(secret.password, salt, cost);
        return { ...head, type, ...cost, salt: toText(salt), wrapped: wrap(key, type) };
      }
      const type = "scrypt";
      const logN = options.scryptLogN ?? DEFAULT_SCRYPT_LOG_N;
      const cost = { logN, r: SCRYPT_BLOCK_SIZE, p: SCRYPT_PASSES };
      const key = await scryptKey(secret.password, salt, cost);
      return { ...head, type, ...cost, salt: toText(salt), wrapped: wrap(key, type) };
    }
    case "recovery-key": {
      const type = "recovery-key";
      const salt = random(SALT_BYTES);
      const key = hkdfKey(decodeRecoveryKey(secret.recoveryKey), salt, type);
      return { ...head, type, salt: toText(salt), wrapped: wrap(key, type) };
    }
    case "key-vault": {
      const type = "key-vault-rsa-oaep-256";
      const slotSecret = random(KEY_BYTES);
      const { keyId, wrapped } = await secret.vault.wrap(secret.keyId, slotSecret, signal);
      return {
        ...head,
        type,
        vaultKeyId: keyId,
        wrappedSecret: toText(wrapped),
        wrapped: wrap(hkdfKey(slotSecret, Buffer.alloc(0), type), type, keyId),
      };
    }
  }
}

/**
 * The repository key, or undefined when this slot is not for this secret. Throws the errors of a
 * vault, `RecoveryKeyMistyped` and `Argon2NotSupported`.
 */
export async function openKeySlot(
  slot: KeySlot,
  secret: RepositorySecret,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  if (slot.type === "none") {
    if (secret.kind !== "none") return undefined;
    return requireKeyLength(Buffer.from(slot.key, "base64url"));
  }
  const opened = await slotKeyOf(slot, secret, signal);
  if (opened === undefined) return undefined;
  const wrapped = Buffer.from(slot.wrapped, "base64url");
  const nonce = wrapped.subarray(0, NONCE_BYTES);
  const aad = aadOf(slot, slot.type, ...opened.context);
  let key: Buffer;
  try {
    key = unseal(opened.slotKey, nonce, aad, wrapped.subarray(NONCE_BYTES));
  } catch {
    // The tag says only that secret and slot do not fit; the caller tries the next slot.
    return undefined;
  }
  return requireKeyLength(key);
}

async function slotKeyOf(
  slot: Exclude<KeySlot, { type: "none" }>,
  secret: RepositorySecret,
  signal: AbortSignal,
): Promise<{ readonly slotKey: Buffer; readonly context: readonly string[] } | undefined> {
  switch (slot.type) {
    case "scrypt":
    case "argon2id": {
      if (secret.kind !== "password") return undefined;
      const salt = Buffer.from(slot.salt, "base64url");
      const slotKey =
        slot.type === "scrypt"
          ? await scryptKey(secret.password, salt, slot)
          : await argon2Key(secret.password, requireSalt(salt), slot);
      return { slotKey, context: [] };
    }
    case "recovery-key": {
      if (secret.kind !== "recovery-key") return undefined;
      const salt = Buffer.from(slot.salt, "base64url");
      const slotKey = hkdfKey(decodeRecoveryKey(secret.recoveryKey), salt, slot.type);
      return { slotKey, context: [] };
    }
    case "key-vault-rsa-oaep-256": {
      if (secret.kind !== "key-vault" || !isSameVaultKey(slot.vaultKeyId, secret.keyId)) {
        return undefined;
      }
      const wrapped = Buffer.from(slot.wrappedSecret, "base64url");
      const slotSecret = await secret.vault.unwrap(slot.vaultKeyId, wrapped, signal);
      const slotKey = hkdfKey(slotSecret, Buffer.alloc(0), slot.type);
      return { slotKey, context: [slot.vaultKeyId] };
    }
  }
}

/** RFC 9106 asks for 8 bytes at least, and Node refuses less. */
function requireSalt(salt: Buffer): Buffer {
  if (salt.length === SALT_BYTES) return salt;
  throw damaged("the salt of a key slot has a wrong length");
}

function requireKeyLength(key: Buffer): Buffer {
  if (key.length === KEY_BYTES) return key;
  throw damaged("a key slot has a wrong length");
}

/** True when both URLs name the same key of the same vault, in any version. */
function isSameVaultKey(left: string, right: string): boolean {
  const name = vaultKeyName(left);
  return name !== undefined && name === vaultKeyName(right);
}

function vaultKeyName(keyId: string): string | undefined {
  if (!URL.canParse(keyId)) return undefined;
  const { protocol, host, pathname, username, search, hash } = new URL(keyId);
  const [, keys, name, , ...rest] = pathname.toLowerCase().split("/");
  const isKey = keys === "keys" && name !== undefined && name !== "" && rest.length === 0;
  const isPlain = protocol === "https:" && username === "" && search === "" && hash === "";
  return isKey && isPlain ? `${host}/${name}` : undefined;
}

export function encodeKeySlot(slot: KeySlot, repositoryKey: Uint8Array): Buffer {
  return encodeTaggedJson(slot, slotTagKeyOf(repositoryKey));
}

/** undefined for a slot of a type that this version does not know. */
export function decodeKeySlot(name: string, bytes: Uint8Array): KeySlot | undefined {
  const { text, json } = parseSlot(name, bytes);
  const known = knownSlotSchema.safeParse(json);
  // The last byte carries nothing, but a cut object is damage all the same.
  if (known.success && text.endsWith("}\n")) return known.data;
  const any = anySlotSchema.safeParse(json);
  if (any.success && !KNOWN_TYPES.has(any.data.type)) return undefined;
  throw damaged(`the key slot ${name} is not understood`);
}

function parseSlot(name: string, bytes: Uint8Array): { readonly text: string; json: unknown } {
  const text = Buffer.from(bytes).toString("utf8");
  try {
    return { text, json: JSON.parse(text) };
  } catch (cause) {
    throw damaged(`the key slot ${name} holds no JSON`, {}, cause);
  }
}

/**
 * With the repository key every change of a slot shows: those parts, too, of which only its secret
 * would tell. Slots of earlier programs carry no tag; they are known by having no other member than
 * those of their type. Throws `RepositoryDamaged`.
 * @param slot as decoded; undefined for one of an unknown type
 */
export function verifyKeySlot(
  name: string,
  bytes: Uint8Array,
  slot: KeySlot | undefined,
  repositoryKey: Uint8Array,
): void {
  const json = z.record(z.string(), z.unknown()).parse(parseSlot(name, bytes).json);
  // Of a type that this version does not know, any member may belong to it.
  const isWithoutTag =
    slot === undefined
      ? !Object.hasOwn(json, "tag")
      : Object.keys(json).every((member) => Object.hasOwn(slot, member));
  const isIntact = isWithoutTag || isTaggedBy(slotTagKeyOf(repositoryKey), bytes);
  if (!isIntact) throw damaged(`the tag of the key slot ${name} does not fit`);
  if (slot?.type === "none" && slot.key !== toText(repositoryKey)) {
    throw damaged(`the key slot ${name} holds another key`);
  }
}
