import * as fc from "fast-check";
import { expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import { decodeFrames } from "#core/repository/index.ts";
import { decodeDescriptor } from "#core/repository/format/descriptor.ts";
import { openEnvelope } from "#core/repository/format/envelope.ts";
import { decodeKeySlot } from "#core/repository/format/key-slot.ts";
import { decodeLeaf, encodeLeaf, type BlockEntry } from "#core/repository/format/leaf.ts";
import { decodeRoot, encodeRoot } from "#core/repository/format/root.ts";
import {
  decodeFooter,
  decodeHeader,
  decodeTrailer,
} from "#core/repository/format/sealed-object.ts";
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
async function tryRestore(
  { store, reference, repository }: Awaited<ReturnType<typeof smallRepository>>,
  changedName = "repo.json",
) {
  try {
    // Opening costs a key derivation: only when what opening reads has changed.
    const isOpenedAgain = changedName === "repo.json" || changedName.startsWith("keys/");
    return await restore(isOpenedAgain ? await reopen(store) : repository, reference);
  } catch (error) {
    expect(error).toBeInstanceOf(HoldfastError);
    return undefined;
  }
}

it("never returns wrong bytes for a flipped bit in any object", async () => {
  const small = await smallRepository();
  let refusedCount = 0;
  for (const [name, object] of small.store.objects) {
    const original = object.bytes;
    for (let position = 0; position < original.length; position++) {
      // Every byte of the small objects, every 37th of the larger ones; the bit varies.
      if (original.length > 700 && position % 37 !== 0) continue;
      const bytes = Uint8Array.from(original);
      bytes[position]! ^= 1 << (position % 8);
      small.store.objects.set(name, { ...object, bytes });
      const restored = await tryRestore(small, name);
      if (restored === undefined) refusedCount++;
      else expect(restored.equals(small.disk.bytes)).toBe(true);
    }
    small.store.objects.set(name, object);
  }
  expect(refusedCount).toBeGreaterThan(1000);
}, 60_000);

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

const entry: fc.Arbitrary<BlockEntry> = fc.record({
  packId: fc.constantFrom("00".repeat(16), "11".repeat(16), "ff".repeat(16)),
  frameNumber: fc.integer({ min: 0, max: 0xffff_fffe }),
  offsetBytes: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  storedBytes: fc.integer({ min: 17, max: 4 * 1024 * 1024 }),
  encoding: fc.constantFrom(1, 2),
  hash: fc.uint8Array({ minLength: 16, maxLength: 16 }),
});

it("decodes every leaf that it encodes", () => {
  const leaf = fc
    .array(fc.option(entry, { nil: undefined }), { maxLength: 1024, size: "max" })
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
      expect(decodeRoot(encodeRoot(each), each.leaves.length, 2)).toEqual(each);
    }),
    { numRuns: 50 },
  );
});

it("answers random bytes in any decoder with a HoldfastError or a value, never a crash", () => {
  const key = { repositoryKeyId: "00".repeat(16), repositoryKey: new Uint8Array(32) };
  const id = Buffer.alloc(16);
  const decoders: ((bytes: Uint8Array) => unknown)[] = [
    (bytes) => decodeLeaf(bytes),
    (bytes) => decodeRoot(Buffer.from(bytes), 3, 1),
    (bytes) => decodeHeader("pack", bytes),
    (bytes) => decodeTrailer(bytes, id),
    (bytes) => decodeFooter(new Uint8Array(32), id, bytes),
    (bytes) => openEnvelope(key, "diskPoint", "x", bytes),
    (bytes) => decodeDescriptor(bytes),
    (bytes) => decodeKeySlot("x", bytes),
    (bytes) =>
      decodeFrames({
        bytes,
        frames: [
          {
            offsetBytes: 0,
            storedBytes: bytes.length,
            rawBytes: 4096,
            encoding: 2,
            frameNumber: 0,
            packId: id,
            frameKey: new Uint8Array(32),
            hashKey: new Uint8Array(32),
            hash: new Uint8Array(16),
          },
        ],
      }),
  ];
  const valid = Buffer.from(encodeLeaf(Array.from({ length: 1024 }, () => undefined)));
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ minLength: 16, maxLength: 64 }).map((tail) => Buffer.concat([valid, tail])),
    fc.nat(valid.length - 1).map((position) => {
      const edited = Buffer.from(valid);
      edited[position]! ^= 0x41;
      return edited;
    }),
    fc.string().map((text) => Buffer.from(text)),
    fc.json().map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(noise, (bytes) => {
      for (const decode of decoders) {
        try {
          decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
        }
      }
    }),
    { numRuns: 400 },
  );
});
