/**
 * An *envelope* seals one JSON document (a manifest) under the repository key: a 64-byte header in
 * the clear, then the sealed, compressed text. Header and object name are authenticated, so that a
 * manifest that was moved, renamed or edited does not open.
 */
import { assert } from "../../lib/assert.ts";
import { compress, decompress } from "../codec/zstd.ts";
import {
  HEADER_BYTES,
  ID_BYTES,
  MAGICS,
  MAX_MANIFEST_BYTES,
  damaged,
  requireIntact,
} from "./layout.ts";
import { isShallowJson } from "./json-depth.ts";
import { ZERO_NONCE, manifestKeyOf, seal, unseal } from "./keys.ts";

const ENVELOPE_KINDS = {
  diskPoint: 1,
  vmPoint: 2,
  attempt: 3,
  garbageList: 4,
  quarantine: 5,
  keyRewrap: 7,
  archive: 6,
  diskPart: 8,
  retrieval: 9,
} as const;
export type EnvelopeKind = keyof typeof ENVELOPE_KINDS;

const OBJECT_ID_AT = 16;
const KEY_ID_AT = OBJECT_ID_AT + ID_BYTES;

export interface SealingKey {
  /** 32 hexadecimal digits. */
  readonly repositoryKeyId: string;
  readonly repositoryKey: Uint8Array;
}

export interface EnvelopeKey extends SealingKey {
  /** Former keys of the repository: they open what was sealed before a rotation, and seal nothing. */
  readonly former?: readonly SealingKey[];
}

export function sealEnvelope(
  key: EnvelopeKey,
  envelope: {
    readonly kind: EnvelopeKind;
    readonly name: string;
    /** 16 fresh random bytes. */
    readonly objectId: Uint8Array;
    readonly document: unknown;
  },
): Buffer {
  const text = Buffer.from(JSON.stringify(envelope.document));
  assert(text.length <= MAX_MANIFEST_BYTES, `the manifest ${envelope.name} would be too large`);
  assert(isShallowJson(text), `the manifest ${envelope.name} would be nested too deeply`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGICS.manifest, 0, "latin1");
  header.writeUInt8(ENVELOPE_KINDS[envelope.kind], 8);
  header.writeUInt32LE(text.length, 12);
  header.set(envelope.objectId, OBJECT_ID_AT);
  header.write(key.repositoryKeyId, KEY_ID_AT, "hex");
  const aad = Buffer.concat([header, Buffer.from(envelope.name)]);
  const objectKey = manifestKeyOf(key.repositoryKey, envelope.objectId);
  return Buffer.concat([header, seal(objectKey, ZERO_NONCE, aad, compress(text))]);
}

/**
 * The JSON document, the object's id, and the key that sealed it (it also wraps the data keys inside).
 * Throws `RepositoryDamaged` for anything unexpected.
 */
export function openEnvelope(
  key: EnvelopeKey,
  kind: EnvelopeKind,
  name: string,
  bytes: Uint8Array,
): { readonly objectId: string; readonly document: unknown; readonly sealedBy: SealingKey } {
  requireIntact(bytes.length >= HEADER_BYTES, `the manifest ${name} is too short`);
  const header = Buffer.from(bytes.subarray(0, HEADER_BYTES));
  requireIntact(
    header.toString("latin1", 0, 8) === MAGICS.manifest,
    `${name} is no manifest of format 1`,
  );
  requireIntact(
    header.readUInt8(8) === ENVELOPE_KINDS[kind],
    `${name} is a manifest of another kind`,
  );
  const keyId = header.toString("hex", KEY_ID_AT, KEY_ID_AT + ID_BYTES);
  const sealedBy = [key, ...(key.former ?? [])].find((each) => each.repositoryKeyId === keyId);
  requireIntact(sealedBy !== undefined, `${name} is sealed by a repository key that is not open`);
  const rawBytes = header.readUInt32LE(12);
  requireIntact(rawBytes <= MAX_MANIFEST_BYTES, `the manifest ${name} is too large`);
  const objectId = header.subarray(OBJECT_ID_AT, KEY_ID_AT);
  const objectKey = manifestKeyOf(sealedBy.repositoryKey, objectId);
  const aad = Buffer.concat([header, Buffer.from(name)]);
  const text = decompress(
    unseal(objectKey, ZERO_NONCE, aad, bytes.subarray(HEADER_BYTES)),
    rawBytes,
  );
  requireIntact(isShallowJson(text), `the manifest ${name} is nested too deeply`);
  try {
    const document: unknown = JSON.parse(text.toString("utf8"));
    return { objectId: objectId.toString("hex"), document, sealedBy };
  } catch (cause) {
    throw damaged(`the manifest ${name} holds no JSON`, {}, cause);
  }
}
