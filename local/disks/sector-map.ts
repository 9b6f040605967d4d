/**
 * What was written to one layer: a sorted list of disjoint ranges of 512-byte sectors, each `data`
 * (bytes were written) or `clear` (discarded, reads as zeros). Sectors in no range were not touched
 * and show the layer below. Lookups are binary searches; appending at the end is constant time.
 */
export const sectorSizeBytes = 512;

export type SectorKind = "data" | "clear";

/** Half open: `[start, end)`, in sectors. */
export interface SectorRange {
  readonly start: number;
  readonly end: number;
  readonly kind: SectorKind;
}

export class SectorMap {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #kinds: SectorKind[] = [];
  #dataSectorCount = 0;
  #version = 0;

  get rangeCount(): number {
    return this.#starts.length;
  }

  get dataSectorCount(): number {
    return this.#dataSectorCount;
  }

  /** Changes with every write; lets callers cache what they derive. */
  get version(): number {
    return this.#version;
  }

  /** Marks `[start, end)`, over whatever it was before, and joins it with equal neighbours. */
  set(start: number, end: number, kind: SectorKind): void {
    if (end <= start) return;
    this.#version++;
    const low = this.#firstEndingAtOrAfter(start);
    const high = this.#firstStartingAfter(end, low);
    const replacement: SectorRange[] = [];
    let newStart = start;
    let newEnd = end;
    if (low < high) {
      const left = this.at(low);
      if (left.kind === kind) newStart = Math.min(start, left.start);
      else if (left.start < start) replacement.push({ ...left, end: start });
      const right = this.at(high - 1);
      if (right.kind === kind) newEnd = Math.max(end, right.end);
      replacement.push({ start: newStart, end: newEnd, kind });
      if (right.kind !== kind && right.end > end) replacement.push({ ...right, start: end });
    } else replacement.push({ start, end, kind });
    this.#replace(low, high, replacement);
  }

  /** Index of the first range that ends after `sector`; `rangeCount` when there is none. */
  indexFrom(sector: number): number {
    return this.#firstEndingAtOrAfter(sector + 1);
  }

  at(index: number): SectorRange {
    const start = this.#starts[index];
    const end = this.#ends[index];
    const kind = this.#kinds[index];
    if (start === undefined || end === undefined || kind === undefined) {
      throw new RangeError(`no range ${index} of ${this.rangeCount}`);
    }
    return { start, end, kind };
  }

  /** The ranges that touch `[from, to)`, clipped to it, ascending. */
  *ranges(from = 0, to = Number.MAX_SAFE_INTEGER): Generator<SectorRange> {
    for (let index = this.indexFrom(from); index < this.rangeCount; index++) {
      const range = this.at(index);
      if (range.start >= to) return;
      yield {
        start: Math.max(range.start, from),
        end: Math.min(range.end, to),
        kind: range.kind,
      };
    }
  }

  #replace(low: number, high: number, replacement: readonly SectorRange[]): void {
    for (let index = low; index < high; index++) {
      const removed = this.at(index);
      if (removed.kind === "data") this.#dataSectorCount -= removed.end - removed.start;
    }
    for (const added of replacement) {
      if (added.kind === "data") this.#dataSectorCount += added.end - added.start;
    }
    this.#starts.splice(low, high - low, ...replacement.map((range) => range.start));
    this.#ends.splice(low, high - low, ...replacement.map((range) => range.end));
    this.#kinds.splice(low, high - low, ...replacement.map((range) => range.kind));
  }

  #firstEndingAtOrAfter(sector: number): number {
    const last = this.#ends.at(-1);
    if (last === undefined || last < sector) return this.#ends.length;
    return lowerBound(this.#ends, sector, 0);
  }

  #firstStartingAfter(sector: number, from: number): number {
    const last = this.#starts.at(-1);
    if (last === undefined || last <= sector) return this.#starts.length;
    return lowerBound(this.#starts, sector + 1, from);
  }
}

/** First index at or after `from` whose value is at least `wanted`. */
function lowerBound(sorted: readonly number[], wanted: number, from: number): number {
  let low = from;
  let high = sorted.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((sorted[middle] ?? Infinity) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A range of a stack of layers, and which layer shows there (0 is the top). */
export interface VisibleRange extends SectorRange {
  readonly layerIndex: number;
}

/**
 * What shows of a stack of maps, top first, inside `[from, to)`: for each sector the topmost range.
 * Ascending; sectors that no layer touched are left out; neighbours are not joined.
 */
export function visibleRanges(
  stack: readonly SectorMap[],
  from: number,
  to: number,
): VisibleRange[] {
  const visible: VisibleRange[] = [];

  function collect(layerIndex: number, from: number, to: number): void {
    const map = stack[layerIndex];
    if (map === undefined || from >= to) return;
    let position = from;
    for (const range of map.ranges(from, to)) {
      collect(layerIndex + 1, position, range.start);
      visible.push({ ...range, layerIndex });
      position = range.end;
    }
    collect(layerIndex + 1, position, to);
  }

  collect(0, from, to);
  return visible;
}

/** Joins neighbours of the same kind; the input is ascending and disjoint. */
export function joinRanges(ranges: Iterable<SectorRange>): SectorRange[] {
  const joined: SectorRange[] = [];
  for (const { start, end, kind } of ranges) {
    const last = joined.at(-1);
    if (last !== undefined && last.end === start && last.kind === kind) {
      joined[joined.length - 1] = { start: last.start, end, kind };
    } else joined.push({ start, end, kind });
  }
  return joined;
}
