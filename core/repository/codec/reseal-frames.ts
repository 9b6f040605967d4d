import { assert } from "../../lib/assert.ts";
import { FRAME_PURPOSES, sealFrame, unsealFrame } from "../format/frame.ts";
import type { ResealJob } from "./block-codec.ts";
import { decodeBlocks } from "./decode-blocks.ts";
import { giveBack } from "./give-back.ts";

/**
 * Frames for another object, whose content stays compressed as it is; a frame keeps its length. Pure
 * and synchronous. Throws `RepositoryDamaged` for the first block that is not as it should be, before
 * anything is sealed.
 */
export function resealFrames({ bytes, frames, target }: ResealJob): Uint8Array {
  giveBack(decodeBlocks({ bytes, blocks: frames.flatMap(({ blocks }) => blocks) }));
  const sealedBytes = frames.reduce((sum, { blocks }) => sum + (blocks[0]?.storedBytes ?? 0), 0);
  const sealed = Buffer.allocUnsafeSlow(sealedBytes);
  let at = 0;
  for (const { frameNumber, blocks } of frames) {
    const [source] = blocks;
    assert(source !== undefined, "a frame without blocks is sealed again");
    const { offsetBytes, storedBytes, encoding } = source;
    const rawBytes = source.rawBytes * source.frameBlocks;
    const shape = { purpose: FRAME_PURPOSES.block, encoding, rawBytes };
    const content = unsealFrame(
      source.frameKey,
      { ...shape, objectId: source.packId, frameNumber: source.frameNumber },
      bytes.subarray(offsetBytes, offsetBytes + storedBytes),
    );
    const identity = { ...shape, objectId: target.packId, frameNumber };
    sealed.set(sealFrame(target.frameKey, identity, content), at);
    at += storedBytes;
  }
  return sealed;
}
