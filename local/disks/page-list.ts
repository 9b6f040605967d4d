import { sectorSizeBytes, type SectorRange } from "./sector-map.ts";
import { StorageError } from "./storage-error.ts";

/** Azure lists at most this many ranges in one answer (Get Page Ranges, `maxresults`). */
const maxRangesPerPage = 10_000;

export function parseMaxResults(text: string | null): number {
  if (text === null) return maxRangesPerPage;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > maxRangesPerPage) {
    throw new StorageError(
      400,
      "OutOfRangeQueryParameterValue",
      `A query parameter is out of its range: maxresults=${text}, 1 to ${maxRangesPerPage}.`,
    );
  }
  return value;
}

/** A marker names the first byte that was not listed; opaque to clients. */
function encodeMarker(offsetBytes: number): string {
  return Buffer.from(`next=${offsetBytes}`).toString("base64url");
}

export function parseMarker(marker: string): number {
  const match = /^next=(\d+)$/.exec(Buffer.from(marker, "base64url").toString());
  if (match === null) {
    throw new StorageError(
      400,
      "InvalidQueryParameterValue",
      "Value for one of the query parameters specified in the request URI is invalid: marker.",
    );
  }
  return Number(match[1]);
}

/** The answer of Get Page Ranges: inclusive ends, in order of offset, `NextMarker` when cut. */
export function encodePageList(ranges: readonly SectorRange[], maxResults: number): string {
  const listed = ranges.slice(0, maxResults);
  const parts = listed.map(({ start, end, kind }) => {
    const name = kind === "data" ? "PageRange" : "ClearRange";
    const from = start * sectorSizeBytes;
    const last = end * sectorSizeBytes - 1;
    return `<${name}><Start>${from}</Start><End>${last}</End></${name}>`;
  });
  const next = ranges[maxResults];
  const marker =
    next === undefined
      ? "<NextMarker/>"
      : `<NextMarker>${encodeMarker(next.start * sectorSizeBytes)}</NextMarker>`;
  return `<?xml version="1.0" encoding="utf-8"?><PageList>${parts.join("")}${marker}</PageList>`;
}
