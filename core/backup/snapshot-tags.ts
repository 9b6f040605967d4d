/**
 * Tags that tie the snapshots of one VM taken together. What they say is encrypted, so that a reader
 * of the subscription learns nothing about the backup, and bound to the snapshot's id, so that a tag
 * that was copied to another snapshot is not believed. The nonce is derived from the content: making
 * the same tag twice gives the same tag (a repeated request is the same request), and different
 * contents never share one.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";
import { z } from "zod";
import { HoldfastError } from "../lib/errors.ts";
import { assert } from "../lib/assert.ts";

export const CONTROL_PLANE_TAG = "holdfast-control-plane";
export const SNAPSHOT_SET_TAG = "holdfast-set";
/** On what a restore makes: the session that made it, so that undoing removes nothing else. */
export const SESSION_TAG = "holdfast-session";
/** Azure's limit for the value of a tag. */
export const TAG_VALUE_CHARACTERS_MAX = 256;

export interface SnapshotTag {
  /** The session that took it: all its snapshots are one set. */
  readonly setId: string;
  readonly vmId: string;
  readonly slot: "os" | number;
}

const NONCE_BYTES = 12;
const AUTH_TAG_BYTES = 16;
const payloadSchema = z.tuple([
  z.literal(1),
  z.string().min(1),
  z.string().min(1),
  z.union([z.literal("os"), z.number().int()]),
]);

/** @param masterKey 32 bytes of the control plane */
export function encodeSnapshotTag(
  masterKey: Uint8Array,
  snapshotId: string,
  tag: SnapshotTag,
): string {
  const keys = deriveKeys(masterKey);
  // A set id repeats the VM's id: leaving it out keeps the value within Azure's limit.
  const setId = tag.setId.replaceAll(tag.vmId, "*");
  const plaintext = Buffer.from(JSON.stringify([1, setId, tag.vmId, tag.slot]), "utf8");
  const bound = Buffer.from(snapshotId.toLowerCase(), "utf8");
  const nonce = createHmac("sha256", keys.nonce)
    .update(bound)
    .update(Buffer.from([0]))
    .update(plaintext)
    .digest()
    .subarray(0, NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", keys.encryption, nonce).setAAD(bound);
  const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final()]);
  const value = Buffer.concat([sealed, cipher.getAuthTag()]).toString("base64url");
  assert(value.length <= TAG_VALUE_CHARACTERS_MAX, `tag of ${value.length} characters`);
  return value;
}

/** Throws `HoldfastError` code `ForeignSnapshotTag` when it was not made by us for this snapshot. */
export function decodeSnapshotTag(
  masterKey: Uint8Array,
  snapshotId: string,
  value: string,
): SnapshotTag {
  const keys = deriveKeys(masterKey);
  const bytes = Buffer.from(value, "base64url");
  try {
    const nonce = bytes.subarray(0, NONCE_BYTES);
    const decipher = createDecipheriv("aes-256-gcm", keys.encryption, nonce, {
      authTagLength: AUTH_TAG_BYTES,
    })
      .setAAD(Buffer.from(snapshotId.toLowerCase(), "utf8"))
      .setAuthTag(bytes.subarray(-AUTH_TAG_BYTES));
    const plaintext = Buffer.concat([
      decipher.update(bytes.subarray(NONCE_BYTES, -AUTH_TAG_BYTES)),
      decipher.final(),
    ]);
    const json: unknown = JSON.parse(plaintext.toString("utf8"));
    const [, setId, vmId, slot] = payloadSchema.parse(json);
    return { setId: setId.replaceAll("*", vmId), vmId, slot };
  } catch (error) {
    throw new HoldfastError(
      "ForeignSnapshotTag",
      `Tag ${SNAPSHOT_SET_TAG} of ${snapshotId} was not made by this control plane; it is left alone.`,
      { cause: error },
    );
  }
}

function deriveKeys(masterKey: Uint8Array): { encryption: Uint8Array; nonce: Uint8Array } {
  const derive = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync("sha256", masterKey, new Uint8Array(0), purpose, 32));
  return {
    encryption: derive("holdfast snapshot tag encryption 1"),
    nonce: derive("holdfast snapshot tag nonce 1"),
  };
}
