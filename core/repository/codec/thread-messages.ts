/** Messages between a program and its encoder threads, inside one process. */
import type { DecodeJob, EncodeJob, EncodedBlocks, ResealJob } from "./block-codec.ts";

/** `workerData` of an encoder thread; any other thread that loads the file stays passive. */
export const ENCODER_THREAD = "holdfast-encoder-thread";

export type CodecRequest =
  | { readonly id: number; readonly kind: "encode"; readonly job: EncodeJob }
  | { readonly id: number; readonly kind: "decode"; readonly job: DecodeJob }
  | { readonly id: number; readonly kind: "reseal"; readonly job: ResealJob };

export type CodecAnswer =
  | { readonly id: number; readonly kind: "encoded"; readonly encoded: EncodedBlocks }
  | { readonly id: number; readonly kind: "decoded"; readonly raw: Uint8Array }
  | { readonly id: number; readonly kind: "resealed"; readonly frames: Uint8Array }
  | {
      readonly id: number;
      readonly kind: "failed";
      readonly code: string;
      readonly message: string;
    };
