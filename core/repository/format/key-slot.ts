/**
 * A *key slot* gives the repository key to those who hold one secret. Each lies in its own object;
 * several slots may open the same key, and types unknown to this version are skipped.
 */
import { scrypt } from "node:crypto";
import { z } from "zod";
import { KEY_BYTES, damaged, requireIntact } from "./layout.ts";
import { seal, unseal } from "./keys.ts";

const MAX_SCRYPT_MEMORY_BYTES = 1.5 * 1024 ** 3;
const NONCE_BYTES = 12;
/**
 * N=2^15, r=8, p=3: one of the equally strong settings of the OWASP password storage cheat sheet,
 * and the one that fits beside a running backup (32 MiB, about half a second).
 */
export const DEFAULT_SCRYPT_LOG_N = 15;
const SCRYPT_PASSES = 3;
const SCRYPT_BLOCK_SIZE = 8;

const identity = {
  magic: z.literal("holdfast-key-slot"),
  version: z.literal(1),
  repositoryId: z.string(),
  keyId: z.string(),
  slotId: z.string(),
};

const knownSlotSchema = z.discriminatedUnion("type", [
  z.object({
    ...identity,
    type: z.literal("scrypt"),
    logN: z.number().int().min(10).max(20),
    r: z.number().int().min(1).max(8),
    p: z.number().int().min(1).max(4),
    salt: z.string(),
    wrapped: z.string(),
  }),
  /** An unencrypted repository: the key lies in the open, for anybody. */
  z.object({ ...identity, type: z.literal("none"), key: z.string() }),
]);

const anySlotSchema = z.object({ ...identity, type: z.string() });

export type KeySlot = z.infer<typeof knownSlotSchema>;

/** What opens a repository. `none` only fits one that was created without encryption. */
export type RepositorySecret =
  { readonly kind: "password"; readonly password: string } | { readonly kind: "none" };

export interface SlotIdentity {
  readonly repositoryId: string;
  readonly keyId: string;
  readonly slotId: string;
}

function aadOf(slot: SlotIdentity, type: string): Buffer {
  return Buffer.from(
    `holdfast/1/key-slot\n${slot.repositoryId}\n${slot.keyId}\n${slot.slotId}\n${type}`,
  );
}

/** Passwords are compared in Unicode form NFKC, so that any keyboard gives the same key. */
async function keyFromPassword(
  password: string,
  cost: { readonly logN: number; readonly r: number; readonly p: number },
  salt: Uint8Array,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const options = { N: 2 ** cost.logN, r: cost.r, p: cost.p, maxmem: MAX_SCRYPT_MEMORY_BYTES };
  scrypt(password.normalize("NFKC"), salt, KEY_BYTES, options, (error, key) =>
    error === null ? resolve(key) : reject(error),
  );
  return promise;
}

export async function createKeySlot(
  slot: SlotIdentity,
  repositoryKey: Uint8Array,
  secret: RepositorySecret,
  options: { readonly random: (byteCount: number) => Uint8Array; readonly scryptLogN: number },
): Promise<KeySlot> {
  const head = { magic: "holdfast-key-slot", version: 1, ...slot } as const;
  if (secret.kind === "none") {
    return { ...head, type: "none", key: Buffer.from(repositoryKey).toString("base64url") };
  }
  const cost = { logN: options.scryptLogN, r: SCRYPT_BLOCK_SIZE, p: SCRYPT_PASSES };
  const salt = options.random(16);
  const nonce = options.random(NONCE_BYTES);
  const key = await keyFromPassword(secret.password, cost, salt);
  const sealed = seal(key, nonce, aadOf(slot, "scrypt"), repositoryKey);
  return {
    ...head,
    type: "scrypt",
    ...cost,
    salt: Buffer.from(salt).toString("base64url"),
    wrapped: Buffer.concat([nonce, sealed]).toString("base64url"),
  };
}

/** The repository key, or undefined when this slot is not for this secret. */
export async function openKeySlot(
  slot: KeySlot,
  secret: RepositorySecret,
): Promise<Buffer | undefined> {
  if (slot.type === "none") {
    const key = secret.kind === "none" ? Buffer.from(slot.key, "base64url") : undefined;
    requireIntact(key === undefined || key.length === KEY_BYTES, "a key slot has a wrong length");
    return key;
  }
  if (secret.kind !== "password") return undefined;
  const wrapped = Buffer.from(slot.wrapped, "base64url");
  const key = await keyFromPassword(secret.password, slot, Buffer.from(slot.salt, "base64url"));
  try {
    const aad = aadOf(slot, slot.type);
    return unseal(key, wrapped.subarray(0, NONCE_BYTES), aad, wrapped.subarray(NONCE_BYTES));
  } catch {
    // The tag says only that password and slot do not fit; the caller tries the next slot.
    return undefined;
  }
}

export function encodeKeySlot(slot: KeySlot): Buffer {
  return Buffer.from(`${JSON.stringify(slot, null, 1)}\n`);
}

/** undefined for a slot of a type that this version does not know. */
export function decodeKeySlot(name: string, bytes: Uint8Array): KeySlot | undefined {
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch (cause) {
    throw damaged(`the key slot ${name} holds no JSON`, {}, cause);
  }
  const known = knownSlotSchema.safeParse(json);
  if (known.success) return known.data;
  const any = anySlotSchema.safeParse(json);
  const isUnknownType = any.success && any.data.type !== "scrypt" && any.data.type !== "none";
  if (isUnknownType) return undefined;
  throw damaged(`the key slot ${name} is not understood`);
}
