import { assert } from "../../lib/assert.ts";
import { ID_BYTES } from "../format/layout.ts";

/**
 * Fresh id of a pack or an index: the sequence number of the point that writes it (4 bytes, big
 * endian), then 12 random bytes. The number groups what one attempt wrote, for its successor.
 */
export function newObjectId(sequence: number, random: (byteCount: number) => Uint8Array): Buffer {
  const id = Buffer.alloc(ID_BYTES);
  id.writeUInt32BE(sequence, 0);
  const suffix = random(ID_BYTES - 4);
  assert(suffix.length === ID_BYTES - 4, "the source of randomness returned a wrong length");
  id.set(suffix, 4);
  return id;
}
