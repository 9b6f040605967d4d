import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import type { BlobStore } from "#core/ports/blob-store.ts";
import { BufferPool } from "#core/repository/buffer-pool.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { TestDisk, backUp, newRepository, restore, seededRandom } from "../fixtures.ts";

const BLOCK = 4096;
const PACK_BYTES = 64 * 1024;
/** Ends a wait that would only end with overlapped uploads; a healthy run never waits for it. */
const PATIENCE_MS = 3_000;

/** Holds every upload of a pack until `wanted` of them are under way, or all are that will come. */
class SlowStore extends MemoryStore {
  mostUnderWay = 0;
  readsAtFirstUpload: number | undefined;
  readsAtRelease: number | undefined;
  #underWay = 0;
  readonly #disk: TestDisk;
  readonly #wanted: number;
  readonly #enough = Promise.withResolvers<void>();

  constructor(disk: TestDisk, wanted: number) {
    super();
    this.#disk = disk;
    this.#wanted = wanted;
  }

  override async create(...call: Parameters<BlobStore["create"]>) {
    if (!call[0].includes("/packs/")) return super.create(...call);
    this.readsAtFirstUpload ??= this.#disk.reads.length;
    this.mostUnderWay = Math.max(this.mostUnderWay, ++this.#underWay);
    if (this.#underWay === this.#wanted) {
      this.readsAtRelease = this.#disk.reads.length;
      this.#enough.resolve();
    }
    await Promise.race([this.#enough.promise, sleep(PATIENCE_MS, undefined, { ref: false })]);
    this.#underWay--;
    return super.create(...call);
  }
}

it.each([
  { buffers: undefined, uploads: 3 },
  { buffers: new BufferPool(5 * PACK_BYTES), uploads: 5 },
])("has $uploads uploads under way, and reads on meanwhile", async ({ buffers, uploads }) => {
  const disk = new TestDisk(200 * BLOCK);
  disk.write(0, seededRandom("content")(200 * BLOCK));
  const store = new SlowStore(disk, uploads);
  const repository = await newRepository(store);
  const options = buffers === undefined ? {} : { buffers };
  const written = await backUp(repository, disk, "p1", disk.full(), options);
  // As many as there are buffers: the bound on memory is the bound on uploads.
  expect(store.mostUnderWay).toBe(uploads);
  expect(store.readsAtRelease).toBeGreaterThan(store.readsAtFirstUpload ?? Infinity);
  expect((await restore(repository, written.reference)).equals(disk.bytes)).toBe(true);
});
