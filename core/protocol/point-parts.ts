/**
 * A found point of a VM with very many disks or tags is larger than a message of the event queue: it
 * travels in *parts*, each the base64 of a piece of the point's JSON.
 */
import { EVENT_PAGE_BYTES_MAX, foundPointSchema, type FoundPoint } from "./worker-event.ts";

/** Base64 grows 3 bytes to 4 characters, which no escaping lengthens. */
const PART_JSON_BYTES = (EVENT_PAGE_BYTES_MAX / 4) * 3;

/**
 * Bound on a point's JSON in ASCII. One record of the tables holds 500,000 characters
 * (`ports/records.ts`); the index adds to what was found.
 */
export const FOUND_POINT_CHARS_MAX = 400_000;

/** Undefined when no record of the index could hold the point. */
export function splitFoundPoint(point: FoundPoint): string[] | undefined {
  const json = JSON.stringify(point);
  if (asciiLengthOf(json) > FOUND_POINT_CHARS_MAX) return undefined;
  const bytes = Buffer.from(json, "utf8");
  const parts: string[] = [];
  for (let start = 0; start < bytes.length; start += PART_JSON_BYTES) {
    parts.push(bytes.subarray(start, start + PART_JSON_BYTES).toString("base64"));
  }
  return parts;
}

/** Undefined when the parts do not make one point. */
export function joinFoundPoint(parts: readonly string[]): FoundPoint | undefined {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part, "base64")));
  try {
    return foundPointSchema.safeParse(JSON.parse(bytes.toString("utf8"))).data;
  } catch {
    return undefined;
  }
}

/** Records hold JSON in printable ASCII: every other unit of UTF-16 takes six characters. */
function asciiLengthOf(json: string): number {
  return json.length + (json.match(/[^\x20-\x7e]/g)?.length ?? 0) * 5;
}
