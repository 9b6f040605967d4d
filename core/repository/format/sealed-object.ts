/**
 * Packs and indexes share one container, written once as a whole:
 *
 *     header (64 B) | frame ... | sealed footer | trailer (32 B)
 *
 * The footer names every frame, so that a lost block map can be rebuilt from packs alone and a
 * writer can take over what a dead predecessor had sealed.
 */
import {
  HASH_BYTES,
  HEADER_BYTES,
  ID_BYTES,
  MAGICS,
  MAX_FOOTER_BYTES,
  TAG_BYTES,
  requireIntact,
} from "./layout.ts";
import {
  ENCODINGS,
  FOOTER_FRAME_NUMBER,
  FRAME_PURPOSES,
  isEncoding,
  isFramePurpose,
  sealFrame,
  unsealFrame,
  type Encoding,
  type FramePurpose,
} from "./frame.ts";

export type SealedObjectKind = "pack" | "index";

/**
 * One line of the footer, for a block, a leaf or a root. Frames lie one after the other in this order,
 * starting at byte 64; blocks that share a frame have lines that follow each other.
 */
export interface FooterEntry {
  /** Block number in a pack, leaf number (or 0 for the root) in an index. */
  readonly number: number;
  readonly frameNumber: number;
  readonly purpose: FramePurpose;
  readonly encoding: Encoding;
  /** Of the frame, on the line of its first block; 0 on those of the others. */
  readonly storedBytes: number;
  /** Of the block. */
  readonly rawBytes: number;
  /** Keyed hash of the raw block; zeros in an index. */
  readonly hash: Uint8Array;
}

export const FOOTER_ENTRY_BYTES = 40;
export const TRAILER_BYTES = 32;

/** Bytes that the container adds around `frameCount` frames. */
export function containerOverheadBytes(frameCount: number): number {
  return HEADER_BYTES + frameCount * FOOTER_ENTRY_BYTES + TAG_BYTES + TRAILER_BYTES;
}

export function encodeHeader(
  kind: SealedObjectKind,
  objectId: Uint8Array,
  dataKeyId: Uint8Array,
): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGICS[kind], 0, "latin1");
  header.set(objectId, 8);
  header.set(dataKeyId, 8 + ID_BYTES);
  return header;
}

export function decodeHeader(
  kind: SealedObjectKind,
  bytes: Uint8Array,
): { readonly objectId: Buffer; readonly dataKeyId: Buffer } {
  requireIntact(bytes.length >= HEADER_BYTES, `the header of a ${kind} is too short`);
  const header = Buffer.from(bytes.subarray(0, HEADER_BYTES));
  requireIntact(header.toString("latin1", 0, 8) === MAGICS[kind], `this is no ${kind} of format 1`);
  requireIntact(
    header.subarray(8 + 2 * ID_BYTES).every((byte) => byte === 0),
    `reserved bytes of a ${kind} header are set`,
  );
  return {
    objectId: header.subarray(8, 8 + ID_BYTES),
    dataKeyId: header.subarray(8 + ID_BYTES, 8 + 2 * ID_BYTES),
  };
}

export function encodeFooterEntry(entry: FooterEntry): Buffer {
  const line = Buffer.alloc(FOOTER_ENTRY_BYTES);
  line.writeUIntLE(entry.number, 0, 6);
  line.writeUInt8(entry.purpose, 6);
  line.writeUInt8(entry.encoding, 7);
  line.writeUInt32LE(entry.frameNumber, 8);
  line.writeUInt32LE(entry.storedBytes, 12);
  line.writeUInt32LE(entry.rawBytes, 16);
  line.set(entry.hash.subarray(0, HASH_BYTES), 24);
  return line;
}

/** Sealed footer and trailer: what follows the last frame. */
export function encodeFooter(
  key: Uint8Array,
  objectId: Uint8Array,
  entries: readonly FooterEntry[],
): Buffer {
  return sealFooter(key, objectId, Buffer.concat(entries.map(encodeFooterEntry)));
}

/** @param plain encoded entries, one after the other */
export function sealFooter(key: Uint8Array, objectId: Uint8Array, plain: Uint8Array): Buffer {
  const sealed = sealFrame(key, footerFrame(objectId, plain.length), plain);
  const trailer = Buffer.alloc(TRAILER_BYTES);
  trailer.write(MAGICS.end, 0, "latin1");
  trailer.writeUInt32LE(sealed.length, 8);
  trailer.writeUInt32LE(plain.length / FOOTER_ENTRY_BYTES, 12);
  trailer.set(objectId, 16);
  return Buffer.concat([sealed, trailer]);
}

function footerFrame(objectId: Uint8Array, rawBytes: number) {
  return {
    objectId,
    purpose: FRAME_PURPOSES.footer,
    encoding: ENCODINGS.raw,
    frameNumber: FOOTER_FRAME_NUMBER,
    rawBytes,
  };
}

/** Reads the last 32 bytes; tells how many bytes before them the sealed footer takes. */
export function decodeTrailer(
  bytes: Uint8Array,
  objectId: Uint8Array,
): { readonly footerBytes: number; readonly frameCount: number } {
  requireIntact(bytes.length === TRAILER_BYTES, "a trailer has the wrong length");
  const trailer = Buffer.from(bytes);
  requireIntact(trailer.toString("latin1", 0, 8) === MAGICS.end, "a trailer has no magic");
  requireIntact(trailer.subarray(16).equals(objectId), "a trailer belongs to another object");
  const footerBytes = trailer.readUInt32LE(8);
  const frameCount = trailer.readUInt32LE(12);
  requireIntact(
    footerBytes <= MAX_FOOTER_BYTES && footerBytes === frameCount * FOOTER_ENTRY_BYTES + TAG_BYTES,
    "a trailer contradicts itself",
  );
  return { footerBytes, frameCount };
}

export function decodeFooter(
  key: Uint8Array,
  objectId: Uint8Array,
  sealed: Uint8Array,
): FooterEntry[] {
  const rawBytes = sealed.length - TAG_BYTES;
  requireIntact(rawBytes >= 0 && rawBytes % FOOTER_ENTRY_BYTES === 0, "a footer is cut");
  const plain = unsealFrame(key, footerFrame(objectId, rawBytes), sealed);
  const entries: FooterEntry[] = [];
  for (let at = 0; at < plain.length; at += FOOTER_ENTRY_BYTES) {
    const purpose = plain.readUInt8(at + 6);
    const encoding = plain.readUInt8(at + 7);
    requireIntact(isFramePurpose(purpose) && isEncoding(encoding), "a footer entry is unknown");
    entries.push({
      number: plain.readUIntLE(at, 6),
      purpose,
      encoding,
      frameNumber: plain.readUInt32LE(at + 8),
      storedBytes: plain.readUInt32LE(at + 12),
      rawBytes: plain.readUInt32LE(at + 16),
      hash: plain.subarray(at + 24, at + 24 + HASH_BYTES),
    });
  }
  return entries;
}
