import { codeOf } from "../../lib/errors.ts";
import type { BlobStore } from "../../ports/blob-store.ts";
import { framesOf } from "../format/footer-frames.ts";
import { frameKeyOf } from "../format/keys.ts";
import { HEADER_BYTES } from "../format/layout.ts";
import {
  TRAILER_BYTES,
  decodeFooter,
  decodeHeader,
  decodeTrailer,
  type FooterEntry,
} from "../format/sealed-object.ts";
import type { DataKey } from "./pack-writer.ts";

export interface PackFooter {
  readonly packId: string;
  readonly sealedFooter: Uint8Array;
  /** In the order in which the frames lie; the first begins behind the header. */
  readonly lines: readonly FooterEntry[];
}

/**
 * What a pack says that it holds. Undefined when it is gone, damaged, or sealed by another key: the
 * caller can do without it.
 */
export async function readPackFooter(
  store: BlobStore,
  blob: { readonly name: string; readonly sizeBytes: number },
  dataKey: DataKey,
  signal: AbortSignal,
): Promise<PackFooter | undefined> {
  const packId = /([0-9a-f]{32})\.pack$/.exec(blob.name)?.[1];
  if (packId === undefined || blob.sizeBytes < HEADER_BYTES + TRAILER_BYTES) return undefined;
  try {
    const range = (offsetBytes: number, lengthBytes: number) =>
      store.read(blob.name, { offsetBytes, lengthBytes }, signal);
    const header = decodeHeader("pack", await range(0, HEADER_BYTES));
    const isOurs =
      header.objectId.toString("hex") === packId &&
      header.dataKeyId.toString("hex") === dataKey.keyId;
    if (!isOurs) return undefined;
    const trailerAt = blob.sizeBytes - TRAILER_BYTES;
    const trailer = decodeTrailer(await range(trailerAt, TRAILER_BYTES), header.objectId);
    const footerAt = trailerAt - trailer.footerBytes;
    if (footerAt < HEADER_BYTES) return undefined;
    const sealedFooter = await range(footerAt, trailer.footerBytes);
    const lines = openFooter(packId, sealedFooter, dataKey);
    const last = framesOf(lines).at(-1);
    if (last === undefined || last.offsetBytes + last.storedBytes !== footerAt) return undefined;
    return { packId, sealedFooter, lines };
  } catch (error) {
    if (isLost(error)) return undefined;
    throw error;
  }
}

/** The footer of a pack whose place is known. Undefined when it is gone. */
export async function readSealedFooter(
  store: BlobStore,
  pack: { readonly name: string; readonly objectBytes: number; readonly footerBytes: number },
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const { name, objectBytes, footerBytes } = pack;
  const offsetBytes = objectBytes - TRAILER_BYTES - footerBytes;
  try {
    return await store.read(name, { offsetBytes, lengthBytes: footerBytes }, signal);
  } catch (error) {
    if (isLost(error)) return undefined;
    throw error;
  }
}

function isLost(error: unknown): boolean {
  return ["RepositoryDamaged", "BlobNotFound", "BlobTooShort"].includes(codeOf(error));
}

export function openFooter(packId: string, sealed: Uint8Array, dataKey: DataKey): FooterEntry[] {
  const objectId = Buffer.from(packId, "hex");
  return decodeFooter(frameKeyOf(dataKey.key, objectId), objectId, sealed);
}
