import { assert } from "#core/lib/assert.ts";
import type { DiskDataWriter, DiskRange } from "#core/ports/disk-data.ts";
import { giveBack, type DiskPointReader } from "#core/repository/index.ts";
import { WrittenMark } from "./written-mark.ts";

/** Pieces of one restore that are fetched, verified and written at the same time. */
const PIECES_UNDER_WAY = 8;
const PIECE_BYTES = 2 * 1024 * 1024;

export interface RestoreProgress {
  /** Bytes of blocks with content that were written now. */
  readonly writtenBytes: number;
  /** Everything before this offset of the disk is written, now or before. */
  readonly writtenToBytes: number;
}

export interface RestorePiecesOptions {
  readonly source: DiskPointReader;
  readonly writer: DiskDataWriter;
  /** Everything before was written by an earlier try. */
  readonly fromBytes: number;
  readonly onProgress: (progress: RestoreProgress) => void;
}

/** Writes the blocks with content, each verified first. Returns the number of bytes written. */
export async function restorePieces(
  { source, writer, fromBytes, onProgress }: RestorePiecesOptions,
  signal: AbortSignal,
): Promise<number> {
  const stop = new AbortController();
  const inner = AbortSignal.any([signal, stop.signal]);
  const mark = new WrittenMark(fromBytes);
  const extents = source.extents(inner, fromBytes);
  const pieces = piecesOf(extents, source.manifest.blockBytes, mark);
  let writtenBytes = 0;
  // Concurrent `next` calls of one generator are answered one after the other.
  const lane = async (): Promise<void> => {
    for await (const piece of { [Symbol.asyncIterator]: () => ({ next: () => pieces.next() }) }) {
      const bytes = await source.readBlocks(piece, inner);
      await writer.write(piece.offsetBytes, bytes, inner);
      writtenBytes += piece.lengthBytes;
      giveBack(bytes);
      mark.finish(piece);
      onProgress({ writtenBytes, writtenToBytes: mark.writtenToBytes });
    }
  };
  const guarded = async (): Promise<void> => {
    try {
      await lane();
    } catch (error) {
      stop.abort(error);
      throw error;
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: PIECES_UNDER_WAY }, guarded));
  if (outcomes.some(({ status }) => status === "rejected")) inner.throwIfAborted();
  return writtenBytes;
}

/** Cuts extents into pieces of whole blocks that are moved at once, and marks each as started. */
async function* piecesOf(
  extents: AsyncIterable<DiskRange>,
  blockBytes: number,
  mark: WrittenMark,
): AsyncGenerator<DiskRange> {
  const pieceBytes = Math.max(blockBytes, PIECE_BYTES);
  assert(pieceBytes % blockBytes === 0, "a restore piece is no multiple of the block");
  for await (const { offsetBytes, lengthBytes } of extents) {
    for (let done = 0; done < lengthBytes; done += pieceBytes) {
      const piece = {
        offsetBytes: offsetBytes + done,
        lengthBytes: Math.min(pieceBytes, lengthBytes - done),
      };
      mark.start(piece);
      yield piece;
    }
  }
}
