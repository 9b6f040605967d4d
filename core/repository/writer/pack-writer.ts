/**
 * Fills packs and uploads them in the background. A run of blocks reserves frame numbers and room
 * in the open pack before it is encoded, so that sealing can happen on any thread; frames are
 * appended in the order in which runs finish.
 */
import { assert } from "../../lib/assert.ts";
import type { BlobStore } from "../../ports/blob-store.ts";
import type { BufferPool } from "../buffer-pool.ts";
import type { EncodedBlocks } from "../codec/block-codec.ts";
import { giveBack } from "../codec/give-back.ts";
import type { BlockEntry } from "../format/leaf.ts";
import { HEADER_BYTES, TAG_BYTES, objectNames } from "../format/layout.ts";
import { FRAME_PURPOSES } from "../format/frame.ts";
import { frameKeyOf } from "../format/keys.ts";
import {
  FOOTER_ENTRY_BYTES,
  containerOverheadBytes,
  encodeFooter,
  encodeHeader,
  type FooterEntry,
} from "../format/sealed-object.ts";
import { createOptionsOf, type Immutability } from "../immutability.ts";
import { newObjectId } from "./object-id.ts";

export interface DataKey {
  /** 32 hexadecimal digits. */
  readonly keyId: string;
  readonly key: Uint8Array;
}

export interface PackWriterOptions {
  readonly store: BlobStore;
  readonly diskId: string;
  readonly sequence: number;
  readonly dataKey: DataKey;
  readonly packBytes: number;
  readonly buffers: BufferPool;
  readonly random: (byteCount: number) => Uint8Array;
  readonly immutability: Immutability | undefined;
  readonly signal: AbortSignal;
  /** Called when a pack lies in the store. */
  readonly onStored: (packId: string, objectBytes: number) => void;
}

/** Room in one pack for one run. Must be given back by `append` or `cancel`. */
export interface PackReservation {
  readonly packId: Uint8Array;
  readonly frameKey: Uint8Array;
  readonly firstFrameNumber: number;
  append(firstBlock: number, encoded: EncodedBlocks): (BlockEntry | undefined)[];
  cancel(): void;
}

interface OpenPack {
  readonly id: Buffer;
  readonly idText: string;
  readonly frameKey: Buffer;
  readonly buffer: Buffer;
  readonly footer: FooterEntry[];
  usedBytes: number;
  reservedBytes: number;
  reservedFrames: number;
  nextFrameNumber: number;
  openReservations: number;
  isClosed: boolean;
}

