import { assert } from "../../lib/assert.ts";
import { HoldfastError, codeOf } from "../../lib/errors.ts";
import type { DiskRange } from "../../ports/disk-data.ts";
import { BlockMap, asDamage, type BlockSource } from "../block-map.ts";
import { inlineBlockCodec, type BlockCodec, type BlockToDecode } from "../codec/block-codec.ts";
import { giveBack } from "../codec/give-back.ts";
import { readReferencedDiskPoint, type DiskPoint } from "../disk-points.ts";
import { LEAF_BLOCKS, damaged, objectNames } from "../format/layout.ts";
import type { Leaf } from "../format/leaf.ts";
import { frameKeyOf, hashKeyOf } from "../format/keys.ts";
import type { DiskPointManifest, DiskPointReference } from "../format/manifests.ts";
import type { Repository } from "../repository.ts";
import { blockCountOf, blockLengthBytes } from "../writer/plan-runs.ts";
import { groupByPlace, type PlacedEntry } from "./group-by-place.ts";
import { PromiseCache } from "./promise-cache.ts";

export interface DiskPointReaderOptions {
  readonly codec?: BlockCodec;
  /** Bound on decoded content that is kept. Default 32 MiB. */
  readonly cacheBytes?: number;
  /** Pieces of 1 MiB that are fetched ahead of sequential reads. Default 2. */
  readonly readAheadPieces?: number;
}

const MIB = 1024 * 1024;
const PIECE_BYTES = MIB;
const DEFAULT_CACHE_BYTES = 32 * MIB;
const DEFAULT_READ_AHEAD_PIECES = 2;
/** A decoded leaf takes about 200 KiB. */
const CACHED_LEAVES = 32;

/**
 * Random access to the content of one committed point. Every block is verified (tag, length, keyed
 * hash) before a byte of it is returned; a bad one throws `RepositoryDamaged` naming it. Calls may
 * run concurrently; one that is aborted harms no other. Memory: cache + leaves (about 8 MiB) + what the calls under way return.
 */
export class DiskPointReader {
  readonly manifest: DiskPointManifest;
  readonly #source: BlockSource;
  readonly #map: BlockMap;
  readonly #codec: BlockCodec;
  readonly #leaves = new PromiseCache<Leaf | undefined>(CACHED_LEAVES);
  readonly #pieces: PromiseCache<Uint8Array>;
  readonly #pieceBytes: number;
  readonly #readAheadPieces: number;
  #lastPiece = -2;

  private constructor(source: BlockSource, map: BlockMap, options: DiskPointReaderOptions) {
    this.#source = source;
    this.#map = map;
    this.manifest = map.point.manifest;
    this.#codec = options.codec ?? inlineBlockCodec;
    this.#pieceBytes = Math.max(PIECE_BYTES, this.manifest.blockBytes);
    const cacheBytes = options.cacheBytes ?? DEFAULT_CACHE_BYTES;
    this.#pieces = new PromiseCache(Math.max(1, Math.floor(cacheBytes / this.#pieceBytes)));
    this.#readAheadPieces = options.readAheadPieces ?? DEFAULT_READ_AHEAD_PIECES;
  }

  /** Throws `DiskPointNotFound` or `RepositoryDamaged`. */
  static async open(
    repository: Repository,
    reference: DiskPointReference,
    signal: AbortSignal,
    options: DiskPointReaderOptions = {},
  ): Promise<DiskPointReader> {
    const point = await readReferencedDiskPoint(repository, reference, signal);
    return DiskPointReader.openIn(repository, point, signal, options);
  }

  /** As `open`, of a point whose manifest was read elsewhere. */
  static async openIn(
    source: BlockSource,
    point: DiskPoint,
    signal: AbortSignal,
    options: DiskPointReaderOptions = {},
  ): Promise<DiskPointReader> {
    return new DiskPointReader(source, await BlockMap.open(source, point, signal), options);
  }

  get sizeBytes(): number {
    return this.manifest.sizeBytes;
  }

