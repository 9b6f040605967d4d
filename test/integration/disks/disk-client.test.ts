import { randomBytes } from "node:crypto";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createDiskData } from "#azure/disk/disk-data.ts";
import type { ChangedRange, DiskData, DiskRange } from "#core/ports/disk-data.ts";
import { mebibyte, pattern, startDiskStack, type DiskStack } from "./disk-stack-fixture.ts";

const signal = new AbortController().signal;
const sizeBytes = 64 * mebibyte + 512;

let stack: DiskStack;
let data: DiskData;

beforeEach(async () => {
  stack = await startDiskStack();
  data = createDiskData({ ca: stack.ca, backoffMs: 1, maxAttempts: 6, requestTimeoutMs: 5000 });
  await stack.service.createEmptyDisk({ id: "disk", sizeBytes });
});

afterEach(() => stack.close());

async function grant(id: string): Promise<string> {
  const request = { kind: "snapshot", id, access: "Read", durationSeconds: 3600 } as const;
  return (await stack.service.grantAccess(request)).accessSas;
}

async function snapshot(id: string): Promise<string> {
  await stack.service.createSnapshot({ snapshotId: id, diskId: "disk" });
  return grant(id);
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function codeOfFailure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => "succeeded",
    (error: { code?: unknown }) => error.code,
  );
}

describe("reading", () => {
  it("shows size, allocated ranges and bytes of a snapshot without the footer", async () => {
    const bytes = pattern(2 * mebibyte, 1);
    await stack.service.guestWrite("disk", mebibyte, bytes);
    // The last sector touches the footer's page, which Azure lists as one range with it.
    await stack.service.guestWrite("disk", sizeBytes - 512, pattern(512, 2));
    await using reader = data.openReader(await snapshot("s1"));
    expect(await reader.readSizeBytes(signal)).toBe(sizeBytes);
    const ranges: DiskRange[] = [
      { offsetBytes: mebibyte, lengthBytes: 2 * mebibyte },
      { offsetBytes: sizeBytes - 512, lengthBytes: 512 },
    ];
    expect(await collect(reader.listAllocated(signal))).toEqual(ranges);
    const found = await reader.read({ offsetBytes: 0, lengthBytes: 10 * mebibyte }, signal);
    const expected = new Uint8Array(10 * mebibyte);
    expected.set(bytes, mebibyte);
    expect(Buffer.compare(found, expected)).toBe(0);
    const counters = stack.service.countersOf({ kind: "snapshot", id: "s1" });
    expect(counters.readBytes).toBe(10 * mebibyte);
  });

  it("lists what changed since an older snapshot, clears included", async () => {
    await stack.service.guestWrite("disk", 0, pattern(4096, 1));
    const older = await snapshot("s1");
    await stack.service.guestWrite("disk", 512, pattern(512, 1));
    await stack.service.guestWrite("disk", 8192, pattern(1024, 3));
    await stack.service.guestClear("disk", 8704, 1024);
    await using reader = data.openReader(await snapshot("s2"));
    const changes: ChangedRange[] = [
      { offsetBytes: 512, lengthBytes: 512, kind: "data" },
      { offsetBytes: 8192, lengthBytes: 512, kind: "data" },
      { offsetBytes: 8704, lengthBytes: 1024, kind: "clear" },
    ];
    expect(await collect(reader.listChanged(older, signal))).toEqual(changes);
  });

  it("follows markers through more ranges than one answer holds", async () => {
    const count = 25_000;
    for (let index = 0; index < count; index++) {
      stack.service.state.layers
        .writable(stack.service.state.disk("disk").layerId)
        .map.set(index * 4, index * 4 + 1, "data");
    }
    await using reader = data.openReader(await snapshot("s1"));
    const ranges = await collect(reader.listAllocated(signal));
    expect(ranges).toHaveLength(count);
    expect(ranges[count - 1]).toEqual({ offsetBytes: (count - 1) * 2048, lengthBytes: 512 });
    expect(stack.service.countersOf({ kind: "snapshot", id: "s1" }).pageListCount).toBe(3);
  });

  it("gives DiffUnavailable for another family, a newer base and growth over 4 TiB", async () => {
    await stack.service.createEmptyDisk({ id: "other", sizeBytes });
    await stack.service.createSnapshot({ snapshotId: "foreign", diskId: "other" });
    const first = await snapshot("s1");
    const second = await snapshot("s2");
    await stack.service.resizeDisk("disk", 5 * 1024 ** 4);
    const grown = await snapshot("s3");
    const pairs = [
      [second, await grant("foreign")],
      [first, second],
      [grown, second],
    ] as const;
    for (const [newer, older] of pairs) {
      await using reader = data.openReader(newer);
      const listing = collect(reader.listChanged(older, signal));
      expect(await codeOfFailure(listing)).toBe("DiffUnavailable");
    }
  });
});

