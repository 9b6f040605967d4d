/**
 * qcow2, version 3 (QEMU, docs/interop/qcow2.txt). A *cluster* is 64 KiB of the file or of the disk.
 * An L2 table of one cluster places 8,192 clusters (512 MiB) of the disk, the L1 table places the
 * L2 tables. Every cluster of the file is used once, so that all reference counts are 1.
 *
 * Order in the file: header, then data and L2 tables as they come, L1 table, reference counts. The
 * header is written last. Because writes ascend, one L2 table is in memory at a time: for 32 TiB
 * that is 64 KiB, and 512 KiB of L1.
 */
import { assert } from "#core/lib/assert.ts";
import {
  CLUSTER_BYTES,
  clustersWithContent,
  writeFully,
  type ImageFile,
  type ImageWriter,
} from "./image-writer.ts";

const CLUSTER_BITS = Math.log2(CLUSTER_BYTES);
const ENTRY_BYTES = 8;
const L2_ENTRIES = CLUSTER_BYTES / ENTRY_BYTES;
/** Bit 63 of an entry: its cluster is referred to once, and may be written in place. */
const COPIED = 1n << 63n;
/** Reference counts of 2^4 bits. */
const REFCOUNT_ORDER = 4;
const REFCOUNTS_PER_BLOCK = CLUSTER_BYTES / 2;
const HEADER_BYTES = 104;
const MAGIC = 0x514649fb;
const VERSION = 3;

interface L2Table {
  readonly number: number;
  readonly entries: Buffer;
}

interface RefcountPlace {
  readonly tableClusters: number;
  readonly blockCount: number;
  readonly firstCluster: number;
}

export class Qcow2ImageWriter implements ImageWriter {
  readonly #file: ImageFile;
  readonly #sizeBytes: number;
  readonly #l1: Buffer;
  #l2: L2Table | undefined;
  /** Cluster 0 is the header's. */
  #nextCluster = 1;

  constructor(file: ImageFile, sizeBytes: number) {
    assert(sizeBytes % 512 === 0, `a disk of ${sizeBytes} bytes is no multiple of a sector`);
    this.#file = file;
    this.#sizeBytes = sizeBytes;
    this.#l1 = Buffer.alloc(Math.ceil(sizeBytes / (L2_ENTRIES * CLUSTER_BYTES)) * ENTRY_BYTES);
  }

  async write(offsetBytes: number, bytes: Uint8Array): Promise<void> {
    assert(offsetBytes % CLUSTER_BYTES === 0, `a write begins inside a cluster, at ${offsetBytes}`);
    for (const run of clustersWithContent(bytes)) {
      const first = (offsetBytes + run.at) / CLUSTER_BYTES;
      const count = Math.ceil(run.bytes.length / CLUSTER_BYTES);
      // Every L2 table that this run begins is written before the run's own clusters are numbered.
      for (let done = 0; done < count;) {
        const number = Math.floor((first + done) / L2_ENTRIES);
        const room = (number + 1) * L2_ENTRIES - (first + done);
        const length = Math.min(room, count - done);
        const part = run.bytes.subarray(done * CLUSTER_BYTES, (done + length) * CLUSTER_BYTES);
        await this.#writeClusters(await this.#l2Table(number), first + done, part);
        done += length;
      }
    }
  }

