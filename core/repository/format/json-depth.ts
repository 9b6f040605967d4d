/**
 * Deeply nested JSON costs a parser about a hundred bytes for each level, and a recursive check its
 * stack: a manifest of 64 MiB could ask for gigabytes. Nothing that a repository holds is that deep.
 */
export const JSON_DEPTH_MAX = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/** Whether arrays and objects of the text (JSON in UTF-8) lie in each other no deeper than the bound. */
export function isShallowJson(text: Uint8Array): boolean {
  let depth = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] ?? 0;
    if (isInString) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) isInString = false;
    } else if (byte === QUOTE) isInString = true;
    else if (OPENING.has(byte)) {
      if (++depth > JSON_DEPTH_MAX) return false;
    } else if (CLOSING.has(byte)) depth--;
  }
  return true;
}
