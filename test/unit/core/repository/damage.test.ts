/** See also `check/every-bit.test.ts` (all damage of all objects) and `fuzz-decoders.test.ts`. */
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import { decodeLeaf, encodeLeaf, type BlockEntry } from "#core/repository/format/leaf.ts";
import { LeafTable } from "#core/repository/format/leaf-table.ts";
import { decodeRoot, encodeRoot } from "#core/repository/format/root.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import {
  SECTOR,
  TestDisk,
  backUp,
  newRepository,
  reopen,
  restore,
  seededRandom,
} from "./fixtures.ts";

async function smallRepository() {
  const store = new MemoryStore();
  const repository = await newRepository(store);
  // For people: no program reads it.
  store.objects.delete("README.txt");
  const disk = new TestDisk(40 * SECTOR);
  disk.write(0, seededRandom("a")(12 * SECTOR));
  disk.write(20, Buffer.alloc(20 * SECTOR, "compressible "));
  const { reference } = await backUp(repository, disk, "p", disk.full());
  return { store, disk, reference, repository };
}

/** The restored bytes, or undefined for a clear refusal; any other error is a failure. */
async function tryRestore({ store, reference }: Awaited<ReturnType<typeof smallRepository>>) {
  try {
    return await restore(await reopen(store), reference);
  } catch (error) {
    expect(error).toBeInstanceOf(HoldfastError);
    return undefined;
  }
}

it("refuses a flipped bit in everything that a restore reads", async () => {
  const small = await smallRepository();
  for (const [name, object] of small.store.objects) {
    const isFrames = /packs|indexes/.test(name);
    if (name.includes("/attempts/")) continue;
    const bytes = Uint8Array.from(object.bytes);
    // In a container byte 64 is the first of the first frame.
    bytes[isFrames ? 64 : bytes.length - 5]! ^= 4;
    small.store.objects.set(name, { ...object, bytes });
    expect(await tryRestore(small), name).toBeUndefined();
    small.store.objects.set(name, object);
  }
  expect((await tryRestore(small))?.equals(small.disk.bytes)).toBe(true);
});

it("refuses truncated and missing objects", async () => {
  const small = await smallRepository();
  // A copy: the loop takes objects out and puts them back.
  const objects = [...small.store.objects];
  for (const [name, object] of objects) {
    const isNeeded = !name.includes("/attempts/");
    for (const keptBytes of [0, 1, 63, 64, 65, Math.floor(object.bytes.length / 2)]) {
      const bytes = object.bytes.slice(0, Math.min(keptBytes, object.bytes.length - 1));
      small.store.objects.set(name, { ...object, bytes });
      const restored = await tryRestore(small);
      if (isNeeded) expect(restored, `${name} cut to ${keptBytes}`).toBeUndefined();
    }
    small.store.objects.delete(name);
    if (isNeeded) expect(await tryRestore(small), name).toBeUndefined();
    small.store.objects.set(name, object);
  }
});

it("refuses objects that are intact but lie in another's place", async () => {
  const small = await smallRepository();
  const repository = await reopen(small.store);
  const second = await backUp(repository, small.disk, "p2", small.disk.full());
  const name = (sequence: number) => `disks/disk-1/points/000000000${sequence}.manifest`;
  const other = small.store.objects.get(name(second.reference.sequence))!;
  small.store.objects.set(name(1), other);
  expect(await tryRestore(small)).toBeUndefined();
});

const frameShare = fc
  .record({ frameBlocks: fc.integer({ min: 1, max: 255 }), place: fc.nat({ max: 254 }) })
  .map(({ frameBlocks, place }) => ({ frameBlocks, position: place % frameBlocks }));
const alone = fc.constant({ frameBlocks: 1, position: 0 });
const place = fc.record({
  packId: fc.constantFrom("00".repeat(16), "11".repeat(16), "ff".repeat(16)),
  frameNumber: fc.integer({ min: 0, max: 0xffff_fffe }),
  offsetBytes: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  storedBytes: fc.integer({ min: 17, max: 4 * 1024 * 1024 }),
  encoding: fc.constantFrom(1, 2),
  hash: fc.uint8Array({ minLength: 16, maxLength: 16 }),
});
const entryOf = (share: fc.Arbitrary<{ frameBlocks: number; position: number }>) =>
  fc.tuple(place, share).map(([at, within]): BlockEntry => ({ ...at, ...within }));

it("decodes every leaf that it encodes", () => {
  const entry = fc
    .constantFrom(alone, frameShare)
    .chain((share) => fc.constant(fc.option(entryOf(share), { nil: undefined })));
  const leaf = entry
    .chain((each) => fc.array(each, { maxLength: 1024, size: "max" }))
    .map((entries) => Array.from({ length: 1024 }, (_, block) => entries[block]));
  fc.assert(
    fc.property(leaf, (entries) => {
      const decoded = decodeLeaf(encodeLeaf(entries));
      const plain = decoded.map((each) => each && { ...each, hash: Uint8Array.from(each.hash) });
      expect(plain).toEqual(entries);
    }),
    { numRuns: 20 },
  );
});

it("decodes every root that it encodes", () => {
  const id = fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .map((id) => Buffer.from(id).toString("hex"));
  const size = fc.integer({ min: 0, max: 2 ** 48 - 1 });
  const root = fc
    .record({
      indexes: fc.uniqueArray(id, { minLength: 1, maxLength: 4 }),
      packs: fc.uniqueArray(fc.tuple(id, size, size), { selector: ([each]) => each, maxLength: 6 }),
      leaves: fc.array(fc.option(fc.tuple(fc.nat(), fc.nat(0xffff), size, fc.nat(65_536)))),
    })
    .map(({ indexes, packs, leaves }) => ({
      indexes: new Map(
        indexes.map((each) => [each, { keyNumber: 0, objectBytes: 7, immutableUntilDay: 9 }]),
      ),
      packs: new Map(
        packs.map(([each, objectBytes, liveBytes]) => [
          each,
          { keyNumber: 1, objectBytes, liveBytes, immutableUntilDay: 3 },
        ]),
      ),
      leaves: leaves.map((leaf) => {
        if (leaf === null) return undefined;
        const [index, frameNumber, offsetBytes, storedBytes] = leaf;
        const indexId = indexes[index % indexes.length]!;
        return { indexId, frameNumber, offsetBytes, storedBytes };
      }),
    }));
  fc.assert(
    fc.property(root, (each) => {
      const bytes = encodeRoot({ ...each, leaves: LeafTable.from(each.leaves) });
      const decoded = decodeRoot(bytes, each.leaves.length, 2);
      expect({ ...decoded, leaves: [...decoded.leaves] }).toEqual(each);
      const stored = each.leaves.flatMap((leaf, number) => (leaf === undefined ? [] : [number]));
      expect([...decoded.leaves.stored()]).toEqual(stored);
    }),
    { numRuns: 50 },
  );
});