describe("writing", () => {
  it("fills an upload disk so that it equals the source, footer last, zeros not sent", async () => {
    const size = 40 * mebibyte + 1536;
    await stack.service.createUploadDisk({ id: "up", uploadSizeBytes: size + 512 });
    const { accessSas } = await stack.service.grantAccess({
      kind: "disk",
      id: "up",
      access: "Write",
      durationSeconds: 3600,
    });
    const bytes = randomBytes(9 * mebibyte);
    bytes.fill(0, 4 * mebibyte, 8 * mebibyte);
    {
      await using writer = data.openWriter(accessSas, size);
      await writer.write(mebibyte, bytes, signal);
      await writer.write(size - 512, pattern(512, 5), signal);
      await writer.finish(signal);
    }
    const counters = stack.service.countersOf({ kind: "disk", id: "up" });
    expect(counters.writtenBytes).toBe(5 * mebibyte + 512);
    await stack.service.revokeAccess({ kind: "disk", id: "up" });
    expect(stack.service.describeDisk("up")).toMatchObject({
      state: "Unattached",
      uploadDefect: undefined,
    });
    const found = await stack.service.guestRead("up", mebibyte, bytes.byteLength);
    expect(Buffer.from(found).equals(bytes)).toBe(true);
    expect(await stack.service.guestRead("up", size - 512, 512)).toEqual(pattern(512, 5));
    stack.service.assertAttachable("up");
  });
});

describe("failures", () => {
  async function reader(id = "s1") {
    await stack.service.guestWrite("disk", 0, pattern(8 * mebibyte, 4));
    return data.openReader(await snapshot(id));
  }

  it("retries throttling, server errors and cut connections, and still reads every byte", async () => {
    await using it = await reader();
    await it.readSizeBytes(signal);
    stack.plane.faults.failNext({ status: 503, code: "ServerBusy", count: 2 });
    stack.plane.faults.failNext({ status: 500, code: "InternalError" });
    stack.plane.faults.failNext({ cutAfterBytes: 100_000, count: 2 });
    const bytes = await it.read({ offsetBytes: 0, lengthBytes: 8 * mebibyte }, signal);
    expect(Buffer.compare(bytes, pattern(8 * mebibyte, 4))).toBe(0);
  });

  it("reads everything when Azure bears only two requests at once", async () => {
    await using it = await reader();
    stack.plane.faults.throttleAbove(2);
    const bytes = await it.read({ offsetBytes: 0, lengthBytes: 64 * mebibyte }, signal);
    expect(Buffer.compare(bytes.subarray(0, 8 * mebibyte), pattern(8 * mebibyte, 4))).toBe(0);
  });

  it("gives up on lasting throttling and on lasting cuts with a code that says why", async () => {
    await using it = await reader();
    await it.readSizeBytes(signal);
    stack.plane.faults.failNext({ status: 503, code: "ServerBusy", count: 6 });
    const range = { offsetBytes: 0, lengthBytes: mebibyte };
    expect(await codeOfFailure(it.read(range, signal))).toBe("DiskBusy");
    stack.plane.faults.failNext({ cutAfterBytes: 10, count: 6 });
    expect(await codeOfFailure(it.read(range, signal))).toBe("ShortRead");
  });

  it("halves the window of a listing that times out, and lists the same", async () => {
    await using it = await reader();
    const expected = await collect(it.listAllocated(signal));
    stack.plane.faults.failNext({
      match: ({ operation }) => operation === "pageList",
      status: 500,
      code: "OperationTimedOut",
      count: 3,
    });
    expect(await collect(it.listAllocated(signal))).toEqual(expected);
    const { pageListCount } = stack.service.countersOf({ kind: "snapshot", id: "s1" });
    expect(pageListCount).toBeGreaterThan(2);
  });

  it("tells an expired SAS from a revoked one, tries neither again, and never shows it", async () => {
    const sas = await snapshot("s1");
    const signature = new URL(sas).searchParams.get("sig")!;
    await using it = data.openReader(sas);
    await it.readSizeBytes(signal);
    stack.clock.advanceSeconds(3601);
    const range = { offsetBytes: 0, lengthBytes: 512 };
    const expired = await it.read(range, signal).catch((error: unknown) => error);
    expect(expired).toMatchObject({ code: "SasExpired", retry: "never" });
    await stack.service.revokeAccess({ kind: "snapshot", id: "s1" });
    const revoked = await it.read(range, signal).catch((error: unknown) => error);
    expect(revoked).toMatchObject({ code: "SasRefused", retry: "never" });
    for (const error of [expired, revoked]) {
      const shown = `${String(error)} ${JSON.stringify(error)} ${(error as Error).stack}`;
      expect(shown).not.toContain(encodeURIComponent(signature));
      expect(shown).not.toContain(signature);
    }
  });

  it("stops at once when it is cancelled, in a request and in a wait", async () => {
    const patient = createDiskData({ ca: stack.ca, backoffMs: 60_000 });
    const sas = await snapshot("s1");
    for (const fault of [{ hang: true }, { status: 503, code: "ServerBusy" }] as const) {
      await using it = patient.openReader(sas);
      stack.plane.faults.failNext(fault);
      const controller = new AbortController();
      const work = it.readSizeBytes(controller.signal);
      setTimeout(() => controller.abort(), 50);
      expect(await codeOfFailure(work)).toBe("Cancelled");
    }
  });

  it("names an endpoint that cannot be trusted or reached", async () => {
    const strict = createDiskData({ backoffMs: 1, maxAttempts: 2 });
    await using it = strict.openReader(await snapshot("s1"));
    expect(await codeOfFailure(it.readSizeBytes(signal))).toBe("DiskUnreachable");
  });
});

