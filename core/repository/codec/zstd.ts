import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { damaged } from "../format/layout.ts";

/** Level 3: measured best product of ratio and speed on file-system content (docs/performance.md). */
const LEVEL = 3;

/**
 * One zstd frame of `raw`. `chunkSize` above the worst case makes libzstd finish in one call; with
 * Node's default of 16 KiB it is half as fast.
 */
export function compress(raw: Uint8Array): Buffer {
  return zstdCompressSync(raw, {
    chunkSize: raw.length + (raw.length >> 7) + 1024,
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
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
