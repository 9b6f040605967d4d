/**
 * The computing part of moving blocks: zero test, keyed hash, compression, sealing, and back.
 * The data mover runs the same two functions on worker threads.
 */
import type { Encoding } from "../format/frame.ts";
import { decodeBlocks } from "./decode-blocks.ts";
import { encodeBlocks } from "./encode-blocks.ts";
import { resealFrames } from "./reseal-frames.ts";

interface BlockToEncode {
  /** Place in the job's bytes. */
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Hashes of content that is stored already for this block; a match stores nothing. */
  readonly knownHashes: readonly Uint8Array[];
  /** Blocks of one group may share a frame; they follow each other. */
  readonly group: number;
}

export interface EncodeJob {
  readonly bytes: Uint8Array;
  readonly blocks: readonly BlockToEncode[];
  readonly hashKey: Uint8Array;
  /**
   * Pack that will hold the frames, and the first of the numbers reserved for this job, one for each
   * block. A frame takes that of its first block.
   */
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
      /** Place of the block in the frame, and how many blocks that has. */
      readonly position: number;
      readonly frameBlocks: number;
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

/** A block to take out of a frame, and to compare with its hash. */
export interface BlockToDecode {
  /** Place of the frame in the job's bytes. */
  readonly offsetBytes: number;
  readonly storedBytes: number;
  readonly encoding: Encoding;
  readonly frameNumber: number;
  readonly position: number;
  readonly frameBlocks: number;
  /** Of the block. */
  readonly rawBytes: number;
  readonly packId: Uint8Array;
  readonly frameKey: Uint8Array;
  readonly hashKey: Uint8Array;
  readonly hash: Uint8Array;
}

export interface DecodeJob {
  readonly bytes: Uint8Array;
  /** A frame is opened once when its blocks follow each other. */
  readonly blocks: readonly BlockToDecode[];
}

/** Frames that become frames of another object. */
export interface ResealJob {
  readonly bytes: Uint8Array;
  readonly target: { readonly packId: Uint8Array; readonly frameKey: Uint8Array };
  readonly frames: readonly {
    /** In the target. */
    readonly frameNumber: number;
    /** Blocks of the frame to verify: one at least. */
    readonly blocks: readonly BlockToDecode[];
  }[];
}

/** All methods may take over (detach) the buffers of their job. */
export interface BlockCodec {
  encode(job: EncodeJob, signal: AbortSignal): Promise<EncodedBlocks>;
  /** Raw contents one after the other. Throws `RepositoryDamaged` for the first bad frame. */
  decode(job: DecodeJob, signal: AbortSignal): Promise<Uint8Array>;
  /** Sealed frames one after the other, each as long as it was. Throws as `decode`. */
  reseal(job: ResealJob, signal: AbortSignal): Promise<Uint8Array>;
}

/** Computes on the calling thread: tests, small tools. */
export const inlineBlockCodec: BlockCodec = {
  encode: async (job) => encodeBlocks(job),
  decode: async (job) => decodeBlocks(job),
  reseal: async (job) => resealFrames(job),
};