it("carries a 2 TiB sparse disk from an image over a snapshot into a new disk and out", async () => {
  const size = 2 * 1024 ** 4;
  const extents = [0, 1024 ** 4 - mebibyte, size - 3 * mebibyte];
  const bytes = pattern(3 * mebibyte, 8);
  const image = await open(join(stack.directory, "in.raw"), "w");
  await image.truncate(size);
  for (const offset of extents) await image.write(bytes, 0, bytes.byteLength, offset);
  await image.close();
  const imported = join(stack.directory, "in.raw");
  await stack.service.importDisk({ id: "large", file: imported });
  await stack.service.createSnapshot({ snapshotId: "s1", diskId: "large" });
  await stack.service.createUploadDisk({ id: "up", uploadSizeBytes: size + 512 });
  const key = { kind: "disk", id: "up" } as const;
  const write = { ...key, access: "Write", durationSeconds: 3600 } as const;
  {
    await using reader = data.openReader(await grant("s1"));
    await using writer = data.openWriter((await stack.service.grantAccess(write)).accessSas, size);
    const ranges = await collect(reader.listAllocated(signal));
    expect(ranges.map(({ offsetBytes }) => offsetBytes)).toEqual(extents);
    for (const range of ranges) {
      await writer.write(range.offsetBytes, await reader.read(range, signal), signal);
    }
    await writer.finish(signal);
  }
  await stack.service.revokeAccess(key);
  expect(stack.service.countersOf({ kind: "snapshot", id: "s1" }).readBytes).toBe(9 * mebibyte);
  const out = join(stack.directory, "out.raw");
  await stack.service.exportToFile({ source: key, file: out });
  expect((await stat(out)).size).toBe(size);
  expect((await stat(out)).blocks * 512).toBeLessThan(10 * mebibyte);
  const exported = await open(out, "r");
  const found = new Uint8Array(bytes.byteLength);
  for (const offset of extents) {
    await exported.read(found, 0, found.byteLength, offset);
    expect(Buffer.compare(found, bytes)).toBe(0);
  }
  await exported.close();
});

it("goes on with the same bytes and grants after a restart of the simulated Azure", async () => {
  await stack.service.guestWrite("disk", 0, pattern(mebibyte, 6));
  await snapshot("s1");
  stack = await stack.restart();
  await using reader = data.openReader(await grant("s1"));
  const bytes = await reader.read({ offsetBytes: 0, lengthBytes: mebibyte }, signal);
  expect(Buffer.compare(bytes, pattern(mebibyte, 6))).toBe(0);
  expect(stack.service.listGrants()).toHaveLength(1);
});
