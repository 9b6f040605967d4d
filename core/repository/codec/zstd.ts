import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { damaged } from "../format/layout.ts";

/** Measured best product of speed and size on file-system content (docs/performance.md). */
const LEVEL = 3;
/** For content that shrinks a lot anyway; there it gains most (docs/performance.md). */
const LEVEL_FOR_DENSE_GAIN = 5;
const DENSE_GAIN_SHARE = 1 / 4;

/**
 * One zstd frame of `raw`.
 * @param neighbourShare compressed share of the block before, from which the level is chosen: files
 *   are larger than blocks, so that it is a good guess. Absent: level 3.
 */
export function compress(raw: Uint8Array, neighbourShare = 1): Buffer {
  return compressAt(raw, neighbourShare <= DENSE_GAIN_SHARE ? LEVEL_FOR_DENSE_GAIN : LEVEL);
}

/**
 * `chunkSize` above the worst case makes libzstd finish in one call; with Node's default of 16 KiB
 * it is half as fast.
 */
function compressAt(raw: Uint8Array, level: number): Buffer {
  return zstdCompressSync(raw, {
    chunkSize: raw.length + (raw.length >> 7) + 1024,
    params: { [constants.ZSTD_c_compressionLevel]: level },
  });
}

/**
 * Decompresses to exactly `rawBytes`. The length is checked because Node 22 returns short output
 * without an error for a frame that was cut.
 */
export function decompress(stored: Uint8Array, rawBytes: number): Buffer {
  let raw: Buffer;
  try {
    raw = zstdDecompressSync(stored, {
      chunkSize: Math.max(64, rawBytes + 1),
      maxOutputLength: Math.max(1, rawBytes),
    });
  } catch (cause) {
    throw damaged("a zstd frame cannot be decompressed", {}, cause);
  }
  if (raw.length !== rawBytes) {
    throw damaged("a zstd frame has the wrong length", {
      expectedBytes: rawBytes,
      foundBytes: raw.length,
    });
  }
  return raw;
}
