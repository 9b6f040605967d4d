import { createSecretKey, type KeyObject } from "node:crypto";
import { assert } from "../../lib/assert.ts";
import { ENCODINGS, FRAME_PURPOSES, sealFrame } from "../format/frame.ts";
import { MAX_BLOCK_BYTES } from "../format/layout.ts";
import type { EncodedBlock, EncodedBlocks, EncodeJob } from "./block-codec.ts";
import { blockHash } from "./block-hash.ts";
import { giveBackOutput } from "./give-back.ts";
import { compressContent } from "./zstd.ts";

/** A frame is stored raw unless compression saves at least 1/32 of it. */
const WORTHWHILE_SAVING = 1 / 32;
const ZEROS = Buffer.alloc(MAX_BLOCK_BYTES);

type Kept = Exclude<EncodedBlock, { readonly kind: "stored" }>;
type Examined = Kept | { readonly kind: "new"; readonly hash: Uint8Array };

/** Pure and synchronous. Neighbours that must be stored share a frame inside their group. */
export function encodeBlocks(job: EncodeJob): EncodedBlocks {
  // Key objects once per job: raw keys are checked and copied anew by each of Node's calls.
  const hashKey = createSecretKey(job.hashKey);
  const frameKey = createSecretKey(job.frameKey);
  const examined = job.blocks.map((block) =>
    examine(hashKey, contentOf(job, [block]), block.knownHashes),
  );
  const stored = new Map<number, EncodedBlock>();
  const frames: Buffer[] = [];
  let framesBytes = 0;
  for (const indexes of planFrames(job.blocks, examined)) {
    const frameNumber = job.firstFrameNumber + (indexes[0] ?? 0);
    const raw = contentOf(
      job,
      indexes.flatMap((index) => job.blocks[index] ?? []),
    );
    const { encoding, frame } = sealBlocks(job, frameKey, frameNumber, raw);
    const place = { encoding, frameNumber, offsetBytes: framesBytes, storedBytes: frame.length };
    indexes.forEach((index, position) => {
      const block = examined[index];
      if (block?.kind !== "new") return;
      const { hash } = block;
      const rawBytes = raw.length / indexes.length;
      const frameBlocks = indexes.length;
      stored.set(index, { kind: "stored", ...place, position, frameBlocks, rawBytes, hash });
    });
    frames.push(frame);
    framesBytes += frame.length;
  }
  const blocks = examined.map((block, index) => stored.get(index) ?? kept(block));
  return { blocks, frames: joined(frames, framesBytes) };
}

function examine(
  hashKey: KeyObject,
  raw: Uint8Array,
  knownHashes: readonly Uint8Array[],
): Examined {
  if (ZEROS.subarray(0, raw.length).equals(raw)) return { kind: "zero" };
  const hash = blockHash(hashKey, raw);
  const which = knownHashes.findIndex((known) => hash.equals(known));
  // A copy: what is cloned to another thread takes its whole buffer along.
  return which >= 0 ? { kind: "known", which } : { kind: "new", hash: Uint8Array.from(hash) };
}

/** Indexes of the blocks of each frame. The short last block of a disk has a frame of its own. */
function planFrames(blocks: EncodeJob["blocks"], examined: readonly Examined[]): number[][] {
  const frames: number[][] = [];
  blocks.forEach(({ group, lengthBytes }, index) => {
    if (examined[index]?.kind !== "new") return;
    const frame = frames.at(-1);
    const neighbour = blocks[frame?.[0] ?? -1];
    const isShared = neighbour?.group === group && neighbour.lengthBytes === lengthBytes;
    if (isShared) frame?.push(index);
    else frames.push([index]);
  });
  return frames;
}

/** Of blocks that ascend: a view where they follow each other directly, a copy otherwise. */
function contentOf({ bytes }: EncodeJob, blocks: EncodeJob["blocks"]): Uint8Array {
  const lengthBytes = blocks.reduce((sum, block) => sum + block.lengthBytes, 0);
  const start = blocks[0]?.offsetBytes ?? 0;
  const last = blocks.at(-1);
  if (last !== undefined && last.offsetBytes + last.lengthBytes === start + lengthBytes) {
    return bytes.subarray(start, start + lengthBytes);
  }
  return joined(
    blocks.map(({ offsetBytes, lengthBytes: length }) =>
      bytes.subarray(offsetBytes, offsetBytes + length),
    ),
    lengthBytes,
  );
}

function sealBlocks(job: EncodeJob, frameKey: KeyObject, frameNumber: number, raw: Uint8Array) {
  const compressed = compressContent(raw);
  const isWorthwhile = compressed.length <= raw.length * (1 - WORTHWHILE_SAVING);
  const encoding = isWorthwhile ? ENCODINGS.zstd : ENCODINGS.raw;
  const purpose = FRAME_PURPOSES.block;
  const identity = { objectId: job.packId, purpose, encoding, frameNumber, rawBytes: raw.length };
  const frame = sealFrame(frameKey, identity, isWorthwhile ? compressed : raw);
  giveBackOutput(compressed);
  return { encoding, frame };
}

function kept(block: Examined): Kept {
  assert(block.kind !== "new", "a new block is in no frame");
  return block;
}

function joined(parts: readonly Uint8Array[], lengthBytes: number): Buffer {
  const whole = Buffer.allocUnsafeSlow(lengthBytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
