import { expect, it } from "vitest";
import { HoldfastError, codeOf } from "#core/lib/errors.ts";
import type { BlobStore, StoredBlob } from "#core/ports/blob-store.ts";

const signal = new AbortController().signal;
const whole = { maxBytes: 2 ** 30 };
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

/** An empty store, and the clock that it goes by. */
export interface StoreUnderTest {
  readonly store: BlobStore;
  readonly now: () => Date;
  readonly passTime: (seconds: number) => Promise<void>;
}

/** Obligations of every `BlobStore`. */
export function blobStoreContract(makeStore: () => Promise<StoreUnderTest>): void {
  const make = async (): Promise<BlobStore> => (await makeStore()).store;
  objects(make);
  locks(make);
  immutability(makeStore);
  archive(makeStore);
}

function objects(make: () => Promise<BlobStore>): void {
  it("creates an object once and leaves the bytes of the first", async () => {
    const store = await make();
    expect(await store.create("a/b.pack", bytes(1, 2, 3), signal)).toBe("created");
    expect(await store.create("a/b.pack", bytes(9), signal)).toBe("exists");
    expect([...(await store.read("a/b.pack", whole, signal))]).toEqual([1, 2, 3]);
  });

  it("lets exactly one of many concurrent creators win, with its bytes whole", async () => {
    const store = await make();
    const bodies = Array.from({ length: 8 }, (_, writer) => new Uint8Array(50_000).fill(writer));
    const outcomes = await Promise.all(bodies.map((body) => store.create("one", body, signal)));
    expect(outcomes.filter((outcome) => outcome === "created")).toHaveLength(1);
    const winner = bodies[outcomes.indexOf("created")];
    expect(Buffer.from(await store.read("one", whole, signal)).equals(winner!)).toBe(true);
  });

  it("reads exactly the range that is asked for", async () => {
    const store = await make();
    await store.create("x", bytes(0, 1, 2, 3, 4, 5, 6, 7), signal);
    const part = await store.read("x", { offsetBytes: 2, lengthBytes: 3 }, signal);
    expect([...part]).toEqual([2, 3, 4]);
    const tail = await store.read("x", { offsetBytes: 7, lengthBytes: 1 }, signal);
    expect([...tail]).toEqual([7]);
  });

  it("reads a whole object up to the bound that is asked for, and refuses a larger one", async () => {
    const store = await make();
    await store.create("x", new Uint8Array(300_000).fill(7), signal);
    expect(await store.read("x", { maxBytes: 300_000 }, signal)).toHaveLength(300_000);
    expect(await failure(store.read("x", { maxBytes: 299_999 }, signal))).toBe("BlobTooLarge");
    expect(await failure(store.read("none", { maxBytes: 1 }, signal))).toBe("BlobNotFound");
    await store.create("empty", new Uint8Array(), signal);
    expect(await store.read("empty", { maxBytes: 0 }, signal)).toHaveLength(0);
  });

  it("tells a missing object from one that is too short", async () => {
    const store = await make();
    await store.create("x", bytes(1, 2), signal);
    expect(await failure(store.read("none", whole, signal))).toBe("BlobNotFound");
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
    expect(await store.delete("x", signal)).toBe("deleted");
    expect(await store.delete("x", signal)).toBe("absent");
    expect(await failure(store.read("x", whole, signal))).toBe("BlobNotFound");
    expect(await store.create("x", bytes(2), signal)).toBe("created");
  });

  it("holds empty and larger objects", async () => {
    const store = await make();
    const large = new Uint8Array(9 * 1024 * 1024).map((_, position) => position % 251);
    await store.create("empty", bytes(), signal);
    await store.create("large", large, signal);
    expect(await store.read("empty", whole, signal)).toHaveLength(0);
    expect(Buffer.from(await store.read("large", whole, signal)).equals(large)).toBe(true);
  });

  it("creates a large object from parts, once, and leaves the bytes of the first", async () => {
    const store = await make();
    const first = Array.from({ length: 9 }, (_, part) => new Uint8Array(70_000 + part).fill(part));
    expect(await store.createFromParts("a/big", partsOf(first), signal)).toBe("created");
    expect(await store.createFromParts("a/big", partsOf([bytes(1)]), signal)).toBe("exists");
    expect(await store.create("a/big", bytes(1), signal)).toBe("exists");
    const read = Buffer.from(await store.read("a/big", whole, signal));
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
    expect([...(await store.read("x", whole, signal))]).toEqual([1, 2]);
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
    expect(Buffer.from(await store.read("one", whole, signal)).equals(winner)).toBe(true);
  });

  it("reads the properties of one object, and tells when there is none", async () => {
    const store = await make();
    await store.create("a/x", bytes(1, 2, 3), signal);
    const found = await store.readProperties("a/x", signal);
    expect(found).toMatchObject({ name: "a/x", sizeBytes: 3 });
    expect(found?.rehydratingTo).toBeUndefined();
    expect(found?.immutableUntil).toBeUndefined();
    expect(await listAll(store, "")).toEqual([found]);
    for (const none of ["b", "a"]) {
      expect(await store.readProperties(none, signal)).toBeUndefined();
      expect(await failure(store.read(none, whole, signal))).toBe("BlobNotFound");
      expect(await store.delete(none, signal)).toBe("absent");
    }
  });

  it("stops when the signal is aborted", async () => {
    const store = await make();
    const aborted = AbortSignal.abort();
    expect(await failure(store.create("x", bytes(1), aborted))).not.toBe("no failure");
    expect(await failure(store.read("x", whole, aborted))).not.toBe("no failure");
    expect(await listAll(store, "")).toEqual([]);
  });
}

