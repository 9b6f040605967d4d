/** Header, footer and trailer of a pack or an index: what only a resumed writer or a salvage reads. */
import { framesOf, type FooterFrame } from "../format/footer-frames.ts";
import { requireIntact, HEADER_BYTES } from "../format/layout.ts";
import { frameKeyOf } from "../format/keys.ts";
import {
  TRAILER_BYTES,
  decodeFooter,
  decodeHeader,
  decodeTrailer,
} from "../format/sealed-object.ts";
import type { BlockSource } from "../block-map.ts";
import type { DataKey } from "../writer/pack-writer.ts";
import type { DiskObject } from "./disk-objects.ts";

/**
 * The frames of a container whose ends are sound, in the order in which they lie. Throws
 * `RepositoryDamaged`, or what the store says of an object that is gone.
 */
export async function checkContainer(
  { store }: BlockSource,
  object: DiskObject,
  dataKey: DataKey,
  signal: AbortSignal,
): Promise<readonly FooterFrame[]> {
  const { name, kind, sizeBytes } = object;
  const range = (offsetBytes: number, lengthBytes: number) =>
    store.read(name, { offsetBytes, lengthBytes }, signal);
  requireIntact(sizeBytes >= HEADER_BYTES + TRAILER_BYTES, `a ${kind} is too short`);
  const { objectId, dataKeyId } = decodeHeader(kind, await range(0, HEADER_BYTES));
  requireIntact(
    objectId.toString("hex") === object.id && dataKeyId.toString("hex") === dataKey.keyId,
    `the header of a ${kind} names another object or key`,
  );
  const trailerAt = sizeBytes - TRAILER_BYTES;
  const { footerBytes } = decodeTrailer(await range(trailerAt, TRAILER_BYTES), objectId);
  const footerAt = trailerAt - footerBytes;
  requireIntact(footerAt >= HEADER_BYTES, `the footer of a ${kind} is larger than the object`);
  const key = frameKeyOf(dataKey.key, objectId);
  const frames = framesOf(decodeFooter(key, objectId, await range(footerAt, footerBytes)));
  const last = frames.at(-1);
  const endBytes = last === undefined ? HEADER_BYTES : last.offsetBytes + last.storedBytes;
  requireIntact(endBytes === footerAt, `the footer of a ${kind} does not describe its frames`);
  return frames;
}
