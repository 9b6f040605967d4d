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
  const text = asciiJson(value);
  if (text.length > JSON_CHARS_MAX) {
    throw new HoldfastError(
      "RecordTooLarge",
      `A document of ${text.length} characters is larger than the ${JSON_CHARS_MAX} that one record holds.`,
    );
  }
  const properties: Record<string, string> = {};
  for (let start = 0, index = 0; start < text.length; start += PIECE_CHARS_MAX, index += 1) {
    properties[`json${index}`] = text.slice(start, start + PIECE_CHARS_MAX);
  }
  return properties;
}

/**
 * JSON text in printable ASCII: pieces can be cut anywhere (half a surrogate pair is not valid text),
 * and Azurite 3.37 spoils characters of several bytes that lie across two network packets.
 */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
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
