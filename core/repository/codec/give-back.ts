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
