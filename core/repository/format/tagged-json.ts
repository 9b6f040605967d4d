/**
 * JSON in the clear that ends with a tag over all bytes before it: `,"tag":"<64 hex>"}` and a line
 * feed. Whoever has the key sees any change; whoever has not can read it.
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { keyObjectOf } from "./keys.ts";

const TAG_START = ',"tag":"';
const TAG_END = '"}\n';

function tagOf(key: Uint8Array, text: string): string {
  return createHmac("sha256", keyObjectOf(key)).update(text).digest("hex");
}

/** @param document a JSON object with at least one member, none of them `tag` */
export function encodeTaggedJson(document: object, key: Uint8Array): Buffer {
  const text = JSON.stringify(document, null, 1).slice(0, -1).trimEnd();
  return Buffer.from(`${text}${TAG_START}${tagOf(key, text)}${TAG_END}`);
}

export function isTaggedBy(key: Uint8Array, bytes: Uint8Array): boolean {
  const file = Buffer.from(bytes);
  const tagAt = file.lastIndexOf(TAG_START);
  if (tagAt < 0) return false;
  const text = file.toString("utf8", 0, tagAt);
  const expected = Buffer.from(`${text}${TAG_START}${tagOf(key, text)}${TAG_END}`);
  return file.length === expected.length && timingSafeEqual(file, expected);
}
