import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { damaged } from "../format/layout.ts";

type Parameters = Readonly<Record<number, number>>;

/** For maps and manifests: small, and read more often than written. */
const METADATA: Parameters = { [constants.ZSTD_c_compressionLevel]: 3 };

/**
 * For the content of disks: level 1 with a larger table of shorter matches has the best product of
 * speed and size on frames of 1 MiB of file-system content (docs/performance.md).
 */
const CONTENT: Parameters = {
  [constants.ZSTD_c_compressionLevel]: 1,
  [constants.ZSTD_c_hashLog]: 16,
  [constants.ZSTD_c_minMatch]: 6,
};

/** One zstd frame of a map or a manifest. */
export function compress(raw: Uint8Array): Buffer {
  return compressWith(METADATA, raw);
}

/** One zstd frame of the blocks of a frame. */
export function compressContent(raw: Uint8Array): Buffer {
  return compressWith(CONTENT, raw);
}

/**
 * `chunkSize` above the worst case makes libzstd finish in one call; with Node's default of 16 KiB
 * it is half as fast.
 */
function compressWith(params: Parameters, raw: Uint8Array): Buffer {
  return zstdCompressSync(raw, { chunkSize: raw.length + (raw.length >> 7) + 1024, params });
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
