import * as fc from "fast-check";
import { expect, it } from "vitest";
import { LeafTable, isSameReference } from "#core/repository/format/leaf-table.ts";

const reference = fc.record({
  indexId: fc.constantFrom("00".repeat(16), "11".repeat(16), "22".repeat(16)),
  frameNumber: fc.nat(),
  offsetBytes: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  storedBytes: fc.nat(65_536),
});
const leaf = fc.option(reference, { nil: undefined });
const change = fc.tuple(fc.nat(19), leaf);

it("answers as a list of references would, also after copies of another length", () => {
  fc.assert(
    fc.property(
      fc.array(leaf, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 20 }),
      fc.array(change, { maxLength: 20 }),
      (leaves, length, changes) => {
        const original = LeafTable.from(leaves);
        const table = original.copy(length);
        const model = Array.from({ length }, (_, number) => leaves[number]);
        for (const [number, value] of changes.filter(([each]) => each < length)) {
          table.set(number, value);
          model[number] = value;
        }
        expect([...table]).toEqual(model);
        expect(table.length).toBe(length);
        const stored = [...model.keys()].filter((number) => model[number] !== undefined);
        expect([...table.stored()]).toEqual(stored);
        const indexIds = new Set(stored.map((number) => model[number]?.indexId));
        expect([...table.indexIds()]).toEqual([...indexIds]);
        // The copy has its own lines.
        expect([...original]).toEqual(leaves);
        expect(table.get(length)).toBeUndefined();
      },
    ),
  );
});

it("tells frames apart, not objects", () => {
  const here = { indexId: "00".repeat(16), frameNumber: 1, offsetBytes: 64, storedBytes: 10 };
  expect(isSameReference(here, { ...here })).toBe(true);
  expect(isSameReference(undefined, undefined)).toBe(true);
  expect(isSameReference(here, { ...here, frameNumber: 2 })).toBe(false);
  expect(isSameReference(here, undefined)).toBe(false);
});