function locks(make: () => Promise<BlobStore>): void {
  it("gives a lock to one of many, and to the next when it is released", async () => {
    const store = await make();
    const race = async () => {
      const asked = Array.from({ length: 6 }, () => store.lock("disks/d/lock", signal));
      const got = (await Promise.all(asked)).filter((lock) => lock !== undefined);
      expect(got).toHaveLength(1);
      return got[0];
    };
    const first = await race();
    expect(first?.lost.aborted).toBe(false);
    expect(await store.lock("disks/d/lock", signal)).toBeUndefined();
    const other = await store.lock("disks/e/lock", signal);
    expect(other).toBeDefined();
    await first?.release();
    const second = await race();
    // A release that comes late does not end the lock of another.
    await first?.release();
    expect(await store.lock("disks/d/lock", signal)).toBeUndefined();
    await second?.release();
    await other?.release();
  });

  it("shows nothing of a lock but an object of its name", async () => {
    const store = await make();
    await store.create("disks/d/lock.json", bytes(1), signal);
    const lock = await store.lock("disks/d/lock", signal);
    const shown = async () => {
      const names = (await listAll(store, "disks/")).map(({ name }) => name);
      return names.filter((name) => name !== "disks/d/lock");
    };
    expect(await shown()).toEqual(["disks/d/lock.json"]);
    await lock?.release();
    expect(await shown()).toEqual(["disks/d/lock.json"]);
  });
}

function immutability(makeStore: () => Promise<StoreUnderTest>): void {
  it("protects an object until its time has come, or says that it cannot", async () => {
    const { store, now, passTime } = await makeStore();
    const immutableUntil = new Date(now().getTime() + 3_600_000);
    const create = () => store.create("x", bytes(1), signal, { immutableUntil });
    if (!(await store.readCapabilities(signal)).immutability) {
      expect(await failure(create())).toBe("ImmutabilityNotSupported");
      expect(await store.readProperties("x", signal)).toBeUndefined();
      return;
    }
    expect(await create()).toBe("created");
    const shown = (await store.readProperties("x", signal))?.immutableUntil;
    expect(secondsBetween(immutableUntil, shown)).toBeGreaterThanOrEqual(0);
    expect(secondsBetween(immutableUntil, shown)).toBeLessThanOrEqual(1);
    expect((await listAll(store, ""))[0]?.immutableUntil).toEqual(shown);
    expect(await store.delete("x", signal)).toBe("immutable");
    expect(await store.create("x", bytes(2), signal)).toBe("exists");
    expect([...(await store.read("x", whole, signal))]).toEqual([1]);
    await passTime(3_602);
    expect(await store.delete("x", signal)).toBe("deleted");
    expect(await store.readProperties("x", signal)).toBeUndefined();
  });

  it("extends a protection, begins one later, and never shortens one", async () => {
    const { store, now, passTime } = await makeStore();
    const inHours = (count: number) => new Date(now().getTime() + count * 3_600_000);
    await store.create("x", bytes(1), signal);
    const extend = (name: string, hours: number) =>
      store.extendImmutability(name, inHours(hours), signal);
    if (!(await store.readCapabilities(signal)).immutability) {
      expect(await failure(extend("x", 1))).toBe("ImmutabilityNotSupported");
      return;
    }
    expect(await failure(extend("none", 1))).toBe("BlobNotFound");
    await extend("x", 2);
    await extend("x", 1);
    await passTime(1.5 * 3_600);
    expect(await store.delete("x", signal)).toBe("immutable");
    await extend("x", 1);
    await passTime(0.8 * 3_600);
    expect(await store.delete("x", signal)).toBe("immutable");
    await passTime(0.3 * 3_600);
    expect(await store.delete("x", signal)).toBe("deleted");
  });
}

