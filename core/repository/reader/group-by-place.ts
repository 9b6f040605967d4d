import type { BlockEntry } from "../format/leaf.ts";

/** Unneeded bytes that are fetched rather than asking twice. */
const MAX_GAP_BYTES = 64 * 1024;
const MAX_FETCH_BYTES = 8 * 1024 * 1024;

/** A stored block and its number on the disk. */
export interface PlacedEntry extends BlockEntry {
  readonly block: number;
}

/** Blocks that lie close together in one pack are fetched by one request, those of a frame together. */
export function groupByPlace(entries: readonly PlacedEntry[]): PlacedEntry[][] {
  const sorted = [...entries].sort(
    (left, right) =>
      (left.packId < right.packId ? -1 : left.packId > right.packId ? 1 : 0) ||
      left.offsetBytes - right.offsetBytes ||
      left.position - right.position,
  );
  const groups: PlacedEntry[][] = [];
  for (const entry of sorted) {
    const group = groups.at(-1);
    const first = group?.[0];
    const last = group?.at(-1);
    const isNear =
      first !== undefined &&
      last !== undefined &&
      first.packId === entry.packId &&
      entry.offsetBytes - (last.offsetBytes + last.storedBytes) <= MAX_GAP_BYTES &&
      entry.offsetBytes + entry.storedBytes - first.offsetBytes <= MAX_FETCH_BYTES;
    if (isNear) group?.push(entry);
    else groups.push([entry]);
  }
  return groups;
}
