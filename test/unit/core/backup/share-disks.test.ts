import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { planBackup } from "#core/backup/plan-backup.ts";
import { shareDisks } from "#core/backup/share-disks.ts";
import { DISK_PART_ALIGNMENT_BYTES, DISK_PARTS_MAX } from "#core/model/disk-part.ts";
import { LEAF_BLOCKS } from "#core/repository/format/layout.ts";
import { defaultBlockBytes } from "#core/repository/writer/write-options.ts";

const GIB = 1024 ** 3;
const TIB = 1024 * GIB;
const sharedFromBytes = 8 * TIB;

describe("sharing of disks", () => {
  it.each([
    { sizes: [7 * TIB], workersMax: 5, counts: [undefined] },
    { sizes: [8 * TIB], workersMax: 5, counts: [4] },
    { sizes: [32 * TIB], workersMax: 100, counts: [4] },
    { sizes: [8 * TIB], workersMax: 3, counts: [3] },
    { sizes: [8 * TIB], workersMax: 2, counts: [2] },
    { sizes: [8 * TIB], workersMax: 1, counts: [0] },
    { sizes: [8 * TIB, 16 * TIB], workersMax: 5, counts: [2, 2] },
    { sizes: [8 * TIB, 100 * GIB, 16 * TIB], workersMax: 8, counts: [4, undefined, 4] },
    { sizes: [8 * TIB, 16 * TIB, 9 * TIB], workersMax: 5, counts: [0, 2, 2] },
    { sizes: [8 * TIB, 16 * TIB], workersMax: 3, counts: [0, 2] },
  ])("$sizes with $workersMax workers: $counts parts", ({ sizes, workersMax, counts }) => {
    const disks = sizes.map((sizeBytes, number) => ({ diskId: `${number}`, sizeBytes }));
    const shared = shareDisks(disks, { sharedFromBytes, workersMax });
    expect(disks.map(({ diskId }) => shared.get(diskId)?.parts.length)).toEqual(counts);
    for (const { parts, reason } of shared.values()) {
      expect(reason).toMatch(parts.length === 0 ? /^read by one worker/ : /^shared by \d workers/);
    }
  });

  it("cuts at whole leaves of the default block size, the last part up to the end", () => {
    for (const size of [1, 4 * TIB, 4 * TIB + 512, 32 * TIB]) {
      expect(DISK_PART_ALIGNMENT_BYTES % (LEAF_BLOCKS * defaultBlockBytes(size))).toBe(0);
    }
    const sizeBytes = 5 * DISK_PART_ALIGNMENT_BYTES + 512;
    const shared = shareDisks([{ diskId: "d", sizeBytes }], { sharedFromBytes: 1, workersMax: 4 });
    expect(shared.get("d")?.parts.map(({ lengthBytes }) => lengthBytes)).toEqual([
      DISK_PART_ALIGNMENT_BYTES,
      2 * DISK_PART_ALIGNMENT_BYTES,
      DISK_PART_ALIGNMENT_BYTES,
      DISK_PART_ALIGNMENT_BYTES + 512,
    ]);
  });

  it("leaves a disk of one leaf alone, however low the bound is", () => {
    const disk = { diskId: "d", sizeBytes: DISK_PART_ALIGNMENT_BYTES };
    expect(shareDisks([disk], { sharedFromBytes: 1, workersMax: 4 }).size).toBe(0);
  });

  it("covers every disk exactly once, with no more parts than workers, none of them empty", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 64 * 2048 }), { minLength: 1, maxLength: 8 });
    const property = fc.property(
      sizes,
      fc.integer({ min: 1, max: 100 }),
      fc.nat(511),
      (sizesMib, workersMax, tailSectors) => {
        const disks = sizesMib.map((mib, number) => ({
          diskId: `${number}`,
          sizeBytes: mib * 512 * 1024 * 1024 + tailSectors * 512,
        }));
        const shared = shareDisks(disks, { sharedFromBytes: 8 * TIB, workersMax });
        let total = 0;
        for (const { diskId, sizeBytes } of disks) {
          const parts = shared.get(diskId)?.parts ?? [];
          total += parts.length;
          if (parts.length === 0) continue;
          expect(parts.length).toBeGreaterThanOrEqual(2);
          expect(parts.length).toBeLessThanOrEqual(DISK_PARTS_MAX);
          let next = 0;
          for (const { offsetBytes, lengthBytes } of parts) {
            expect(offsetBytes).toBe(next);
            expect(offsetBytes % DISK_PART_ALIGNMENT_BYTES).toBe(0);
            expect(lengthBytes).toBeGreaterThan(0);
            next += lengthBytes;
          }
          expect(next).toBe(sizeBytes);
        }
        expect(total).toBeLessThanOrEqual(workersMax);
      },
    );
    fc.assert(property);
  });

  it("shares fulls only, and says so beside the reason for the full", () => {
    const snapshot = (sizeBytes: number) => ({
      snapshotId: "/snap/1",
      familyId: "f",
      sourceDiskUniqueId: "u",
      sizeBytes,
      needsToken: false,
    });
    const disk = (diskId: string, sizeBytes: number) => ({
      diskId,
      name: diskId,
      sizeBytes,
      snapshot: snapshot(sizeBytes),
      baseSnapshot: undefined,
    });
    const plans = planBackup({
      forceFull: false,
      parent: undefined,
      disks: [disk("os", 30 * GIB), disk("huge", 16 * TIB)],
      sharing: { sharedFromBytes, workersMax: 2 },
    });
    expect(plans).toMatchObject([
      { diskId: "os", kind: "full", reason: "first backup" },
      { diskId: "huge", kind: "full", reason: "first backup; shared by 2 workers for its size" },
    ]);
    expect(plans.map(({ parts }) => parts?.length)).toEqual([undefined, 2]);
  });
});
