import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeVhdFooter, findVhdFooterDefect, vhdGeometry } from "#core/lib/vhd-footer.ts";

const gibibyte = 1024 ** 3;

function footer(sizeBytes: number): Uint8Array {
  return encodeVhdFooter({
    sizeBytes,
    uniqueId: new Uint8Array(16).fill(7),
    createdAtMs: Date.UTC(2026, 10, 22),
  });
}

describe("VHD footer", () => {
  it("carries cookie, fixed type, sizes and a sum that makes all bytes add up", () => {
    const bytes = footer(4 * gibibyte);
    const view = new DataView(bytes.buffer);
    expect(new TextDecoder().decode(bytes.subarray(0, 8))).toBe("conectix");
    expect(view.getUint32(60)).toBe(2);
    expect(view.getBigUint64(40)).toBe(BigInt(4 * gibibyte));
    expect(view.getBigUint64(48)).toBe(BigInt(4 * gibibyte));
    const checksum = view.getUint32(64);
    view.setUint32(64, 0);
    const sum = bytes.reduce((total, byte) => total + byte, 0);
    expect((sum + checksum) >>> 0).toBe(0xffff_ffff);
  });

  it("is valid for its own size only, and any changed byte shows", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 36 }),
        fc.nat(511),
        fc.integer({ min: 1, max: 255 }),
        (sectors, at, change) => {
          const bytes = footer(sectors * 512);
          expect(findVhdFooterDefect(bytes, sectors * 512)).toBeUndefined();
          expect(findVhdFooterDefect(bytes, sectors * 512 + 512)).toMatch(/disk has/);
          bytes[at] = (bytes[at] ?? 0) ^ change;
          expect(findVhdFooterDefect(bytes, sectors * 512)).toBeDefined();
        },
      ),
    );
  });

  // Computed by hand from the algorithm of the specification.
  it.each([
    [20 * 1024 ** 2, { cylinders: 602, heads: 4, sectorsPerTrack: 17 }],
    [gibibyte, { cylinders: 2080, heads: 16, sectorsPerTrack: 63 }],
    [127 * gibibyte, { cylinders: 65278, heads: 16, sectorsPerTrack: 255 }],
    [2048 * gibibyte, { cylinders: 65535, heads: 16, sectorsPerTrack: 255 }],
  ])("has the geometry of a disk of %d bytes", (sizeBytes, geometry) => {
    expect(vhdGeometry(sizeBytes)).toEqual(geometry);
  });
});
