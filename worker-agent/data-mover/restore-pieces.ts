import { assert } from "#core/lib/assert.ts";
import type { DiskDataWriter, DiskRange } from "#core/ports/disk-data.ts";
import { giveBack, type DiskPointReader } from "#core/repository/index.ts";
import { WrittenMark } from "./written-mark.ts";

/** Pieces of one restore that are fetched, verified and written at the same time. */
const PIECES_UNDER_WAY = 8;
/** A multiple of what the writer puts into one frame, so that each frame is opened once. */
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
      for (const { offsetBytes, lengthBytes } of piece.extents) {
        const at = offsetBytes - piece.offsetBytes;
        await writer.write(offsetBytes, bytes.subarray(at, at + lengthBytes), inner);
        writtenBytes += lengthBytes;
      }
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

/** What is read at once: an aligned piece of the disk, from its first block with content to its last. */
interface Piece extends DiskRange {
  /** What is written of it: blocks with content, ascending. */
  readonly extents: readonly DiskRange[];
}

/**
 * Gathers extents into pieces between multiples of `PIECE_BYTES`, and marks each as started. Extents
 * of one piece are read together: they may share a frame.
 */
async function* piecesOf(
  extents: AsyncIterable<DiskRange>,
  blockBytes: number,
  mark: WrittenMark,
): AsyncGenerator<Piece> {
  const pieceBytes = Math.max(blockBytes, PIECE_BYTES);
  assert(pieceBytes % blockBytes === 0, "a restore piece is no multiple of the block");
  let gathered: DiskRange[] = [];
  for await (const part of cutAtMultiples(extents, pieceBytes)) {
    const first = gathered[0];
    const isSamePiece =
      first !== undefined &&
      Math.floor(first.offsetBytes / pieceBytes) === Math.floor(part.offsetBytes / pieceBytes);
    if (first !== undefined && !isSamePiece) {
      yield startPiece(gathered, mark);
      gathered = [];
    }
    gathered.push(part);
  }
  if (gathered.length > 0) yield startPiece(gathered, mark);
}

async function* cutAtMultiples(
  extents: AsyncIterable<DiskRange>,
  pieceBytes: number,
): AsyncGenerator<DiskRange> {
  for await (const extent of extents) {
    const extentEnd = extent.offsetBytes + extent.lengthBytes;
    for (let { offsetBytes } = extent; offsetBytes < extentEnd;) {
      const endBytes = Math.min(extentEnd, offsetBytes + pieceBytes - (offsetBytes % pieceBytes));
      yield { offsetBytes, lengthBytes: endBytes - offsetBytes };
      offsetBytes = endBytes;
    }
  }
}

function startPiece(extents: readonly DiskRange[], mark: WrittenMark): Piece {
  const [first] = extents;
  const last = extents.at(-1);
  assert(first !== undefined && last !== undefined, "a restore piece without extents");
  const { offsetBytes } = first;
  const piece = {
    offsetBytes,
    lengthBytes: last.offsetBytes + last.lengthBytes - offsetBytes,
    extents,
  };
  mark.start(piece);
  return piece;
}
