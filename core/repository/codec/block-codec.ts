/**
 * The computing part of moving blocks: zero test, keyed hash, compression, sealing, and back.
 * Pure and synchronous here; the data mover runs the same two functions on worker threads.
 */
import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from "node:crypto";
import { HASH_BYTES, MAX_BLOCK_BYTES, TAG_BYTES, requireIntact } from "../format/layout.ts";
import {
  ENCODINGS,
  FRAME_PURPOSES,
  sealFrame,
  unsealFrame,
  type Encoding,
} from "../format/frame.ts";
import { giveBack, giveBackOutput } from "./give-back.ts";
import { compress, decompress } from "./zstd.ts";

interface BlockToEncode {
  /** Place in the job's bytes. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Hashes of content that is stored already for this block; a match stores nothing. */
  readonly knownHashes: readonly Uint8Array[];
}

export interface EncodeJob {
  readonly bytes: Uint8Array;
  readonly blocks: readonly BlockToEncode[];
  readonly hashKey: Uint8Array;
  /** Pack that will hold the frames, and the first of the frame numbers reserved for this job. */
  readonly packId: Uint8Array;
  readonly frameKey: Uint8Array;
  readonly firstFrameNumber: number;
}

export type EncodedBlock =
  | { readonly kind: "zero" }
  | { readonly kind: "known"; readonly which: number }
  | {
      readonly kind: "stored";
      readonly encoding: Encoding;
      readonly frameNumber: number;
      readonly rawBytes: number;
      /** Place of the sealed frame in `frames`. */
      readonly offsetBytes: number;
      readonly storedBytes: number;
      readonly hash: Uint8Array;
    };

export interface EncodedBlocks {
  /** One per block of the job, in order. */
  readonly blocks: readonly EncodedBlock[];
  readonly frames: Uint8Array;
}

export interface FrameToDecode {
  readonly offsetBytes: number;
  readonly storedBytes: number;
  readonly rawBytes: number;
  readonly encoding: Encoding;
  readonly frameNumber: number;
  readonly packId: Uint8Array;
  readonly frameKey: Uint8Array;
  readonly hashKey: Uint8Array;
  readonly hash: Uint8Array;
}

export interface DecodeJob {
  readonly bytes: Uint8Array;
  readonly frames: readonly FrameToDecode[];
}

/** Both methods may take over (detach) the buffers of their job. */
export interface BlockCodec {
  encode(job: EncodeJob, signal: AbortSignal): Promise<EncodedBlocks>;
  /** Raw contents one after the other. Throws `RepositoryDamaged` for the first bad frame. */
  decode(job: DecodeJob, signal: AbortSignal): Promise<Uint8Array>;
}

/** A block is stored raw unless compression saves at least 1/32 of it. */
const WORTHWHILE_SAVING = 1 / 32;
const ZEROS = Buffer.alloc(MAX_BLOCK_BYTES);

function blockHash(hashKey: KeyObject, raw: Uint8Array): Buffer {
  return createHmac("sha256", hashKey).update(raw).digest().subarray(0, HASH_BYTES);
}

function isZero(raw: Uint8Array): boolean {
  return ZEROS.subarray(0, raw.length).equals(raw);
}

export function encodeBlocks(job: EncodeJob): EncodedBlocks {
  // Key objects once per job: raw keys are checked and copied anew by each of Node's calls.
  const hashKey = createSecretKey(job.hashKey);
  const frameKey = createSecretKey(job.frameKey);
  const parts: Buffer[] = [];
  let framesBytes = 0;
  let frameNumber = job.firstFrameNumber;
  let neighbourShare: number | undefined;
  const blocks = job.blocks.map((block): EncodedBlock => {
    const raw = job.bytes.subarray(block.offsetBytes, block.offsetBytes + block.lengthBytes);
    if (isZero(raw)) return { kind: "zero" };
    const hash = blockHash(hashKey, raw);
    const which = block.knownHashes.findIndex((known) => hash.equals(known));
    if (which >= 0) return { kind: "known", which };
    const compressed = compress(raw, neighbourShare);
    neighbourShare = compressed.length / raw.length;
    const isWorthwhile = compressed.length <= raw.length * (1 - WORTHWHILE_SAVING);
    const encoding = isWorthwhile ? ENCODINGS.zstd : ENCODINGS.raw;
    const identity = {
      objectId: job.packId,
      purpose: FRAME_PURPOSES.block,
      encoding,
      frameNumber: frameNumber++,
      rawBytes: raw.length,
    };
    const frame = sealFrame(frameKey, identity, isWorthwhile ? compressed : raw);
    parts.push(frame);
    const offsetBytes = framesBytes;
    framesBytes += frame.length;
    return {
      kind: "stored",
      encoding,
      frameNumber: identity.frameNumber,
      rawBytes: raw.length,
      offsetBytes,
      storedBytes: frame.length,
      hash: Uint8Array.from(hash),
    };
  });
  const frames = Buffer.allocUnsafeSlow(framesBytes);
  let at = 0;
  for (const part of parts) {
    frames.set(part, at);
    at += part.length;
  }
  return { blocks, frames };
}

export function decodeFrames(job: DecodeJob): Uint8Array {
  let totalBytes = 0;
  for (const frame of job.frames) {
    requireIntact(frame.rawBytes <= MAX_BLOCK_BYTES, "a frame claims an impossible length");
    totalBytes += frame.rawBytes;
  }
  const raw = Buffer.allocUnsafeSlow(totalBytes);
  let at = 0;
  const keyObjects = new Map<Uint8Array, KeyObject>();
  const keyObjectOf = (key: Uint8Array): KeyObject => {
    const known = keyObjects.get(key) ?? createSecretKey(key);
    keyObjects.set(key, known);
    return known;
  };
  for (const frame of job.frames) {
    const keys = { frameKey: keyObjectOf(frame.frameKey), hashKey: keyObjectOf(frame.hashKey) };
    const content = decodeFrame(job.bytes, frame, keys);
    raw.set(content, at);
    at += frame.rawBytes;
    giveBackOutput(content);
  }
  return raw;
}

function decodeFrame(
  bytes: Uint8Array,
  frame: FrameToDecode,
  keys: { readonly frameKey: KeyObject; readonly hashKey: KeyObject },
): Buffer {
  const sealed = bytes.subarray(frame.offsetBytes, frame.offsetBytes + frame.storedBytes);
  requireIntact(sealed.length === frame.storedBytes && sealed.length > TAG_BYTES, "a frame is cut");
  const content = unsealFrame(
    keys.frameKey,
    {
      objectId: frame.packId,
      purpose: FRAME_PURPOSES.block,
      encoding: frame.encoding,
      frameNumber: frame.frameNumber,
      rawBytes: frame.rawBytes,
    },
    sealed,
  );
  const isCompressed = frame.encoding === ENCODINGS.zstd;
  const raw = isCompressed ? decompress(content, frame.rawBytes) : content;
  if (isCompressed) giveBack(content);
  requireIntact(raw.length === frame.rawBytes, "a block has the wrong length");
  requireIntact(
    timingSafeEqual(blockHash(keys.hashKey, raw), frame.hash),
    "the hash of a block does not fit",
  );
  return raw;
}

/** Computes on the calling thread: tests, small tools. */
export const inlineBlockCodec: BlockCodec = {
  encode: async (job) => encodeBlocks(job),
  decode: async (job) => decodeFrames(job),
};
