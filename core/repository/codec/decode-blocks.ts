import { createSecretKey, timingSafeEqual, type KeyObject } from "node:crypto";
import { ENCODINGS, FRAME_PURPOSES, unsealFrame } from "../format/frame.ts";
import { MAX_FRAME_RAW_BYTES, TAG_BYTES, requireIntact } from "../format/layout.ts";
import type { BlockToDecode, DecodeJob } from "./block-codec.ts";
import { blockHash } from "./block-hash.ts";
import { giveBack, giveBackOutput } from "./give-back.ts";
import { decompress } from "./zstd.ts";

interface OpenFrame {
  readonly of: BlockToDecode;
  readonly content: Buffer;
}

/** Pure and synchronous. Throws `RepositoryDamaged` for the first block that is not as it should be. */
export function decodeBlocks(job: DecodeJob): Uint8Array {
  let totalBytes = 0;
  for (const block of job.blocks) {
    const isPossible = block.rawBytes * block.frameBlocks <= MAX_FRAME_RAW_BYTES;
    requireIntact(isPossible, "a frame claims an impossible length");
    totalBytes += block.rawBytes;
  }
  const raw = Buffer.allocUnsafeSlow(totalBytes);
  const keyObjectOf = keyObjects();
  let at = 0;
  let frame: OpenFrame | undefined;
  for (const block of job.blocks) {
    if (frame === undefined || !isSameFrame(frame.of, block)) {
      if (frame !== undefined) giveBackOutput(frame.content);
      frame = { of: block, content: openFrame(job.bytes, block, keyObjectOf(block.frameKey)) };
    }
    const start = block.position * block.rawBytes;
    const content = frame.content.subarray(start, start + block.rawBytes);
    const hash = blockHash(keyObjectOf(block.hashKey), content);
    requireIntact(timingSafeEqual(hash, block.hash), "the hash of a block does not fit");
    raw.set(content, at);
    at += block.rawBytes;
  }
  if (frame !== undefined) giveBackOutput(frame.content);
  return raw;
}

function isSameFrame(left: BlockToDecode, right: BlockToDecode): boolean {
  return (
    left.offsetBytes === right.offsetBytes &&
    left.storedBytes === right.storedBytes &&
    left.frameNumber === right.frameNumber &&
    left.encoding === right.encoding &&
    left.frameBlocks === right.frameBlocks &&
    left.rawBytes === right.rawBytes &&
    Buffer.compare(left.packId, right.packId) === 0
  );
}

function openFrame(bytes: Uint8Array, block: BlockToDecode, frameKey: KeyObject): Buffer {
  const { offsetBytes, storedBytes, encoding, frameNumber } = block;
  const sealed = bytes.subarray(offsetBytes, offsetBytes + storedBytes);
  requireIntact(sealed.length === storedBytes && sealed.length > TAG_BYTES, "a frame is cut");
  const rawBytes = block.rawBytes * block.frameBlocks;
  const purpose = FRAME_PURPOSES.block;
  const identity = { objectId: block.packId, purpose, encoding, frameNumber, rawBytes };
  const content = unsealFrame(frameKey, identity, sealed);
  const isCompressed = encoding === ENCODINGS.zstd;
  const raw = isCompressed ? decompress(content, rawBytes) : content;
  if (isCompressed) giveBack(content);
  requireIntact(raw.length === rawBytes, "a frame has the wrong length");
  return raw;
}

/** Once per key: raw keys are checked and copied anew by each of Node's calls. */
function keyObjects(): (key: Uint8Array) => KeyObject {
  const known = new Map<Uint8Array, KeyObject>();
  return (key) => {
    const object = known.get(key) ?? createSecretKey(key);
    known.set(key, object);
    return object;
  };
}
