/**
 * A *frame* is one sealed piece of a pack (a block) or of an index (a leaf, a root, a footer).
 * Its key comes from the object's id, its nonce is its number, its AAD says what it must be.
 */
import type { KeyObject } from "node:crypto";
import { MAGICS, ID_BYTES } from "./layout.ts";
import { seal, unseal } from "./keys.ts";

export const FRAME_PURPOSES = { block: 1, leaf: 2, root: 3, footer: 4 } as const;
export type FramePurpose = (typeof FRAME_PURPOSES)[keyof typeof FRAME_PURPOSES];

/** How the content is stored before sealing. */
export const ENCODINGS = { raw: 1, zstd: 2 } as const;
export type Encoding = (typeof ENCODINGS)[keyof typeof ENCODINGS];

export const FOOTER_FRAME_NUMBER = 0xffff_ffff;
const FRAME_AAD_BYTES = 40;

export interface FrameIdentity {
  readonly objectId: Uint8Array;
  readonly purpose: FramePurpose;
  readonly encoding: Encoding;
  readonly frameNumber: number;
  /** Length of the content before compression. */
  readonly rawBytes: number;
}

function aadOf(frame: FrameIdentity): Buffer {
  const aad = Buffer.alloc(FRAME_AAD_BYTES);
  aad.write(MAGICS.frame, 0, "latin1");
  aad.writeUInt8(frame.purpose, 8);
  aad.writeUInt8(frame.encoding, 9);
  aad.writeUInt32LE(frame.frameNumber, 12);
  aad.writeUInt32LE(frame.rawBytes, 16);
  aad.set(frame.objectId.subarray(0, ID_BYTES), 24);
  return aad;
}

function nonceOf(frameNumber: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(frameNumber, 0);
  return nonce;
}

/** @param key of `frameKeyOf(dataKey, objectId)` */
export function sealFrame(
  key: Uint8Array | KeyObject,
  frame: FrameIdentity,
  content: Uint8Array,
): Buffer {
  return seal(key, nonceOf(frame.frameNumber), aadOf(frame), content);
}

export function unsealFrame(
  key: Uint8Array | KeyObject,
  frame: FrameIdentity,
  sealed: Uint8Array,
): Buffer {
  return unseal(key, nonceOf(frame.frameNumber), aadOf(frame), sealed);
}

export function isEncoding(value: number): value is Encoding {
  return value === ENCODINGS.raw || value === ENCODINGS.zstd;
}

export function isFramePurpose(value: number): value is FramePurpose {
  return value >= FRAME_PURPOSES.block && value <= FRAME_PURPOSES.footer;
}
