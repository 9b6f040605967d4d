/**
 * A document as properties of a table entity: its JSON text in pieces, because one string property
 * holds 64 KiB of UTF-16 and one entity 1 MiB (Scalability targets for Table storage).
 */
import { HoldfastError } from "#core/lib/errors.ts";

const PIECE_CHARS_MAX = 30_000;
/** Two bytes each in Azure, so below 1 MiB with names and keys. */
const JSON_CHARS_MAX = 500_000;
const PIECE_NAME = /^json(\d+)$/;

/** Throws `HoldfastError` code `RecordTooLarge`. */
export function encodeDocument(value: unknown): Record<string, string> {
  const text = JSON.stringify(value);
  if (text.length > JSON_CHARS_MAX) {
    throw new HoldfastError(
      "RecordTooLarge",
      `A document of ${text.length} characters is larger than the ${JSON_CHARS_MAX} that one record holds.`,
    );
  }
  const properties: Record<string, string> = {};
  let start = 0;
  for (let index = 0; start < text.length; index += 1) {
    let end = Math.min(start + PIECE_CHARS_MAX, text.length);
    // Half a surrogate pair is not valid text for Azure.
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end -= 1;
    properties[`json${index}`] = text.slice(start, end);
    start = end;
  }
  return properties;
}

/** Throws `HoldfastError` code `RecordDamaged` when the pieces do not make one document. */
export function decodeDocument(entity: Readonly<Record<string, unknown>>): unknown {
  const pieces: string[] = [];
  for (const [name, value] of Object.entries(entity)) {
    const index = PIECE_NAME.exec(name)?.[1];
    if (index !== undefined && typeof value === "string") pieces[Number(index)] = value;
  }
  try {
    return JSON.parse(pieces.join(""));
  } catch (error) {
    throw new HoldfastError(
      "RecordDamaged",
      "A record does not hold a whole document. It was changed by something else than Holdfast.",
      { cause: error },
    );
  }
}

function isHighSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdbff;
}
