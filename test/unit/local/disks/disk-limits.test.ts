import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDiskService, type LocalDiskService } from "#local/disks/local-disk-service.ts";

const gibibyte = 1024 ** 3;
const uploadSizeBytes = 20 * 1024 * 1024 + 512;

let directory: string;
let service: LocalDiskService;
let nowMs: number;

beforeEach(async () => {
  nowMs = Date.parse("2026-11-22T00:00:00Z");
  directory = await mkdtemp(join(tmpdir(), "disk-limits-"));
  service = await openDiskService({
    stateDirectory: directory,
    now: () => new Date(nowMs),
    random: randomBytes,
  });
  service.dataPlaneOrigin = "https://disks.test";
  await service.createEmptyDisk({ id: "disk", sizeBytes: gibibyte });
});

afterEach(async () => {
  await service.close();
  await rm(directory, { recursive: true, force: true });
});

async function snapshots(count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    nowMs += 60_000;
    await service.createSnapshot({ snapshotId: `snapshot${index}`, diskId: "disk" });
  }
}

function grant(kind: "disk" | "snapshot", id: string, access: "Read" | "Write" = "Read") {
  return service.grantAccess({ kind, id, access, durationSeconds: 3600 });
}

describe("snapshots", () => {
  it("refuses the eighth incremental snapshot of a disk in five minutes, deleted ones included", async () => {
    for (let index = 0; index < 7; index++) {
      await service.createSnapshot({ snapshotId: `s${index}`, diskId: "disk" });
      await service.deleteSnapshot(`s${index}`);
    }
    const eighth = () => service.createSnapshot({ snapshotId: "s7", diskId: "disk" });
    await expect(eighth()).rejects.toMatchObject({
      statusCode: 409,
      code: "SnapshotOperationRateExceeded",
    });
    await service.createSnapshot({ snapshotId: "full", diskId: "disk", incremental: false });
    nowMs += 5 * 60_000;
    expect((await eighth()).incremental).toBe(true);
  });

  it("refuses more than 500 snapshots of a disk", async () => {
    await snapshots(500);
    nowMs += 60_000;
    await expect(
      service.createSnapshot({ snapshotId: "one more", diskId: "disk" }),
    ).rejects.toMatchObject({ statusCode: 409, code: "SnapshotsLimitReached" });
    await service.deleteSnapshot("snapshot250");
    await service.createSnapshot({ snapshotId: "one more", diskId: "disk" });
  });

  it("gives a disk copied from a snapshot a new family and names its source", async () => {
    await snapshots(1);
    const source = service.describeSnapshot("snapshot0")!;
    const copy = await service.createDiskFromSnapshot({ id: "copy", snapshotId: "snapshot0" });
    expect(source.sourceUniqueId).toBe(service.describeDisk("disk")!.uniqueId);
    expect(copy.sourceUniqueId).toBe(source.uniqueId);
    expect(copy.familyId).not.toBe(source.familyId);
    await expect(
      service.createDiskFromSnapshot({ id: "small", snapshotId: "snapshot0", sizeBytes: 512 }),
    ).rejects.toMatchObject({ code: "InvalidParameter" });
  });

  it("counts as allocated only what is not cleared again", async () => {
    await service.guestWrite("disk", 0, new Uint8Array(4096));
    await snapshots(1);
    await service.guestClear("disk", 1024, 512);
    await service.guestWrite("disk", 4096, new Uint8Array(512));
    expect(service.describeDisk("disk")!.allocatedBytes).toBe(4096);
    expect(service.describeSnapshot("snapshot0")!.allocatedBytes).toBe(4096);
    await service.guestClear("disk", 0, gibibyte);
    expect(service.describeDisk("disk")!.allocatedBytes).toBe(0);
  });
});