  async finish(): Promise<void> {
    await this.#closeL2();
    const l1Clusters = Math.ceil(this.#l1.length / CLUSTER_BYTES);
    const l1Place = this.#allocate(l1Clusters) * CLUSTER_BYTES;
    await writeFully(this.#file, this.#l1, l1Place);
    const refcounts = placeRefcounts(this.#nextCluster);
    await this.#writeRefcounts(refcounts);
    const endCluster = refcounts.firstCluster + refcounts.tableClusters + refcounts.blockCount;
    await this.#file.truncate(endCluster * CLUSTER_BYTES);
    await writeFully(this.#file, this.#header(l1Place, refcounts), 0);
  }

  async #l2Table(number: number): Promise<L2Table> {
    if (this.#l2?.number === number) return this.#l2;
    assert(this.#l2 === undefined || this.#l2.number < number, "writes of an image must ascend");
    await this.#closeL2();
    this.#l2 = { number, entries: Buffer.alloc(CLUSTER_BYTES) };
    return this.#l2;
  }

  async #closeL2(): Promise<void> {
    if (this.#l2 === undefined) return;
    const { number, entries } = this.#l2;
    const cluster = this.#allocate(1);
    this.#l1.writeBigUInt64BE(entryOf(cluster), number * ENTRY_BYTES);
    await writeFully(this.#file, entries, cluster * CLUSTER_BYTES);
    this.#l2 = undefined;
  }

  /** @param first cluster of the disk; all lie in this table */
  async #writeClusters(table: L2Table, first: number, bytes: Uint8Array): Promise<void> {
    const count = Math.ceil(bytes.length / CLUSTER_BYTES);
    const cluster = this.#allocate(count);
    for (let index = 0; index < count; index++) {
      const at = ((first + index) % L2_ENTRIES) * ENTRY_BYTES;
      table.entries.writeBigUInt64BE(entryOf(cluster + index), at);
    }
    // The last cluster of the disk may be short: the file goes on behind it, with zeros.
    await writeFully(this.#file, bytes, cluster * CLUSTER_BYTES);
  }

  #allocate(count: number): number {
    const first = this.#nextCluster;
    this.#nextCluster += count;
    return first;
  }

  async #writeRefcounts({ tableClusters, blockCount, firstCluster }: RefcountPlace): Promise<void> {
    const table = Buffer.alloc(tableClusters * CLUSTER_BYTES);
    const firstBlock = firstCluster + tableClusters;
    const endCluster = firstBlock + blockCount;
    for (let number = 0; number < blockCount; number++) {
      const place = (firstBlock + number) * CLUSTER_BYTES;
      table.writeBigUInt64BE(BigInt(place), number * ENTRY_BYTES);
      const used = Math.min(REFCOUNTS_PER_BLOCK, endCluster - number * REFCOUNTS_PER_BLOCK);
      const block = Buffer.alloc(CLUSTER_BYTES);
      for (let index = 0; index < used; index++) block.writeUInt16BE(1, index * 2);
      await writeFully(this.#file, block, place);
    }
    await writeFully(this.#file, table, firstCluster * CLUSTER_BYTES);
  }

  #header(l1PlaceBytes: number, { firstCluster, tableClusters }: RefcountPlace): Buffer {
    // Behind the 104 bytes lies the end mark of the header's extensions: eight zeros.
    const header = Buffer.alloc(CLUSTER_BYTES);
    header.writeUInt32BE(MAGIC, 0);
    header.writeUInt32BE(VERSION, 4);
    header.writeUInt32BE(CLUSTER_BITS, 20);
    header.writeBigUInt64BE(BigInt(this.#sizeBytes), 24);
    header.writeUInt32BE(this.#l1.length / ENTRY_BYTES, 36);
    header.writeBigUInt64BE(BigInt(l1PlaceBytes), 40);
    header.writeBigUInt64BE(BigInt(firstCluster * CLUSTER_BYTES), 48);
    header.writeUInt32BE(tableClusters, 56);
    header.writeUInt32BE(REFCOUNT_ORDER, 96);
    header.writeUInt32BE(HEADER_BYTES, 100);
    return header;
  }
}

function entryOf(cluster: number): bigint {
  return COPIED | BigInt(cluster * CLUSTER_BYTES);
}

/** The reference counts count their own clusters too: more of them until all are counted. */
function placeRefcounts(firstCluster: number): RefcountPlace {
  let blockCount = 1;
  for (;;) {
    const tableClusters = Math.ceil(blockCount / L2_ENTRIES);
    const needed = Math.ceil((firstCluster + tableClusters + blockCount) / REFCOUNTS_PER_BLOCK);
    if (needed <= blockCount) return { tableClusters, blockCount, firstCluster };
    blockCount = needed;
  }
}