function archive(makeStore: () => Promise<StoreUnderTest>): void {
  const online = { tier: "hot", priority: "high" } as const;

  it("retrieves an archived object by a copy that takes time, where there is an archive", async () => {
    const { store, passTime } = await makeStore();
    await store.create("cold", bytes(1, 2), signal, { tier: "archive" });
    const { archiveTier } = await store.readCapabilities(signal);
    const read = async (name: string) => [...(await store.read(name, whole, signal))];
    const tierOf = async (name: string) => (await store.readProperties(name, signal))?.tier;

    if (archiveTier) {
      expect(await failure(store.read("cold", whole, signal))).toBe("BlobArchived");
      expect(await tierOf("cold")).toBe("archive");
      expect(await store.create("cold", bytes(9), signal)).toBe("exists");
    } else {
      expect(await read("cold")).toEqual([1, 2]);
    }
    expect(await store.startRetrieval("cold", "warm", online, signal)).toBe("started");
    expect(await store.startRetrieval("cold", "warm", online, signal)).toBe("exists");
    if (archiveTier) {
      expect((await store.readProperties("warm", signal))?.rehydratingTo).toBe("hot");
      expect((await listAll(store, "warm"))[0]?.rehydratingTo).toBe("hot");
      expect(await failure(store.read("warm", whole, signal))).toBe("BlobArchived");
      const range = { offsetBytes: 0, lengthBytes: 1 };
      expect(await failure(store.read("warm", range, signal))).toBe("BlobArchived");
      await passTime(60);
      expect(await tierOf("cold")).toBe("archive");
      expect(await tierOf("warm")).toBe("hot");
    }
    expect(await read("warm")).toEqual([1, 2]);
    expect((await store.readProperties("warm", signal))?.rehydratingTo).toBeUndefined();
    expect(await store.startRetrieval("cold", "warm", online, signal)).toBe("exists");
    expect(await store.delete("cold", signal)).toBe("deleted");
    expect(await read("warm")).toEqual([1, 2]);
  });

  it("puts an object made of parts into the archive, and protects it", async () => {
    const { store, now, passTime } = await makeStore();
    const { archiveTier, immutability: canProtect } = await store.readCapabilities(signal);
    const immutableUntil = new Date(now().getTime() + 3_600_000);
    const options = { tier: "archive", ...(canProtect && { immutableUntil }) } as const;
    const parts = () => partsOf([bytes(1, 2), bytes(3)]);
    expect(await store.createFromParts("big", parts(), signal, options)).toBe("created");
    expect(await store.createFromParts("big", parts(), signal, options)).toBe("exists");
    if (canProtect) expect(await store.delete("big", signal)).toBe("immutable");
    if (!canProtect) {
      const refused = store.createFromParts("other", parts(), signal, { immutableUntil });
      expect(await failure(refused)).toBe("ImmutabilityNotSupported");
      expect(await store.readProperties("other", signal)).toBeUndefined();
    }
    if (archiveTier) {
      expect((await store.readProperties("big", signal))?.tier).toBe("archive");
      expect(await failure(store.read("big", whole, signal))).toBe("BlobArchived");
    }
    await store.startRetrieval("big", "warm", online, signal);
    await passTime(3_602);
    expect([...(await store.read("warm", whole, signal))]).toEqual([1, 2, 3]);
    expect(await store.delete("big", signal)).toBe("deleted");
  });

  it("retrieves nothing from an object that is not there", async () => {
    const { store } = await makeStore();
    expect(await failure(store.startRetrieval("none", "warm", online, signal))).toBe(
      "BlobNotFound",
    );
    expect(await store.readProperties("warm", signal)).toBeUndefined();
  });

  it("keeps an object in the tier that was asked for, where there are tiers", async () => {
    const { store } = await makeStore();
    await store.create("x", bytes(1), signal, { tier: "cool" });
    const { tier } = (await store.readProperties("x", signal)) ?? {};
    expect([undefined, "cool"]).toContain(tier);
    expect([...(await store.read("x", whole, signal))]).toEqual([1]);
  });
}

function secondsBetween(earlier: Date, later: Date | undefined): number {
  return ((later?.getTime() ?? NaN) - earlier.getTime()) / 1000;
}
