import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { findBlob, type ExportedBlob } from "#local/disks/exported-blob.ts";
import { openDiskService, type LocalDiskService } from "#local/disks/local-disk-service.ts";

/** Random histories against a model that keeps every byte of every snapshot. */
const sectorCount = 32;
const sizeBytes = sectorCount * 512;

type Step =
  | { do: "write" | "clear"; disk: number; start: number; length: number; fill: number }
  | { do: "snapshot" | "deleteDisk" | "restart" | "tick"; disk: number }
  | { do: "deleteSnapshot" | "copy"; snapshot: number };

const disk = fc.nat(3);
const snapshot = fc.nat(9);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("write" as const, "clear" as const),
      disk,
      start: fc.nat(sectorCount - 1),
      length: fc.integer({ min: 1, max: 8 }),
      fill: fc.integer({ min: 1, max: 255 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("snapshot" as const), disk }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom("deleteDisk" as const, "restart" as const),
      disk,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom("deleteSnapshot" as const, "copy" as const),
      snapshot,
    }),
  },
);

interface Model {
  disks: { id: string; family: number; bytes: Buffer }[];
  snapshots: { id: string; family: number; bytes: Buffer }[];
}

function blobOf(service: LocalDiskService, snapshotId: string): ExportedBlob {
  const { storeName, containerName } = service.state.snapshot(snapshotId);
  const blob = findBlob(service.state, `/${storeName}/${containerName}/abcd`);
  if (blob === undefined) throw new Error(`no blob of ${snapshotId}`);
  return blob;
}

async function readAll(blob: ExportedBlob): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const piece of blob.read(0, sizeBytes)) {
    parts.push(piece.bytes ?? new Uint8Array(piece.lengthBytes));
  }
  return Buffer.concat(parts);
}

/** The older bytes with the diff applied: data taken from the newer, cleared ranges zeroed. */
function applyDiff(older: Buffer, newer: Buffer, blob: ExportedBlob, previous: ExportedBlob) {
  const result = Buffer.from(older);
  let end = 0;
  for (const range of blob.listChanged(previous, 0, sizeBytes)) {
    expect(range.start).toBeGreaterThanOrEqual(end);
    end = range.end;
    if (range.kind === "clear") result.fill(0, range.start * 512, range.end * 512);
    else newer.copy(result, range.start * 512, range.start * 512, range.end * 512);
  }
  return result;
}

async function check(service: LocalDiskService, model: Model): Promise<void> {
  for (const { id, bytes } of model.disks) {
    expect(Buffer.from(await service.guestRead(id, 0, sizeBytes)).equals(bytes)).toBe(true);
  }
  for (const [index, newer] of model.snapshots.entries()) {
    const blob = blobOf(service, newer.id);
    expect((await readAll(blob)).equals(newer.bytes)).toBe(true);
    const outside = Buffer.from(newer.bytes);
    for (const { start, end } of blob.listAllocated(0, sizeBytes)) {
      outside.fill(0, start * 512, end * 512);
    }
    expect(outside.every((byte) => byte === 0)).toBe(true);
    for (const older of model.snapshots.slice(0, index)) {
      const previous = blobOf(service, older.id);
      if (older.family !== newer.family) {
        expect(() => blob.listChanged(previous, 0, sizeBytes)).toThrow(/same family id/);
      } else {
        const applied = applyDiff(older.bytes, newer.bytes, blob, previous);
        expect(applied.equals(newer.bytes)).toBe(true);
      }
    }
  }
}

async function run(steps: readonly Step[], directory: string): Promise<void> {
  let nowMs = 0;
  let nextId = 0;
  const open = () =>
    openDiskService({ stateDirectory: directory, now: () => new Date(nowMs), random: randomBytes });
  let service = await open();
  const model: Model = { disks: [], snapshots: [] };
  async function addDisk(bytes: Buffer, snapshotId?: string): Promise<void> {
    const id = `disk${nextId++}`;
    if (snapshotId === undefined) await service.createEmptyDisk({ id, sizeBytes });
    else await service.createDiskFromSnapshot({ id, snapshotId });
    model.disks.push({ id, family: nextId, bytes: Buffer.from(bytes) });
  }
  await addDisk(Buffer.alloc(sizeBytes));
  for (const step of steps) {
    nowMs += 60_000;
    const disk = "disk" in step ? model.disks[step.disk % model.disks.length] : undefined;
    const shot =
      "snapshot" in step ? model.snapshots[step.snapshot % model.snapshots.length] : undefined;
    if ((step.do === "write" || step.do === "clear") && disk !== undefined) {
      const end = Math.min(sectorCount, step.start + step.length);
      const fill = step.do === "write" ? step.fill : 0;
      disk.bytes.fill(fill, step.start * 512, end * 512);
      const lengthBytes = (end - step.start) * 512;
      if (step.do === "clear") await service.guestClear(disk.id, step.start * 512, lengthBytes);
      else await service.guestWrite(disk.id, step.start * 512, Buffer.alloc(lengthBytes, fill));
    } else if (step.do === "snapshot" && disk !== undefined) {
      const id = `snapshot${nextId++}`;
      await service.createSnapshot({ snapshotId: id, diskId: disk.id });
      model.snapshots.push({ id, family: disk.family, bytes: Buffer.from(disk.bytes) });
    } else if (step.do === "deleteDisk" && disk !== undefined) {
      await service.deleteDisk(disk.id);
      model.disks.splice(model.disks.indexOf(disk), 1);
      if (model.disks.length === 0) await addDisk(Buffer.alloc(sizeBytes));
    } else if (step.do === "deleteSnapshot" && shot !== undefined) {
      await service.deleteSnapshot(shot.id);
      model.snapshots.splice(model.snapshots.indexOf(shot), 1);
    } else if (step.do === "copy" && shot !== undefined) {
      await addDisk(shot.bytes, shot.id);
    } else if (step.do === "restart") {
      await service.close();
      service = await open();
    }
  }
  await check(service, model);
  await service.close();
  service = await open();
  await check(service, model);
  for (const { id } of model.disks) await service.deleteDisk(id);
  for (const { id } of model.snapshots) await service.deleteSnapshot(id);
  expect(await readdir(join(directory, "layers")).catch(() => [])).toEqual([]);
  await service.close();
}

it("keeps every snapshot's bytes and exact diffs through writes, copies, deletions, restarts", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 15, maxLength: 40, size: "max" }),
      async (steps) => {
        const directory = await mkdtemp(join(tmpdir(), "disk-history-"));
        try {
          await run(steps, directory);
        } finally {
          await rm(directory, { recursive: true, force: true });
        }
      },
    ),
    { numRuns: 50 },
  );
});
