/** Cryptography and secrets of the independent reader, from docs/repository-format.md alone. */
import {
  argon2Sync,
  constants,
  createDecipheriv,
  createHash,
  createHmac,
  hkdfSync,
  privateDecrypt,
  scryptSync,
} from "node:crypto";
import { zstdDecompressSync } from "node:zlib";

export const NO_SALT = Buffer.alloc(0);

export function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`damage: ${what}`);
}

export function hkdf(key: Buffer, salt: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", key, salt, `holdfast/1/${purpose}`, 32));
}

export function open(key: Buffer, nonce: Buffer, aad: Buffer, sealed: Buffer): Buffer {
  const decipher = createDecipheriv("aes-256-gcm", key, nonce);
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(sealed.length - 16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

/** Of a JSON file whose last member is `tag`. */
export function checkTag(key: Buffer, bytes: Buffer): void {
  const tagAt = bytes.lastIndexOf(',"tag":"');
  const tag = createHmac("sha256", key).update(bytes.subarray(0, tagAt)).digest("hex");
  check(bytes.subarray(tagAt).toString() === `,"tag":"${tag}"}\n`, "tag");
}

export function unzstd(stored: Buffer, rawBytes: number): Buffer {
  const raw = zstdDecompressSync(stored);
  check(raw.length === rawBytes, "length after zstd");
  return raw;
}

/** A password, the text of a recovery key, or the private half of a Key Vault key (PEM). */
export type Secret =
  string | { password: string } | { recoveryKey: string } | { rsaPrivateKey: string };

interface Slot {
  type: string;
  salt?: string;
  logN: number;
  r: number;
  p: number;
  memoryKiB: number;
  passes: number;
  parallelism: number;
  wrappedSecret: string;
}

/** Key of a slot, or undefined when its type does not go with the secret. */
export function slotKeyOf(slot: Slot, secret: Secret): Buffer | undefined {
  const given: Record<string, string> = typeof secret === "string" ? { password: secret } : secret;
  const salt = Buffer.from(slot.salt ?? "", "base64url");
  const password = given["password"]?.normalize("NFKC");
  if (slot.type === "scrypt" && password !== undefined) {
    const { logN, r, p } = slot;
    return scryptSync(password, salt, 32, { N: 2 ** logN, r, p, maxmem: 2 ** 31 });
  }
  if (slot.type === "argon2id" && password !== undefined) {
    const { memoryKiB, passes, parallelism } = slot;
    const cost = { memory: memoryKiB, passes, parallelism, tagLength: 32 };
    return argon2Sync("argon2id", { message: password, nonce: salt, ...cost });
  }
  if (slot.type === "recovery-key" && given["recoveryKey"] !== undefined) {
    return hkdf(recoveryKeyOf(given["recoveryKey"]), salt, "slot/recovery-key");
  }
  if (slot.type === "key-vault-rsa-oaep-256" && given["rsaPrivateKey"] !== undefined) {
    const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" };
    const wrapped = Buffer.from(slot.wrappedSecret, "base64url");
    const inner = privateDecrypt({ key: given["rsaPrivateKey"], ...oaep }, wrapped);
    return hkdf(inner, NO_SALT, "slot/key-vault-rsa-oaep-256");
  }
  return undefined;
}

function recoveryKeyOf(text: string): Buffer {
  let bits = 0n;
  for (const letter of text.replace(/[\s-]/g, "").toUpperCase()) {
    const digit = letter === "O" ? "0" : letter === "I" || letter === "L" ? "1" : letter;
    bits = bits * 32n + BigInt("0123456789ABCDEFGHJKMNPQRSTVWXYZ".indexOf(digit));
  }
  const bytes = Buffer.from(bits.toString(16).padStart(70, "0"), "hex");
  const key = bytes.subarray(0, 32);
  const sum = createHash("sha256").update("holdfast/1/recovery-key\n").update(key).digest();
  check(sum.subarray(0, 3).equals(bytes.subarray(32)), "recovery key is mistyped");
  return key;
}
