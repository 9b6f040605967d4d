/**
 * Reading a disk in order and fast. A *piece* is an aligned part of the disk; several are fetched
 * and verified at the same time and come out in ascending order.
 *
 * Memory: `PIECES_UNDER_WAY` pieces of at most 4 MiB, twice while they are decoded, whatever the
 * size of the disk is.
 */
import type { DiskRange } from "#core/ports/disk-data.ts";
import type { DiskPointReader } from "#core/repository/index.ts";

export interface DiskPiece {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
}

const PIECE_BYTES = 2 * 1024 * 1024;
const PIECES_UNDER_WAY = 8;

/** A multiple of the disk's blocks and of 2 MiB, or the rest of the disk. */
function pieceBytesOf(reader: DiskPointReader): number {
  return Math.max(PIECE_BYTES, reader.manifest.blockBytes);
}

/** Pieces that hold content; what lies between them is zero. */
export async function* readContent(
  reader: DiskPointReader,
  signal: AbortSignal,
): AsyncGenerator<DiskPiece> {
  yield* readInOrder(reader, piecesWithContent(reader, signal), signal);
}

/** Every byte of a range, zeros too. The first and the last piece may be shorter. */
export async function* readRange(
  reader: DiskPointReader,
  range: DiskRange,
  signal: AbortSignal,
): AsyncGenerator<DiskPiece> {
  const endBytes = range.offsetBytes + range.lengthBytes;
  const pieces = piecesOf(reader, range);
  for await (const { offsetBytes, bytes } of readInOrder(reader, pieces, signal)) {
    const from = Math.max(range.offsetBytes - offsetBytes, 0);
    const to = Math.min(endBytes - offsetBytes, bytes.length);
    yield { offsetBytes: offsetBytes + from, bytes: bytes.subarray(from, to) };
  }
}

async function* piecesWithContent(
  reader: DiskPointReader,
  signal: AbortSignal,
): AsyncGenerator<DiskRange> {
  let nextBytes = 0;
  for await (const extent of reader.extents(signal)) {
    // Two extents may touch the same piece.
    const offsetBytes = Math.max(extent.offsetBytes, nextBytes);
    const lengthBytes = extent.offsetBytes + extent.lengthBytes - offsetBytes;
    if (lengthBytes <= 0) continue;
    for (const piece of piecesOf(reader, { offsetBytes, lengthBytes })) {
      yield piece;
      nextBytes = piece.offsetBytes + piece.lengthBytes;
    }
  }
}

function* piecesOf(reader: DiskPointReader, range: DiskRange): Generator<DiskRange> {
  const pieceBytes = pieceBytesOf(reader);
  const endBytes = range.offsetBytes + range.lengthBytes;
  const first = Math.floor(range.offsetBytes / pieceBytes) * pieceBytes;
  for (let offsetBytes = first; offsetBytes < endBytes; offsetBytes += pieceBytes) {
    yield { offsetBytes, lengthBytes: Math.min(pieceBytes, reader.sizeBytes - offsetBytes) };
  }
}

async function* readInOrder(
  reader: DiskPointReader,
  ranges: AsyncIterable<DiskRange> | Iterable<DiskRange>,
  signal: AbortSignal,
): AsyncGenerator<DiskPiece> {
  const underWay: { readonly offsetBytes: number; readonly reading: Promise<Uint8Array> }[] = [];
  for await (const range of ranges) {
    const reading = reader.readBlocks(range, signal);
    // A failure shows when the piece is asked for; until then nobody may wait for it.
    reading.catch(() => undefined);
    underWay.push({ offsetBytes: range.offsetBytes, reading });
    const first = underWay.length < PIECES_UNDER_WAY ? undefined : underWay.shift();
    if (first !== undefined) {
      yield { offsetBytes: first.offsetBytes, bytes: await first.reading };
    }
  }
  for (const { offsetBytes, reading } of underWay) yield { offsetBytes, bytes: await reading };
}
