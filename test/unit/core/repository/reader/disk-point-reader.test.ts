import { beforeAll, expect, it } from "vitest";
import { HoldfastError } from "#core/lib/errors.ts";
import type { BlobStore } from "#core/ports/blob-store.ts";
import {
  DiskPointReader,
  type DiskPointReference,
  type Repository,
} from "#core/repository/index.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { TestDisk, backUp, newRepository, seededRandom, signal } from "../fixtures.ts";

const MIB = 1024 * 1024;
const DISK_BYTES = 8 * MIB;

/** Counts reads of packs and can hold them back. */
class WatchedStore extends MemoryStore {
  packReads = 0;
  leafReads = 0;
  aborted = 0;
  gate: Promise<void> = Promise.resolve();

  override async read(...call: Parameters<BlobStore["read"]>) {
    const [name, , inner] = call;
    if (name.includes("/indexes/")) this.leafReads++;
    if (!name.includes("/packs/")) return super.read(...call);
    this.packReads++;
    inner.addEventListener("abort", () => this.aborted++);
    await this.gate;
    return super.read(...call);
  }
}

let store: WatchedStore;
let repository: Repository;
let reference: DiskPointReference;
const disk = new TestDisk(DISK_BYTES);

/** One pack for the whole disk, so that a piece is one request. */
beforeAll(async () => {
  store = new WatchedStore();
  repository = await newRepository(store);
  // Repeats itself, but neither within a block nor at the same place of two pieces.
  disk.write(0, Buffer.alloc(DISK_BYTES, seededRandom("content")(65_537)));
  const limits = { maxReadBytes: MIB, windowBytes: MIB, packBytes: 16 * MIB };
  const options = { limits, blockBytes: 64 * 1024 };
  ({ reference } = await backUp(repository, disk, "p1", disk.full(), options));
});

/** Reads some bytes of a piece (1 MiB); 0 = they are what the disk holds there. */
async function openDisk(options: { readAheadPieces?: number } = { readAheadPieces: 0 }) {
  store.beforeOperation = () => undefined;
  const reader = await DiskPointReader.open(repository, reference, signal, options);
  Object.assign(store, { packReads: 0, leafReads: 0, aborted: 0, gate: Promise.resolve() });
  return async (number: number, inner = signal): Promise<number> => {
    const range = { offsetBytes: number * MIB + 100, lengthBytes: 5000 };
    const bytes = await reader.read(range, inner);
    return Buffer.compare(bytes, disk.bytes.subarray(range.offsetBytes, range.offsetBytes + 5000));
  };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

it("reads what it has in its cache without a request", async () => {
  const piece = await openDisk();
  for (const number of [0, 3, 0, 3, 0]) expect(await piece(number)).toBe(0);
  expect(store.packReads).toBe(2);
  expect(store.leafReads).toBe(1);
});

it("has the next pieces of a sequential read before they are asked for", async () => {
  const piece = await openDisk({ readAheadPieces: 2 });
  expect(await piece(0)).toBe(0);
  expect(await piece(1)).toBe(0);
  await settle();
  expect(store.packReads).toBe(4);
  store.beforeOperation = (operation) => {
    if (operation === "read") throw new HoldfastError("ServerBusy", "no request was expected");
  };
  expect(await piece(2)).toBe(0);
  expect(await piece(3)).toBe(0);
});

it("reads nothing ahead of reads that jump", async () => {
  const piece = await openDisk({ readAheadPieces: 2 });
  for (const number of [0, 4, 2, 6]) expect(await piece(number)).toBe(0);
  await settle();
  expect(store.packReads).toBe(4);
});

it("makes one request for two calls, and finishes it for one when the other is aborted", async () => {
  const piece = await openDisk();
  const { promise, resolve } = Promise.withResolvers<void>();
  store.gate = promise;
  const first = new AbortController();
  const aborted = piece(5, first.signal);
  const other = piece(5);
  await settle();
  first.abort(new Error("the first call gave up"));
  await expect(aborted).rejects.toThrow("the first call gave up");
  resolve();
  expect(await other).toBe(0);
  expect(store.packReads).toBe(1);
  expect(store.aborted).toBe(0);
});

it("stops the request when every call that needs it is aborted", async () => {
  const piece = await openDisk();
  store.gate = new Promise(() => undefined);
  const stop = new AbortController();
  const calls = [piece(5, stop.signal), piece(5, stop.signal)];
  await settle();
  stop.abort(new Error("all gave up"));
  for (const call of calls) await expect(call).rejects.toThrow("all gave up");
  expect(store.aborted).toBe(1);
});