describe("grants", () => {
  it("allows five live SAS per snapshot family, whatever was revoked or has expired", async () => {
    await snapshots(8);
    for (let index = 0; index < 5; index++) await grant("snapshot", `snapshot${index}`);
    await expect(grant("snapshot", "snapshot5")).rejects.toMatchObject({
      statusCode: 409,
      code: "OperationNotAllowed",
    });
    await service.revokeAccess({ kind: "snapshot", id: "snapshot0" });
    await grant("snapshot", "snapshot5");
    await expect(grant("snapshot", "snapshot6")).rejects.toMatchObject({ statusCode: 409 });
    nowMs += 3600_000;
    await grant("snapshot", "snapshot6");
    expect(service.listGrants().map(({ id }) => id)).toEqual(["snapshot6"]);
  });

  it("answers a repeated grant with the same SAS and expiry", async () => {
    const first = await grant("disk", "disk");
    nowMs += 60_000;
    expect(await grant("disk", "disk")).toEqual(first);
    await service.revokeAccess({ kind: "disk", id: "disk" });
    await service.revokeAccess({ kind: "disk", id: "disk" });
    expect((await grant("disk", "disk")).accessSas).not.toBe(first.accessSas);
  });

  it("refuses a disk of a running VM, an unknown id, a duration over 60 days", async () => {
    const request = { kind: "disk", id: "disk", access: "Read", durationSeconds: 60 } as const;
    await expect(
      service.grantAccess({ ...request, attachedToRunningVmId: "vm1" }),
    ).rejects.toMatchObject({ statusCode: 409, code: "Conflict" });
    await expect(service.grantAccess({ ...request, id: "none" })).rejects.toMatchObject({
      statusCode: 404,
    });
    for (const durationSeconds of [0, 60 * 24 * 3600 + 1]) {
      await expect(service.grantAccess({ ...request, durationSeconds })).rejects.toMatchObject({
        statusCode: 400,
        code: "InvalidParameter",
      });
    }
  });

  it("blocks attaching, writing, resizing and deleting while a disk has a live SAS", async () => {
    await grant("disk", "disk");
    expect(service.describeDisk("disk")!.state).toBe("ActiveSAS");
    expect(() => service.assertAttachable("disk")).toThrow(/active shared access signature/);
    await expect(service.guestWrite("disk", 0, new Uint8Array(512))).rejects.toThrow(/active/);
    await expect(service.deleteDisk("disk")).rejects.toMatchObject({ code: "OperationNotAllowed" });
    await expect(service.resizeDisk("disk", 2 * gibibyte)).rejects.toMatchObject({
      code: "ChangeDiskSizeWhileActiveSasNotAllowed",
    });
    await service.revokeAccess({ kind: "disk", id: "disk" });
    service.assertAttachable("disk");
    expect((await service.resizeDisk("disk", 2 * gibibyte)).sizeBytes).toBe(2 * gibibyte);
    await expect(service.resizeDisk("disk", gibibyte)).rejects.toMatchObject({ statusCode: 409 });
    expect(await service.deleteDisk("disk")).toBe(true);
    expect(await service.deleteDisk("disk")).toBe(false);
  });
});

describe("uploads", () => {
  it("take sizes of 20 MiB to 32,767 GiB with the footer", async () => {
    for (const size of [uploadSizeBytes - 512, uploadSizeBytes + 1, 32767 * gibibyte + 1024]) {
      await expect(
        service.createUploadDisk({ id: "up", uploadSizeBytes: size }),
      ).rejects.toMatchObject({ code: "InvalidParameter" });
    }
    const disk = await service.createUploadDisk({ id: "up", uploadSizeBytes });
    expect(disk).toMatchObject({ sizeBytes: uploadSizeBytes - 512, state: "ReadyToUpload" });
  });

  it("go from ReadyToUpload over ActiveUpload, and stay unusable without a footer", async () => {
    await service.createUploadDisk({ id: "up", uploadSizeBytes });
    await expect(grant("disk", "up")).rejects.toMatchObject({ code: "OperationNotAllowed" });
    await expect(grant("disk", "disk", "Write")).rejects.toMatchObject({
      code: "OperationNotAllowed",
    });
    await grant("disk", "up", "Write");
    expect(service.describeDisk("up")!.state).toBe("ActiveUpload");
    await expect(service.guestRead("up", 0, 512)).rejects.toThrow(/ActiveUpload/);
    await service.revokeAccess({ kind: "disk", id: "up" });
    expect(service.describeDisk("up")).toMatchObject({
      state: "Unattached",
      uploadDefect: "FooterMissing",
    });
    expect(() => service.assertAttachable("up")).toThrow(/footer/);
    await expect(grant("disk", "up")).rejects.toThrow(/footer/);
    await expect(grant("disk", "up", "Write")).rejects.toThrow(/ReadyToUpload/);
    expect(await service.deleteDisk("up")).toBe(true);
  });
});

it("survives a restart with disks, snapshots, grants and the rate window", async () => {
  await service.guestWrite("disk", 512, new Uint8Array(512).fill(9));
  for (let index = 0; index < 7; index++) {
    await service.createSnapshot({ snapshotId: `s${index}`, diskId: "disk" });
  }
  const { accessSas } = await grant("snapshot", "s0");
  const before = service.describeSnapshot("s0");
  await service.close();
  service = await openDiskService({
    stateDirectory: directory,
    now: () => new Date(nowMs),
    random: randomBytes,
  });
  service.dataPlaneOrigin = "https://disks.test";
  expect(service.describeSnapshot("s0")).toEqual(before);
  expect((await grant("snapshot", "s0")).accessSas).toBe(accessSas);
  expect(await service.guestRead("disk", 512, 512)).toEqual(new Uint8Array(512).fill(9));
  await expect(service.createSnapshot({ snapshotId: "s7", diskId: "disk" })).rejects.toMatchObject({
    code: "SnapshotOperationRateExceeded",
  });
});