  /** Any range inside the disk, through cache and read-ahead. */
  async read(range: DiskRange, signal: AbortSignal): Promise<Uint8Array> {
    this.#requireInside(range);
    const out = new Uint8Array(range.lengthBytes);
    const endBytes = range.offsetBytes + range.lengthBytes;
    const firstPiece = Math.floor(range.offsetBytes / this.#pieceBytes);
    const lastPiece = Math.floor((endBytes - 1) / this.#pieceBytes);
    if (firstPiece === this.#lastPiece || firstPiece === this.#lastPiece + 1) {
      this.#readAhead(lastPiece, signal);
    }
    this.#lastPiece = lastPiece;
    for (let piece = firstPiece; piece <= lastPiece; piece++) {
      const bytes = await this.#piece(piece, signal);
      const pieceStart = piece * this.#pieceBytes;
      const from = Math.max(range.offsetBytes, pieceStart);
      const to = Math.min(endBytes, pieceStart + bytes.length);
      out.set(bytes.subarray(from - pieceStart, to - pieceStart), from - range.offsetBytes);
    }
    return out;
  }

  /**
   * Whole blocks without the cache, for restores.
   * @param range starts at a block boundary and ends at one or at the end of the disk
   */
  async readBlocks(range: DiskRange, signal: AbortSignal): Promise<Uint8Array> {
    this.#requireInside(range);
    const { blockBytes } = this.manifest;
    assert(range.offsetBytes % blockBytes === 0, "a block range starts inside a block");
    const groups = groupByPlace(await this.#entriesOf(range, signal));
    const whole = groups.length === 1 ? groups[0] : undefined;
    if (whole !== undefined && this.#isAllOf(range, whole)) return this.#fetch(whole, signal);
    const out = new Uint8Array(range.lengthBytes);
    await Promise.all(
      groups.map(async (group) => {
        const raw = await this.#fetch(group, signal);
        let at = 0;
        for (const { block } of group) {
          const lengthBytes = blockLengthBytes(this.manifest, block);
          const target = block * blockBytes - range.offsetBytes;
          assert(target + lengthBytes <= out.length, "a block range ends inside a block");
          out.set(raw.subarray(at, at + lengthBytes), target);
          at += lengthBytes;
        }
        giveBack(raw);
      }),
    );
    return out;
  }

  /**
   * Ranges of blocks that are not zero, ascending, joined inside each leaf of 1,024 blocks.
   * @param fromBytes blocks that end before it are left out
   */
  async *extents(signal: AbortSignal, fromBytes = 0): AsyncGenerator<DiskRange> {
    const { blockBytes, sizeBytes } = this.manifest;
    const fromBlock = Math.floor(fromBytes / blockBytes);
    const firstLeaf = Math.floor(fromBlock / LEAF_BLOCKS);
    for (let leafNumber = firstLeaf; leafNumber < this.#map.root.leaves.length; leafNumber++) {
      if (!this.#map.root.leaves.has(leafNumber)) continue;
      const leaf = (await this.#leaf(leafNumber, signal)) ?? [];
      let start: number | undefined;
      const first = leafNumber === firstLeaf ? fromBlock % LEAF_BLOCKS : 0;
      for (let position = first; position <= LEAF_BLOCKS; position++) {
        const isStored = leaf[position] !== undefined;
        if (isStored) start ??= position;
        if (isStored || start === undefined) continue;
        const offsetBytes = (leafNumber * LEAF_BLOCKS + start) * blockBytes;
        const endBytes = Math.min((leafNumber * LEAF_BLOCKS + position) * blockBytes, sizeBytes);
        yield { offsetBytes, lengthBytes: endBytes - offsetBytes };
        start = undefined;
      }
    }
  }

  /** The usual case: what is decoded needs no other place. */
  #isAllOf(range: DiskRange, group: readonly PlacedEntry[]): boolean {
    const { blockBytes } = this.manifest;
    const firstBlock = range.offsetBytes / blockBytes;
    return (
      group.length === Math.ceil(range.lengthBytes / blockBytes) &&
      group.every(({ block }, position) => block === firstBlock + position)
    );
  }

  #requireInside({ offsetBytes, lengthBytes }: DiskRange): void {
    const isInside =
      Number.isSafeInteger(offsetBytes) &&
      Number.isSafeInteger(lengthBytes) &&
      offsetBytes >= 0 &&
      lengthBytes > 0 &&
      offsetBytes + lengthBytes <= this.sizeBytes;
    if (isInside) return;
    throw new HoldfastError(
      "OutsideOfDisk",
      `The range at ${offsetBytes} of ${lengthBytes} bytes is not inside the disk of ${this.sizeBytes} bytes.`,
    );
  }

  #readAhead(lastPiece: number, signal: AbortSignal): void {
    const pieceCount = Math.ceil(this.sizeBytes / this.#pieceBytes);
    const end = Math.min(lastPiece + 1 + this.#readAheadPieces, pieceCount);
    for (let piece = lastPiece + 1; piece < end; piece++) {
      if (this.#pieces.has(piece)) continue;
      // A failure shows when the piece is really asked for: failed loads are not kept.
      this.#piece(piece, signal).catch(() => undefined);
    }
  }

  async #piece(piece: number, signal: AbortSignal): Promise<Uint8Array> {
    const offsetBytes = piece * this.#pieceBytes;
    const lengthBytes = Math.min(this.#pieceBytes, this.sizeBytes - offsetBytes);
    const load = (inner: AbortSignal) => this.readBlocks({ offsetBytes, lengthBytes }, inner);
    return this.#pieces.get(piece, load, signal);
  }

  async #leaf(leafNumber: number, signal: AbortSignal): Promise<Leaf | undefined> {
    const load = (inner: AbortSignal) => this.#map.readLeaf(leafNumber, inner);
    return this.#leaves.get(leafNumber, load, signal);
  }

  async #entriesOf(range: DiskRange, signal: AbortSignal): Promise<PlacedEntry[]> {
    const { blockBytes } = this.manifest;
    const firstBlock = range.offsetBytes / blockBytes;
    const endBytes = range.offsetBytes + range.lengthBytes;
    const endBlock = Math.min(Math.ceil(endBytes / blockBytes), blockCountOf(this.manifest));
    const entries: PlacedEntry[] = [];
    let leaf: Leaf | undefined;
    for (let block = firstBlock; block < endBlock; block++) {
      const position = block % LEAF_BLOCKS;
      if (block === firstBlock || position === 0) {
        leaf = await this.#leaf(Math.floor(block / LEAF_BLOCKS), signal);
      }
      const entry = leaf?.[position];
      if (entry !== undefined) entries.push({ ...entry, block });
    }
    return entries;
  }

  async #fetch(group: readonly PlacedEntry[], signal: AbortSignal): Promise<Uint8Array> {
    const first = group[0];
    const last = group.at(-1);
    assert(first !== undefined && last !== undefined, "a fetch without blocks");
    const name = objectNames.pack(this.manifest.diskId, first.packId);
    const startBytes = first.offsetBytes;
    const range = {
      offsetBytes: startBytes,
      lengthBytes: last.offsetBytes + last.storedBytes - startBytes,
    };
    const context = { diskId: this.manifest.diskId, name, firstBlock: first.block };
    const { key } = this.#map.dataKeyOf(first);
    const packId = Buffer.from(first.packId, "hex");
    const keys = { packId, frameKey: frameKeyOf(key, packId), hashKey: hashKeyOf(key) };
    const blocks = group.map((entry): BlockToDecode => ({
      ...entry,
      ...keys,
      offsetBytes: entry.offsetBytes - startBytes,
      rawBytes: blockLengthBytes(this.manifest, entry.block),
    }));
    try {
      const bytes = await this.#source.store.read(name, range, signal);
      return await this.#codec.decode({ bytes, blocks }, signal);
    } catch (cause) {
      const error = asDamage(cause, "a pack is missing or cut", name);
      if (codeOf(error) !== "RepositoryDamaged") throw error;
      throw damaged("blocks of a pack cannot be read", context, error);
    }
  }
}
