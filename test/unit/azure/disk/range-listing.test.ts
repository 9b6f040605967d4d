import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { listRanges, type PageRequest } from "#azure/disk/range-listing.ts";
import type { PageList } from "#azure/disk/page-list-parser.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import type { ChangedRange } from "#core/ports/disk-data.ts";

const gibibyte = 1024 ** 3;

async function collect(ranges: AsyncIterable<ChangedRange>): Promise<ChangedRange[]> {
  const all: ChangedRange[] = [];
  for await (const range of ranges) all.push(range);
  return all;
}

/** A service that lists `ranges` as Azure does: whole ranges that touch the window. */
function serviceOf(ranges: readonly ChangedRange[], options: { perPage: number; marks: boolean }) {
  return async ({ window, marker }: PageRequest): Promise<PageList> => {
    const from = marker === undefined ? window.from : Number(marker);
    const touching = ranges.filter(
      ({ offsetBytes, lengthBytes }) => offsetBytes < window.to && offsetBytes + lengthBytes > from,
    );
    const rest = touching[options.perPage];
    return {
      ranges: touching.slice(0, options.perPage),
      nextMarker: options.marks && rest !== undefined ? String(rest.offsetBytes) : undefined,
    };
  };
}

function pages(count: number, stepBytes: number): ChangedRange[] {
  return Array.from({ length: count }, (_, index) => ({
    offsetBytes: index * stepBytes,
    lengthBytes: 512,
    kind: "data" as const,
  }));
}

const disjointRanges = fc
  .array(
    fc.record({
      gap: fc.nat(4),
      length: fc.integer({ min: 1, max: 6 }),
      kind: fc.constantFrom("data" as const, "clear" as const),
    }),
    { maxLength: 30 },
  )
  .map((items) => {
    let offsetBytes = 0;
    return items.map(({ gap, length, kind }) => {
      const range = { offsetBytes: offsetBytes + gap * 512, lengthBytes: length * 512, kind };
      offsetBytes = range.offsetBytes + range.lengthBytes;
      return range;
    });
  });

/** The whole of a disk of this size. */
const wholeOf = (sizeBytes: number) => ({ from: 0, to: sizeBytes });

describe("listRanges", () => {
  it("lists each sector of the disk once, with its kind, joined, however the service pages", async () => {
    await fc.assert(
      fc.asyncProperty(
        disjointRanges,
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 1, max: 200 }),
        async (ranges, perPage, sizeSectors) => {
          const spell = (list: readonly ChangedRange[]) => {
            const cells = Array.from({ length: sizeSectors }, () => ".");
            for (const { offsetBytes, lengthBytes, kind } of list) {
              for (let at = offsetBytes / 512; at < (offsetBytes + lengthBytes) / 512; at++) {
                if (at < sizeSectors) cells[at] = kind;
              }
            }
            return cells;
          };
          const found = await collect(
            listRanges(wholeOf(sizeSectors * 512), serviceOf(ranges, { perPage, marks: true })),
          );
          expect(spell(found)).toEqual(spell(ranges));
          for (const [index, range] of found.entries()) {
            const end = range.offsetBytes + range.lengthBytes;
            expect(end).toBeLessThanOrEqual(sizeSectors * 512);
            const next = found[index + 1];
            if (next === undefined) continue;
            expect(next.offsetBytes > end || next.kind !== range.kind).toBe(true);
          }
        },
      ),
    );
  });

  it("lists a span only, cut at its ends, and asks for nothing else", async () => {
    const ranges = pages(1000, 64 * 1024);
    const service = serviceOf(ranges, { perPage: 100, marks: true });
    const from = 10 * 64 * 1024 + 512;
    const to = 20 * 64 * 1024;
    const asked: PageRequest["window"][] = [];
    const noting = (request: PageRequest): Promise<PageList> => {
      asked.push(request.window);
      return service(request);
    };
    const found = await collect(listRanges({ from, to }, noting));
    for (const { offsetBytes, lengthBytes } of found) {
      expect(offsetBytes).toBeGreaterThanOrEqual(from);
      expect(offsetBytes + lengthBytes).toBeLessThanOrEqual(to);
    }
    const inside = ranges.filter(({ offsetBytes }) => offsetBytes >= from && offsetBytes < to);
    expect(found.slice(-inside.length)).toEqual(inside);
    expect(asked.every((window) => window.from >= from && window.to <= to)).toBe(true);
  });

  it("asks for smaller windows when a full answer has no marker", async () => {
    const ranges = pages(45_000, 64 * 1024);
    const service = serviceOf(ranges, { perPage: 10_000, marks: false });
    expect(await collect(listRanges(wholeOf(4 * gibibyte), service))).toEqual(ranges);
  });

  it("asks for smaller windows when the service takes too long, also behind a marker", async () => {
    const ranges = pages(30_000, 64 * 1024);
    const service = serviceOf(ranges, { perPage: 10_000, marks: true });
    let requestCount = 0;
    const slow = (request: PageRequest): Promise<PageList> => {
      requestCount++;
      const isSlow = requestCount % 2 === 0 && request.canSplit;
      if (isSlow) throw new HoldfastError("RequestTimedOut", "slow", { retry: "backoff" });
      return service(request);
    };
    expect(await collect(listRanges(wholeOf(4 * gibibyte), slow))).toEqual(ranges);
  });

  it("gives other errors and a marker that repeats to the caller", async () => {
    const refused = new HoldfastError("SasRefused", "no");
    await expect(
      collect(listRanges(wholeOf(gibibyte), () => Promise.reject(refused))),
    ).rejects.toBe(refused);
    const endless = async (): Promise<PageList> => ({ ranges: [], nextMarker: "again" });
    await expect(collect(listRanges(wholeOf(gibibyte), endless))).rejects.toMatchObject({
      code: "MalformedPageList",
    });
  });
});
