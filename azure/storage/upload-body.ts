import { Readable } from "node:stream";

/**
 * Handed to the connection at once. TLS encrypts all that it gets before the first byte is out: a
 * whole pack would lie in memory twice for as long as its upload takes.
 */
const SLICE_BYTES = 64 * 1024;

/**
 * Body of a request in slices, for the SDK: called once for each try. The bytes must not change until
 * the request is over.
 */
export function uploadBody(bytes: Uint8Array): () => NodeJS.ReadableStream {
  return () => Readable.from(slicesOf(bytes), { objectMode: false, highWaterMark: SLICE_BYTES });
}

function* slicesOf(bytes: Uint8Array): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    const lengthBytes = Math.min(SLICE_BYTES, bytes.length - at);
    yield Buffer.from(bytes.buffer, bytes.byteOffset + at, lengthBytes);
  }
}
