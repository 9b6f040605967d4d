/**
 * A *recovery key* is 32 random bytes that are shown once, to be printed and locked away. Its text
 * is Crockford's base 32 (no letters that look like digits) in groups of four, with a checksum, so
 * that a typing error is told from a wrong key. https://www.crockford.com/base32.html
 */
import { createHash } from "node:crypto";
import { HoldfastError } from "../../lib/errors.ts";
import { KEY_BYTES } from "./layout.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BITS_PER_LETTER = 5n;
const CHECKSUM_BYTES = 3;
/** 35 bytes are 280 bits: 56 letters without padding. */
const TEXT_BYTES = KEY_BYTES + CHECKSUM_BYTES;
const LETTER_COUNT = (TEXT_BYTES * 8) / Number(BITS_PER_LETTER);
const GROUP_LETTERS = 4;

function checksumOf(key: Uint8Array): Buffer {
  const digest = createHash("sha256").update("holdfast/1/recovery-key\n").update(key).digest();
  return digest.subarray(0, CHECKSUM_BYTES);
}

/** 14 groups of four letters, joined by `-`. */
export function encodeRecoveryKey(key: Uint8Array): string {
  if (key.length !== KEY_BYTES) throw new RangeError("a recovery key has 32 bytes");
  let bits = BigInt(`0x${Buffer.concat([key, checksumOf(key)]).toString("hex")}`);
  let letters = "";
  for (let count = 0; count < LETTER_COUNT; count++) {
    letters = ALPHABET.charAt(Number(bits & 31n)) + letters;
    bits >>= BITS_PER_LETTER;
  }
  const groups: string[] = [];
  for (let at = 0; at < letters.length; at += GROUP_LETTERS) {
    groups.push(letters.slice(at, at + GROUP_LETTERS));
  }
  return groups.join("-");
}

/**
 * Takes any case, any blanks and hyphens, `O` for 0, `I` and `L` for 1. Throws
 * `RecoveryKeyMistyped`; the message never holds the text.
 */
export function decodeRecoveryKey(text: string): Buffer {
  const letters = text
    .toUpperCase()
    .replaceAll(/[\s-]/g, "")
    .replaceAll("O", "0")
    .replaceAll(/[IL]/g, "1");
  if (letters.length !== LETTER_COUNT) {
    throw mistyped(`it has ${letters.length} letters and digits, not ${LETTER_COUNT}`);
  }
  let bits = 0n;
  for (const [position, letter] of letters.split("").entries()) {
    const value = ALPHABET.indexOf(letter);
    const group = Math.floor(position / GROUP_LETTERS) + 1;
    if (value < 0) throw mistyped(`group ${group} has a letter that no recovery key has`);
    bits = (bits << BITS_PER_LETTER) | BigInt(value);
  }
  const bytes = Buffer.from(bits.toString(16).padStart(TEXT_BYTES * 2, "0"), "hex");
  const key = bytes.subarray(0, KEY_BYTES);
  if (!checksumOf(key).equals(bytes.subarray(KEY_BYTES))) throw mistyped("its checksum is wrong");
  return key;
}

function mistyped(why: string): HoldfastError {
  return new HoldfastError(
    "RecoveryKeyMistyped",
    `This is no recovery key: ${why}. Compare it with the print, group by group.`,
  );
}
