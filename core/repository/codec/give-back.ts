/**
 * Frees the memory of an array that its owner has done with, now instead of at some later garbage
 * collection: large buffers that pile up until then are most of a mover's memory. The array is
 * empty afterwards. Does nothing to views of a larger buffer, which others may still use.
 */
export function giveBack(bytes: Uint8Array): void {
  const { buffer } = bytes;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength;
  if (isWhole && !buffer.detached) buffer.transfer(0);
}

/**
 * The same for what zlib returned: the beginning of a buffer that it made for this output alone,
 * unless that is small enough for Node's shared pool. The next block then finds memory that the
 * processor still has in its cache, which a restore feels more than the garbage collection itself.
 */
export function giveBackOutput(bytes: Buffer): void {
  const { buffer, byteOffset } = bytes;
  const isOwn = byteOffset === 0 && buffer.byteLength > Buffer.poolSize;
  if (isOwn && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}
