import * as fc from "fast-check";
import { expect, it } from "vitest";
import { SalvagedPackTable } from "#core/repository/writer/salvaged-pack-table.ts";

const packs = fc.array(
  fc
    .record({
      packId: fc
        .uint8Array({ minLength: 16, maxLength: 16 })
        .map((id) => Buffer.from(id).toString("hex")),
      objectBytes: fc.nat(2 ** 31 - 1),
      footerBytes: fc.nat(2 ** 26),
      blocks: fc.tuple(fc.nat(60), fc.nat(60)),
    })
    .map(({ blocks, ...pack }) => ({
      ...pack,
      firstBlock: Math.min(...blocks),
      lastBlock: Math.max(...blocks),
    })),
  { maxLength: 40 },
);

it("finds the packs that a plain search finds, in any order of adding", () => {
  const property = fc.property(packs, fc.nat(60), fc.nat(20), (all, firstBlock, blockCount) => {
    const endBlock = firstBlock + blockCount;
    const table = new SalvagedPackTable();
    for (const pack of all) table.add(pack);
    const expected = all.filter(
      (pack) => pack.firstBlock < endBlock && pack.lastBlock >= firstBlock,
    );
    const found = table.overlapping(firstBlock, endBlock);
    expect(found).toHaveLength(expected.length);
    expect(found).toEqual(expect.arrayContaining(expected));
  });
  fc.assert(property, { numRuns: 300 });
});

it("holds the numbers of the last block of 32 TiB", () => {
  const table = new SalvagedPackTable();
  const lastBlock = 2 ** 33 - 1;
  const pack = { packId: "ab".repeat(16), objectBytes: 2 ** 40, footerBytes: 2 ** 26 };
  table.add({ ...pack, firstBlock: lastBlock, lastBlock });
  expect(table.overlapping(lastBlock, lastBlock + 1)).toEqual([
    { ...pack, firstBlock: lastBlock, lastBlock },
  ]);
  expect(table.overlapping(0, lastBlock)).toEqual([]);
});
