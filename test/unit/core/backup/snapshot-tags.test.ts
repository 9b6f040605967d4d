import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeSnapshotTag,
  encodeSnapshotTag,
  TAG_VALUE_CHARACTERS_MAX,
} from "#core/backup/snapshot-tags.ts";
import { snapshotIdOf } from "#core/backup/snapshot-name.ts";
import { backupSessionId } from "#core/model/session.ts";
import { createTestVm } from "../../functions/test-vm.ts";

const key = new Uint8Array(32).fill(7);
const vm = createTestVm();
const id = snapshotIdOf(vm.osDisk, "backup-1");
const tag = {
  setId: backupSessionId(vm.vmId, "20261122T013000Z", "p-0123456789ab"),
  vmId: vm.vmId,
  slot: "os",
} as const;
const isForeign = expect.objectContaining({ code: "ForeignSnapshotTag" });

describe("tag of a snapshot", () => {
  it("comes back as it was, whatever the case of the id, and says nothing in the clear", () => {
    const value = encodeSnapshotTag(key, id, tag);
    expect(decodeSnapshotTag(key, id.toUpperCase(), value)).toEqual(tag);
    expect(Buffer.from(value, "base64url").toString("latin1")).not.toContain(vm.vmId.slice(0, 8));
    expect(value.length).toBeLessThanOrEqual(TAG_VALUE_CHARACTERS_MAX);
    expect(encodeSnapshotTag(key, id, tag)).toBe(value);
    expect(encodeSnapshotTag(key, id, { ...tag, slot: 3 }).slice(0, 16)).not.toBe(
      value.slice(0, 16),
    );
  });

  it("is not believed on another snapshot, with another key, or when it was changed", () => {
    const value = encodeSnapshotTag(key, id, tag);
    expect(() => decodeSnapshotTag(key, `${id}x`, value)).toThrow(isForeign);
    expect(() => decodeSnapshotTag(new Uint8Array(32), id, value)).toThrow(isForeign);
    fc.assert(
      fc.property(fc.nat(value.length - 2), fc.constantFrom("A", "B"), (at, letter) => {
        const changed = `${value.slice(0, at)}${value[at] === letter ? "C" : letter}${value.slice(at + 1)}`;
        expect(() => decodeSnapshotTag(key, id, changed)).toThrow(isForeign);
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => decodeSnapshotTag(key, id, text)).toThrow(isForeign);
      }),
    );
  });
});

describe("name of a snapshot", () => {
  it("lies in the disk's group, within Azure's rules, and belongs to one session and disk", () => {
    const long = { ...vm.osDisk, name: `${"ä".repeat(100)}.x` };
    const name = snapshotIdOf(long, "backup-1").split("/").at(-1);
    expect(name).toMatch(/^[A-Za-z0-9][A-Za-z0-9_-]{0,78}[A-Za-z0-9]$/);
    expect(id).toContain(
      "/resourceGroups/shop/providers/Microsoft.Compute/snapshots/holdfast-web-os-",
    );
    expect(snapshotIdOf(vm.osDisk, "backup-2")).not.toBe(id);
    expect(snapshotIdOf({ ...vm.osDisk, diskId: "other" }, "backup-1")).not.toBe(id);
  });
});
