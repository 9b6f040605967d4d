/** How a key slot's own key comes from a secret. Each is slow or strong enough to be guessed at. */
import * as crypto from "node:crypto";
import { HoldfastError } from "../../lib/errors.ts";
import { KEY_BYTES } from "./layout.ts";

const MAX_SCRYPT_MEMORY_BYTES = 1.5 * 1024 ** 3;

/** Bounds on what a slot can ask for: nobody has verified it when it is used. */
export const ARGON2_BOUNDS = {
  memoryKiB: { min: 8 * 1024, max: 256 * 1024 },
  passes: { min: 1, max: 16 },
  parallelism: { min: 1, max: 8 },
} as const;

export interface ScryptCost {
  readonly logN: number;
  readonly r: number;
  readonly p: number;
}

export interface Argon2Cost {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly parallelism: number;
}

/** Passwords are compared in Unicode form NFKC, so that any keyboard gives the same key. */
function passwordBytes(password: string): Buffer {
  return Buffer.from(password.normalize("NFKC"));
}

export async function scryptKey(
  password: string,
  salt: Uint8Array,
  cost: ScryptCost,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const options = { N: 2 ** cost.logN, r: cost.r, p: cost.p, maxmem: MAX_SCRYPT_MEMORY_BYTES };
  crypto.scrypt(passwordBytes(password), salt, KEY_BYTES, options, (error, key) =>
    error === null ? resolve(key) : reject(error),
  );
  return promise;
}

/** Argon2id, version 0x13 (RFC 9106). Throws `Argon2NotSupported` on Node before 24.7. */
export async function argon2Key(
  password: string,
  salt: Uint8Array,
  cost: Argon2Cost,
): Promise<Buffer> {
  if (!("argon2" in crypto)) {
    throw new HoldfastError(
      "Argon2NotSupported",
      "This Node has no Argon2. Use Node 24.7 or newer, or another key slot.",
    );
  }
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const parameters = {
    message: passwordBytes(password),
    nonce: salt,
    parallelism: cost.parallelism,
    memory: cost.memoryKiB,
    passes: cost.passes,
    tagLength: KEY_BYTES,
  };
  crypto.argon2("argon2id", parameters, (error, key) =>
    error === null ? resolve(key) : reject(error),
  );
  return promise;
}

/** For secrets that are random already: a recovery key, or bytes that a vault unwrapped. */
export function hkdfKey(secret: Uint8Array, salt: Uint8Array, purpose: string): Buffer {
  return Buffer.from(
    crypto.hkdfSync("sha256", secret, salt, `holdfast/1/slot/${purpose}`, KEY_BYTES),
  );
}
