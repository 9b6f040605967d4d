/** Reading an object that was never larger than the format says: a larger one is damage, not memory. */
import { codeOf } from "../lib/errors.ts";
import type { BlobStore } from "../ports/blob-store.ts";
import { MAX_ENVELOPE_BYTES, damaged } from "./format/layout.ts";

/** Throws `RepositoryDamaged` for what is larger, and the errors of the store. */
export async function readWhole(
  store: Pick<BlobStore, "read">,
  name: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    return await store.read(name, { maxBytes }, signal);
  } catch (cause) {
    if (codeOf(cause) !== "BlobTooLarge") throw cause;
    throw damaged(`${name} is larger than the ${maxBytes} bytes that it may have`, {}, cause);
  }
}

/** The bytes of an envelope (`*.manifest`). */
export async function readManifestObject(
  store: Pick<BlobStore, "read">,
  name: string,
  signal: AbortSignal,
): Promise<Uint8Array> {
  return readWhole(store, name, MAX_ENVELOPE_BYTES, signal);
}
