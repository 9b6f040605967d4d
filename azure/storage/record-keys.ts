/**
 * Ids and partitions as keys of Table Storage. Azure forbids `/ \ # ?` and control characters in
 * keys (Understanding the Table service data model), and `%` and `'` get lost in URLs and filters.
 *
 * Each such character becomes the allowed character just below it plus a suffix; that character
 * itself gets the suffix `0`. So the encoding is reversible, keeps the order of ids, and the key of
 * a prefix is a prefix of the key: lists by prefix are ranges of keys.
 */
import { HoldfastError } from "#core/lib/errors.ts";

/** Azure: keys are at most 1 KiB, of UTF-16 text. */
const KEY_CHARS_MAX = 512;

/** Forbidden character -> the allowed one before it. */
const SINGLE_NEIGHBOURS: Readonly<Record<string, string>> = {
  "#": '"',
  "%": "$",
  "'": "&",
  "/": ".",
  "?": ">",
  "\\": "[",
};
/** Neighbour -> what it stands for with suffix `1`; `undefined`: controls, written in hexadecimal. */
const STANDS_FOR = new Map<string, string | undefined>([
  ...Object.entries(SINGLE_NEIGHBOURS).map(([forbidden, before]) => [before, forbidden] as const),
  ["~", undefined],
]);
/** Controls below the blank have no character before them: they take the blank, which moves up. */
const BLANK = " ";

/** Throws `HoldfastError` code `InvalidRecordId` for what no key can hold. */
export function encodeKey(text: string): string {
  const key = encodeKeyPrefix(text);
  if (text === "" || key.length > KEY_CHARS_MAX) {
    throw new HoldfastError(
      "InvalidRecordId",
      `A record id must have 1 to ${KEY_CHARS_MAX} characters; this one has ${text.length}.`,
    );
  }
  return key;
}

/** The beginning that all keys of ids with this prefix share. */
export function encodeKeyPrefix(prefix: string): string {
  let key = "";
  for (const char of prefix.split("")) key += encodeChar(char);
  return key;
}

export function decodeKey(key: string): string {
  let text = "";
  for (let at = 0; at < key.length; at += 1) {
    const char = key.charAt(at);
    if (char !== BLANK && !STANDS_FOR.has(char)) {
      text += char;
      continue;
    }
    at += 1;
    const suffix = key.charAt(at);
    if (suffix === (char === BLANK ? "1" : "0")) {
      text += char;
      continue;
    }
    const single = STANDS_FOR.get(char);
    if (single !== undefined) {
      text += single;
      continue;
    }
    text += String.fromCharCode(Number.parseInt(key.slice(at + 1, at + 3), 16));
    at += 2;
  }
  return text;
}

function encodeChar(char: string): string {
  const before = SINGLE_NEIGHBOURS[char];
  if (before !== undefined) return `${before}1`;
  if (STANDS_FOR.has(char)) return `${char}0`;
  if (char === BLANK) return `${BLANK}1`;
  const code = char.charCodeAt(0);
  if (code < 0x20) return `${BLANK}0${hex(code)}`;
  if (code >= 0x7f && code <= 0x9f) return `~1${hex(code)}`;
  return char;
}

function hex(code: number): string {
  return code.toString(16).padStart(2, "0");
}
