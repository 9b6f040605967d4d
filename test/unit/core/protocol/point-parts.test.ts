import { expect, test } from "vitest";
import {
  FOUND_POINT_CHARS_MAX,
  joinFoundPoint,
  splitFoundPoint,
} from "#core/protocol/point-parts.ts";
import { EVENT_PAGE_BYTES_MAX, type FoundPoint } from "#core/protocol/worker-event.ts";
import { createRecords } from "#functions/records.ts";
import { createMemoryRecordStore } from "#azure/storage/memory-record-store.ts";
import { createTestVm } from "../../functions/test-vm.ts";

function pointWith(tag: string): FoundPoint {
  const vm = { ...createTestVm(), tags: { tag } };
  const takenAt = "2026-11-22T00:00:00Z";
  return { vmId: vm.vmId, pointId: "p1", takenAt, source: { kind: "point" }, vm, disks: [] };
}

test.each(["", "x".repeat(100_000), '"\\\n'.repeat(20_000), "ä€𝄞".repeat(10_000)])(
  "a point of any size and any letters is whole when its parts are joined (%#)",
  (tag) => {
    const parts = splitFoundPoint(pointWith(tag)) ?? [];
    expect(joinFoundPoint(parts)).toEqual(pointWith(tag));
    for (const part of parts) {
      expect(JSON.stringify(JSON.stringify(part)).length).toBeLessThan(EVENT_PAGE_BYTES_MAX + 16);
    }
  },
);

test("parts that lack one, are in a wrong order, or are no JSON make no point", () => {
  const parts = splitFoundPoint(pointWith("x".repeat(100_000))) ?? [];
  expect(parts.length).toBe(4);
  expect(joinFoundPoint(parts.slice(1))).toBeUndefined();
  expect(joinFoundPoint(parts.toReversed())).toBeUndefined();
  expect(joinFoundPoint(["bm90IGpzb24="])).toBeUndefined();
  expect(joinFoundPoint([])).toBeUndefined();
});

test("what is split fits a record of the index, whatever its letters", async () => {
  const overhead = JSON.stringify(pointWith("")).length;
  const units = Math.floor((FOUND_POINT_CHARS_MAX - overhead) / 6);
  const largest = pointWith("ä".repeat(units));
  expect(splitFoundPoint(largest)).toBeDefined();
  expect(splitFoundPoint(pointWith("ä".repeat(units + 1)))).toBeUndefined();
  const { points } = createRecords(createMemoryRecordStore());
  const { vmId, pointId, takenAt, vm } = largest;
  const disk = { name: "d", reason: "imported", readBytes: 0, changedBytes: 0, durationMs: 0 };
  const size = { sizeBytes: 1, storedBytes: 1, kind: "full" as const, warnings: [] };
  const disks = Array.from({ length: 65 }, (_, slot) => ({
    ...disk,
    ...size,
    diskId: `disk-${slot}`,
    slot,
  }));
  const rest = { vmName: vm.name, repositoryId: "r-1", state: "available" as const, disks };
  await points.insert(pointId, { pointId, vmId, takenAt, vm, ...rest });
  expect((await points.get(pointId)).vm).toEqual(vm);
});
