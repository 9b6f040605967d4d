import { expect, it } from "vitest";
import { HoldfastError, codeOf } from "#core/lib/errors.ts";
import type { BlobStore, StoredBlob } from "#core/ports/blob-store.ts";

const signal = new AbortController().signal;
const bytes = (...values: number[]) => Uint8Array.from(values);

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "no failure",
    (error: unknown) => codeOf(error),
  );
}

async function* partsOf(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts;
}

async function listAll(store: BlobStore, prefix: string): Promise<StoredBlob[]> {
  const found: StoredBlob[] = [];
  for await (const blob of store.list(prefix, signal)) found.push(blob);
  return found;
}

/** Obligations of every `BlobStore`. @param make a store that is empty */
export function blobStoreContract(make: () => Promise<BlobStore>): void {
  it("creates an object once and leaves the bytes of the first", async () => {
    const store = await make();
    expect(await store.create("a/b.pack", bytes(1, 2, 3), signal)).toBe("created");
    expect(await store.create("a/b.pack", bytes(9), signal)).toBe("exists");
    expect([...(await store.read("a/b.pack", undefined, signal))]).toEqual([1, 2, 3]);
  });

  it("lets exactly one of many concurrent creators win, with its bytes whole", async () => {
    const store = await make();
    const bodies = Array.from({ length: 8 }, (_, writer) => new Uint8Array(50_000).fill(writer));
    const outcomes = await Promise.all(bodies.map((body) => store.create("one", body, signal)));
    expect(outcomes.filter((outcome) => outcome === "created")).toHaveLength(1);
    const winner = bodies[outcomes.indexOf("created")];
    expect(Buffer.from(await store.read("one", undefined, signal)).equals(winner!)).toBe(true);
  });

  it("reads exactly the range that is asked for", async () => {
    const store = await make();
    await store.create("x", bytes(0, 1, 2, 3, 4, 5, 6, 7), signal);
    const part = await store.read("x", { offsetBytes: 2, lengthBytes: 3 }, signal);
    expect([...part]).toEqual([2, 3, 4]);
    const tail = await store.read("x", { offsetBytes: 7, lengthBytes: 1 }, signal);
    expect([...tail]).toEqual([7]);
  });

  it("tells a missing object from one that is too short", async () => {
    const store = await make();
    await store.create("x", bytes(1, 2), signal);
    expect(await failure(store.read("none", undefined, signal))).toBe("BlobNotFound");
    const range = { offsetBytes: 0, lengthBytes: 1 };
    expect(await failure(store.read("none", range, signal))).toBe("BlobNotFound");
    const over = { offsetBytes: 1, lengthBytes: 2 };
    expect(await failure(store.read("x", over, signal))).toBe("BlobTooShort");
    const beyond = { offsetBytes: 100, lengthBytes: 1 };
    expect(await failure(store.read("x", beyond, signal))).toBe("BlobTooShort");
  });

  it("lists by prefix, ascending by name, with sizes", async () => {
    const store = await make();
    for (const name of ["b/2", "b/10", "a/1", "b/x/y", "bb"]) {
      await store.create(name, new Uint8Array(name.length), signal);
    }
    const found = await listAll(store, "b/");
    expect(found.map(({ name }) => name)).toEqual(["b/10", "b/2", "b/x/y"]);
    expect(found.map(({ sizeBytes }) => sizeBytes)).toEqual([4, 3, 5]);
    expect(found.every(({ modifiedAt }) => modifiedAt instanceof Date)).toBe(true);
    expect((await listAll(store, "b/1")).map(({ name }) => name)).toEqual(["b/10"]);
    expect(await listAll(store, "none/")).toEqual([]);
    expect(await listAll(store, "")).toHaveLength(5);
  });

  it("deletes what is there and tolerates what is not", async () => {
    const store = await make();
    await store.create("x", bytes(1), signal);
    await store.delete("x", signal);
    await store.delete("x", signal);
    expect(await failure(store.read("x", undefined, signal))).toBe("BlobNotFound");
    expect(await store.create("x", bytes(2), signal)).toBe("created");
  });

  it("holds empty and larger objects", async () => {
    const store = await make();
    const large = new Uint8Array(9 * 1024 * 1024).map((_, position) => position % 251);
    await store.create("empty", bytes(), signal);
    await store.create("large", large, signal);
    expect(await store.read("empty", undefined, signal)).toHaveLength(0);
    expect(Buffer.from(await store.read("large", undefined, signal)).equals(large)).toBe(true);
  });

  it("creates a large object from parts, once, and leaves the bytes of the first", async () => {
    const store = await make();
    const first = Array.from({ length: 9 }, (_, part) => new Uint8Array(70_000 + part).fill(part));
    expect(await store.createFromParts("a/big", partsOf(first), signal)).toBe("created");
    expect(await store.createFromParts("a/big", partsOf([bytes(1)]), signal)).toBe("exists");
    expect(await store.create("a/big", bytes(1), signal)).toBe("exists");
    const read = Buffer.from(await store.read("a/big", undefined, signal));
    expect(read.equals(Buffer.concat(first))).toBe(true);
    expect(await listAll(store, "a/")).toMatchObject([{ sizeBytes: read.length }]);
  });

  it("creates nothing when the parts fail, and something at the next try", async () => {
    const store = await make();
    async function* failing() {
      yield new Uint8Array(1000);
      throw new HoldfastError("SourceLost", "no more parts");
    }
    expect(await failure(store.createFromParts("x", failing(), signal))).toBe("SourceLost");
    expect(await listAll(store, "")).toEqual([]);
    expect(await store.createFromParts("x", partsOf([bytes(1), bytes(2)]), signal)).toBe("created");
    expect([...(await store.read("x", undefined, signal))]).toEqual([1, 2]);
  });

  it("lets exactly one of many concurrent creators from parts win, unmixed", async () => {
    const store = await make();
    const bodies = Array.from({ length: 4 }, (_, writer) =>
      Array.from({ length: 3 }, () => new Uint8Array(5000).fill(writer)),
    );
    const outcomes = await Promise.all(
      bodies.map((body) => store.createFromParts("one", partsOf(body), signal)),
    );
    expect(outcomes.filter((outcome) => outcome === "created")).toHaveLength(1);
    const winner = Buffer.concat(bodies[outcomes.indexOf("created")] ?? []);
    expect(Buffer.from(await store.read("one", undefined, signal)).equals(winner)).toBe(true);
  });

  it("stops when the signal is aborted", async () => {
    const store = await make();
    const aborted = AbortSignal.abort();
    expect(await failure(store.create("x", bytes(1), aborted))).not.toBe("no failure");
    expect(await failure(store.read("x", undefined, aborted))).not.toBe("no failure");
    expect(await listAll(store, "")).toEqual([]);
  });
}
