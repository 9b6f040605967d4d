import { createHmac, type KeyObject } from "node:crypto";
import { HASH_BYTES } from "../format/layout.ts";

/** What two blocks of a disk are compared by: the first 16 bytes of HMAC-SHA-256. */
export function blockHash(hashKey: KeyObject, raw: Uint8Array): Buffer {
  return createHmac("sha256", hashKey).update(raw).digest().subarray(0, HASH_BYTES);
}
