/**
 * Footer of a fixed VHD: the last 512 bytes of what Azure exports of a disk and expects of an upload.
 * Layout, checksum and the geometry algorithm: "Virtual Hard Disk Image Format Specification"
 * (Microsoft, version 1.0, sections "Hard Disk Footer Format" and "CHS Calculation").
 */
import { assert } from "./assert.ts";

export const vhdFooterSizeBytes = 512;

const cookie = "conectix";
const checksumOffset = 64;
const fixedDiskType = 2;
/** Feature bit that the specification says is always set. */
const reservedFeature = 2;
const formatVersion = 0x00010000;
/** VHD times count seconds from 2000-01-01T00:00:00Z. */
const vhdEpochMs = Date.UTC(2000, 0, 1);

export interface VhdFooterFields {
  /** Size of the disk without the footer; a multiple of 512. */
  readonly sizeBytes: number;
  /** 16 bytes that identify the disk. */
  readonly uniqueId: Uint8Array;
  readonly createdAtMs: number;
  /** Four characters; ours unless told. */
  readonly creatorApplication?: string;
}

const ownCreator = "hldf";

export function encodeVhdFooter(fields: VhdFooterFields): Uint8Array {
  const { sizeBytes, uniqueId, createdAtMs, creatorApplication = ownCreator } = fields;
  assert(sizeBytes % 512 === 0, `VHD size ${sizeBytes} is not a multiple of 512`);
  assert(uniqueId.byteLength === 16, `VHD unique id of ${uniqueId.byteLength} bytes`);
  const footer = new Uint8Array(vhdFooterSizeBytes);
  const view = new DataView(footer.buffer);
  footer.set(new TextEncoder().encode(cookie), 0);
  view.setUint32(8, reservedFeature);
  view.setUint32(12, formatVersion);
  // A fixed disk has no further header: all ones.
  view.setBigUint64(16, 0xffff_ffff_ffff_ffffn);
  view.setUint32(24, Math.max(0, Math.floor((createdAtMs - vhdEpochMs) / 1000)));
  footer.set(new TextEncoder().encode(creatorApplication.slice(0, 4)), 28);
  view.setUint32(32, formatVersion);
  footer.set(new TextEncoder().encode("Wi2k"), 36);
  view.setBigUint64(40, BigInt(sizeBytes));
  view.setBigUint64(48, BigInt(sizeBytes));
  const { cylinders, heads, sectorsPerTrack } = vhdGeometry(sizeBytes);
  view.setUint16(56, cylinders);
  view.setUint8(58, heads);
  view.setUint8(59, sectorsPerTrack);
  view.setUint32(60, fixedDiskType);
  footer.set(uniqueId, 68);
  view.setUint32(checksumOffset, checksumOf(footer));
  return footer;
}

/** What is wrong with the footer of a fixed disk of `sizeBytes`, or undefined when it is valid. */
export function findVhdFooterDefect(footer: Uint8Array, sizeBytes: number): string | undefined {
  if (footer.byteLength !== vhdFooterSizeBytes) return `footer has ${footer.byteLength} bytes`;
  const view = new DataView(footer.buffer, footer.byteOffset, footer.byteLength);
  const found = new TextDecoder("latin1").decode(footer.subarray(0, 8));
  if (found !== cookie) return `footer does not begin with "${cookie}"`;
  if (view.getUint32(checksumOffset) !== checksumOf(footer)) return "footer checksum is wrong";
  if (view.getUint32(60) !== fixedDiskType) return "footer is not of a fixed disk";
  if (view.getBigUint64(48) !== BigInt(sizeBytes)) {
    return `footer says ${view.getBigUint64(48)} bytes, the disk has ${sizeBytes}`;
  }
  return undefined;
}

/** One's complement of the sum of all bytes but the checksum itself. */
function checksumOf(footer: Uint8Array): number {
  let sum = 0;
  for (const [index, byte] of footer.entries()) {
    if (index < checksumOffset || index >= checksumOffset + 4) sum += byte;
  }
  return ~sum >>> 0;
}

/** Cylinders, heads and sectors as the specification computes them; capped for large disks. */
export function vhdGeometry(sizeBytes: number): {
  cylinders: number;
  heads: number;
  sectorsPerTrack: number;
} {
  const totalSectors = Math.min(sizeBytes / 512, 65535 * 16 * 255);
  if (totalSectors >= 65535 * 16 * 63) {
    return { cylinders: Math.floor(totalSectors / 255 / 16), heads: 16, sectorsPerTrack: 255 };
  }
  let sectorsPerTrack = 17;
  let cylindersTimesHeads = Math.floor(totalSectors / sectorsPerTrack);
  let heads = Math.max(4, Math.floor((cylindersTimesHeads + 1023) / 1024));
  if (cylindersTimesHeads >= heads * 1024 || heads > 16) {
    sectorsPerTrack = 31;
    heads = 16;
    cylindersTimesHeads = Math.floor(totalSectors / sectorsPerTrack);
  }
  if (cylindersTimesHeads >= heads * 1024) {
    sectorsPerTrack = 63;
    heads = 16;
    cylindersTimesHeads = Math.floor(totalSectors / sectorsPerTrack);
  }
  return { cylinders: Math.floor(cylindersTimesHeads / heads), heads, sectorsPerTrack };
}