export class PackWriter {
  readonly #options: PackWriterOptions;
  #open: OpenPack | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly #uploads = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(options: PackWriterOptions) {
    this.#options = options;
  }

  /** Waits for a free buffer when a new pack must begin. */
  async reserve(blockCount: number, rawBytes: number): Promise<PackReservation> {
    // One at a time: two runs must not both begin a new pack.
    const turn = this.#turn.then(() => this.#packWithRoom(blockCount, rawBytes));
    this.#turn = turn.catch(() => undefined);
    return this.#reservationIn(await turn, blockCount, rawBytes);
  }

  /** Seals and uploads what is left. All reservations must have been given back. */
  async finish(): Promise<void> {
    if (this.#open !== undefined) this.#close(this.#open);
    while (this.#uploads.size > 0) await Promise.all(this.#uploads);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** After a failure: waits until nothing uses a buffer any more and gives them back. */
  async abandon(): Promise<void> {
    await this.#turn;
    await Promise.all(this.#uploads);
    if (this.#open !== undefined) this.#options.buffers.release(this.#open.buffer);
    this.#open = undefined;
  }

  async #packWithRoom(blockCount: number, rawBytes: number): Promise<OpenPack> {
    if (this.#failure !== undefined) throw this.#failure.error;
    const neededBytes = rawBytes + blockCount * (TAG_BYTES + FOOTER_ENTRY_BYTES);
    if (this.#open !== undefined) {
      const pack = this.#open;
      const overhead = containerOverheadBytes(pack.footer.length + pack.reservedFrames);
      const needed = pack.usedBytes - HEADER_BYTES + pack.reservedBytes + overhead + neededBytes;
      if (needed <= pack.buffer.length) return this.#take(pack, blockCount, rawBytes);
      this.#close(pack);
    }
    const { packBytes, buffers, sequence, random, dataKey, signal } = this.#options;
    const buffer = await buffers.acquire(packBytes, signal);
    assert(
      neededBytes + containerOverheadBytes(0) <= packBytes,
      `a run of ${rawBytes} bytes does not fit into a pack of ${packBytes}`,
    );
    const id = newObjectId(sequence, random);
    encodeHeader("pack", id, Buffer.from(dataKey.keyId, "hex")).copy(buffer);
    this.#open = {
      id,
      idText: id.toString("hex"),
      frameKey: frameKeyOf(dataKey.key, id),
      buffer,
      footer: [],
      usedBytes: HEADER_BYTES,
      reservedBytes: 0,
      reservedFrames: 0,
      nextFrameNumber: 0,
      openReservations: 0,
      isClosed: false,
    };
    return this.#take(this.#open, blockCount, rawBytes);
  }

  #take(pack: OpenPack, blockCount: number, rawBytes: number): OpenPack {
    pack.reservedBytes += rawBytes + blockCount * TAG_BYTES;
    pack.reservedFrames += blockCount;
    pack.openReservations++;
    return pack;
  }

  #reservationIn(pack: OpenPack, blockCount: number, rawBytes: number): PackReservation {
    const firstFrameNumber = pack.nextFrameNumber;
    pack.nextFrameNumber += blockCount;
    let isOpen = true;
    const giveBack = (): void => {
      assert(isOpen, "a pack reservation was given back twice");
      isOpen = false;
      pack.reservedBytes -= rawBytes + blockCount * TAG_BYTES;
      pack.reservedFrames -= blockCount;
      pack.openReservations--;
      if (pack.isClosed && pack.openReservations === 0) this.#seal(pack);
    };
    return {
      packId: pack.id,
      frameKey: pack.frameKey,
      firstFrameNumber,
      append: (firstBlock, encoded) => {
        const entries = appendFrames(pack, firstBlock, encoded);
        giveBack();
        return entries;
      },
      cancel: () => {
        if (isOpen) giveBack();
      },
    };
  }

  #close(pack: OpenPack): void {
    pack.isClosed = true;
    this.#open = undefined;
    if (pack.openReservations === 0) this.#seal(pack);
  }

  #seal(pack: OpenPack): void {
    const { buffers, signal } = this.#options;
    if (pack.footer.length === 0 || signal.aborted) {
      buffers.release(pack.buffer);
      return;
    }
    const upload = this.#upload(pack)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        buffers.release(pack.buffer);
        this.#uploads.delete(upload);
      });
    this.#uploads.add(upload);
  }

  async #upload(pack: OpenPack): Promise<void> {
    const { store, diskId, immutability, signal, onStored } = this.#options;
    const footer = encodeFooter(pack.frameKey, pack.id, pack.footer);
    footer.copy(pack.buffer, pack.usedBytes);
    const body = pack.buffer.subarray(0, pack.usedBytes + footer.length);
    // "exists" can only be our own earlier try of the same request: the id has 96 random bits.
    const name = objectNames.pack(diskId, pack.idText);
    await store.create(name, body, signal, createOptionsOf(immutability));
    onStored(pack.idText, body.length);
  }
}

function appendFrames(
  pack: OpenPack,
  firstBlock: number,
  encoded: EncodedBlocks,
): (BlockEntry | undefined)[] {
  const startBytes = pack.usedBytes;
  pack.buffer.set(encoded.frames, startBytes);
  pack.usedBytes += encoded.frames.length;
  giveBack(encoded.frames);
  return encoded.blocks.map((block, index) => {
    if (block.kind !== "stored") return undefined;
    const { frameNumber, encoding, rawBytes, hash } = block;
    pack.footer.push({
      number: firstBlock + index,
      purpose: FRAME_PURPOSES.block,
      encoding,
      frameNumber,
      storedBytes: block.position === 0 ? block.storedBytes : 0,
      rawBytes,
      hash,
    });
    return {
      packId: pack.idText,
      frameNumber,
      offsetBytes: startBytes + block.offsetBytes,
      storedBytes: block.storedBytes,
      encoding,
      position: block.position,
      frameBlocks: block.frameBlocks,
      hash,
    };
  });
}
