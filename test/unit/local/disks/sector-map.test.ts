import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  SectorMap,
  visibleRanges,
  type SectorKind,
  type SectorRange,
} from "#local/disks/sector-map.ts";

const spaceSectors = 64;
const writes = fc.array(
  fc.record({
    start: fc.nat(spaceSectors - 1),
    length: fc.integer({ min: 0, max: 20 }),
    kind: fc.constantFrom<SectorKind>("data", "clear"),
  }),
  { maxLength: 40 },
);

/** One cell per sector: what a list of ranges says, spelled out. */
function spell(ranges: Iterable<SectorRange>): (SectorKind | undefined)[] {
  const cells = Array.from<SectorKind | undefined>({ length: spaceSectors + 20 });
  for (const { start, end, kind } of ranges) {
    for (let sector = start; sector < end; sector++) {
      expect(cells[sector]).toBeUndefined();
      cells[sector] = kind;
    }
  }
  return cells;
}

function build(list: readonly { start: number; length: number; kind: SectorKind }[]) {
  const map = new SectorMap();
  const cells = Array.from<SectorKind | undefined>({ length: spaceSectors + 20 });
  for (const { start, length, kind } of list) {
    map.set(start, start + length, kind);
    cells.fill(kind, start, start + length);
  }
  return { map, cells };
}

describe("SectorMap", () => {
  it("shows after any writes what a plain array of cells shows, sorted, disjoint and joined", () => {
    fc.assert(
      fc.property(writes, (list) => {
        const { map, cells } = build(list);
        const ranges = [...map.ranges()];
        expect(spell(ranges)).toEqual(cells);
        expect(map.dataSectorCount).toBe(cells.filter((cell) => cell === "data").length);
        for (const [index, range] of ranges.entries()) {
          const next = ranges[index + 1];
          if (next === undefined) continue;
          expect(next.start >= range.end).toBe(true);
          expect(next.start === range.end && next.kind === range.kind).toBe(false);
        }
      }),
    );
  });

  it("clips ranges to a window", () => {
    fc.assert(
      fc.property(writes, fc.nat(70), fc.nat(70), (list, one, other) => {
        const { map, cells } = build(list);
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        const expected = cells.map((cell, at) => (at >= from && at < to ? cell : undefined));
        expect(spell(map.ranges(from, to))).toEqual(expected);
      }),
    );
  });

  it("holds hundred thousand ranges and finds any of them", () => {
    const map = new SectorMap();
    for (let index = 0; index < 100_000; index++) map.set(index * 4, index * 4 + 1, "data");
    map.set(200_001, 200_003, "clear");
    expect(map.rangeCount).toBe(100_001);
    expect(map.at(map.indexFrom(399_996))).toEqual({ start: 399_996, end: 399_997, kind: "data" });
    expect([...map.ranges(200_000, 200_004)].map((range) => range.kind)).toEqual(["data", "clear"]);
    map.set(0, 400_000, "clear");
    expect([...map.ranges()]).toEqual([{ start: 0, end: 400_000, kind: "clear" }]);
  });
});

describe("visibleRanges", () => {
  it("shows the topmost layer that touched each sector", () => {
    fc.assert(
      fc.property(fc.array(writes, { minLength: 1, maxLength: 5 }), (layers) => {
        const built = layers.map(build);
        const expected = built[0]!.cells.map(
          (_, sector) => built.find(({ cells }) => cells[sector] !== undefined)?.cells[sector],
        );
        const maps = built.map(({ map }) => map);
        expect(spell(visibleRanges(maps, 0, Number.MAX_SAFE_INTEGER))).toEqual(expected);
      }),
    );
  });
});
