/** Collects sealed leaves into indexes of bounded size and writes the root behind the last one. */
import type { BlobStore } from "../../ports/blob-store.ts";
import { compress } from "../codec/zstd.ts";
import { ENCODINGS, FRAME_PURPOSES, sealFrame, type FramePurpose } from "../format/frame.ts";
import { frameKeyOf } from "../format/keys.ts";
import { HASH_BYTES, objectNames } from "../format/layout.ts";
import { encodeLeaf, type Leaf } from "../format/leaf.ts";
import type { DiskPointManifest } from "../format/manifests.ts";
import type { LeafReference } from "../format/leaf-table.ts";
import { encodeRoot, type IndexUse, type Root } from "../format/root.ts";
import {
  encodeFooterEntry,
  encodeHeader,
  sealFooter,
  type FooterEntry,
} from "../format/sealed-object.ts";
import { createOptionsOf, type Immutability } from "../immutability.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import { newObjectId } from "./object-id.ts";
import type { DataKey } from "./pack-writer.ts";

/** An index is written out at this size, so that the map of a huge disk never piles up in memory. */
const INDEX_TARGET_BYTES = 8 * 1024 * 1024;
const NO_HASH = Buffer.alloc(HASH_BYTES);

export type RootReference = NonNullable<DiskPointManifest["root"]>;

interface OpenIndex {
  readonly id: Buffer;
  readonly idText: string;
  readonly frameKey: Buffer;
  /** Header and frames. */
  readonly body: GrowingBuffer;
  readonly footer: GrowingBuffer;
  frameCount: number;
}

export interface IndexWriterOptions {
  readonly store: Pick<BlobStore, "create">;
  readonly diskId: string;
  readonly sequence: number;
  readonly dataKey: DataKey;
  readonly keyNumber: number;
  readonly random: (byteCount: number) => Uint8Array;
  readonly immutability: Immutability | undefined;
  readonly signal: AbortSignal;
}

export class IndexWriter {
  readonly #options: IndexWriterOptions;
  /** Indexes that this writer has begun; the open one still has size 0. */
  readonly indexes = new Map<string, IndexUse>();
  #open: OpenIndex | undefined;

  constructor(options: IndexWriterOptions) {
    this.#options = options;
  }

  async addLeaf(leafNumber: number, leaf: Leaf): Promise<LeafReference> {
    const content = encodeLeaf(leaf);
    const place = this.#append(FRAME_PURPOSES.leaf, leafNumber, ENCODINGS.raw, content, content);
    if (place.index.body.length >= INDEX_TARGET_BYTES) await this.flush();
    return { indexId: place.index.idText, ...place.reference };
  }

  /** Writes out the open index, so that every leaf added so far lies in an index of known size. */
  async flush(): Promise<void> {
    const index = this.#open;
    if (index === undefined) return;
    this.#open = undefined;
    const { store, diskId, keyNumber, immutability, signal } = this.#options;
    index.body.append(sealFooter(index.frameKey, index.id, index.footer.view()));
    const body = index.body.view();
    const name = objectNames.index(diskId, index.idText);
    await store.create(name, body, signal, createOptionsOf(immutability));
    this.indexes.set(index.idText, {
      keyNumber,
      objectBytes: body.length,
      immutableUntilDay: immutability?.untilDay ?? 0,
    });
  }

  /** Writes the root into an index of its own: its table can then name the sizes of all others. */
  async addRoot(root: Root): Promise<RootReference> {
    await this.flush();
    const index = this.#openIndex();
    const raw = encodeRoot(root);
    const { reference } = this.#append(FRAME_PURPOSES.root, 0, ENCODINGS.zstd, raw, compress(raw));
    await this.flush();
    const { keyNumber } = this.#options;
    return { indexId: index.idText, keyNumber, ...reference, rawBytes: raw.length };
  }

  #append(
    purpose: FramePurpose,
    number: number,
    encoding: FooterEntry["encoding"],
    raw: Uint8Array,
    content: Uint8Array,
  ) {
    const index = this.#openIndex();
    const frameNumber = index.frameCount++;
    const identity = { objectId: index.id, purpose, encoding, frameNumber, rawBytes: raw.length };
    const frame = sealFrame(index.frameKey, identity, content);
    const reference = { frameNumber, offsetBytes: index.body.length, storedBytes: frame.length };
    index.body.append(frame);
    const line = { number, purpose, encoding, frameNumber, hash: NO_HASH } as const;
    const lengths = { storedBytes: frame.length, rawBytes: raw.length };
    index.footer.append(encodeFooterEntry({ ...line, ...lengths }));
    return { index, reference };
  }

  #openIndex(): OpenIndex {
    if (this.#open !== undefined) return this.#open;
    const { sequence, random, dataKey, keyNumber } = this.#options;
    const id = newObjectId(sequence, random);
    const header = encodeHeader("index", id, Buffer.from(dataKey.keyId, "hex"));
    const frameKey = frameKeyOf(dataKey.key, id);
    const idText = id.toString("hex");
    const body = new GrowingBuffer();
    body.append(header);
    this.#open = { id, idText, frameKey, body, footer: new GrowingBuffer(), frameCount: 0 };
    this.indexes.set(idText, { keyNumber, objectBytes: 0, immutableUntilDay: 0 });
    return this.#open;
  }
}
