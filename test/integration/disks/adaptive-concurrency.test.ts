/** How many requests the client of one SAS has in flight, as it really reads and writes. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { SasDiskReader } from "#azure/disk/disk-reader.ts";
import { SasDiskWriter } from "#azure/disk/disk-writer.ts";
import { SasEndpoint } from "#azure/disk/sas-endpoint.ts";
import { mebibyte, pattern, startDiskStack, type DiskStack } from "./disk-stack-fixture.ts";

const signal = new AbortController().signal;
const sizeBytes = 64 * mebibyte;
/** 16 requests of 4 MiB. */
const everything = { offsetBytes: 0, lengthBytes: sizeBytes };
const patience = { backoffMs: 1, maxAttempts: 20, maxConcurrency: 16 };

let stack: DiskStack;

beforeEach(async () => {
  stack = await startDiskStack();
  await stack.service.createEmptyDisk({ id: "disk", sizeBytes });
});

afterEach(() => stack.close());

async function openSnapshot(options: { requestTimeoutMs?: number; backoffMs?: number } = {}) {
  await stack.service.guestWrite("disk", 0, pattern(mebibyte, 4));
  await stack.service.createSnapshot({ snapshotId: "s1", diskId: "disk" });
  const key = { kind: "snapshot", id: "s1" } as const;
  const { accessSas } = await stack.service.grantAccess({
    ...key,
    access: "Read",
    durationSeconds: 3600,
  });
  const endpoint = new SasEndpoint(accessSas, { ca: stack.ca, ...patience, ...options });
  return { endpoint, reader: new SasDiskReader(endpoint) };
}

it("asks for less at once when Azure throttles, and for more again when it does not", async () => {
  const { endpoint, reader } = await openSnapshot();
  await using _ = reader;
  const initial = endpoint.concurrencyLimit;
  for (let round = 0; round < 3; round++) await reader.read(everything, signal);
  const grown = endpoint.concurrencyLimit;
  expect(grown).toBeGreaterThan(initial);
  stack.plane.faults.throttleAbove(1);
  await reader.read(everything, signal);
  const fallen = endpoint.concurrencyLimit;
  expect(fallen).toBeLessThanOrEqual(initial);
  expect(fallen).toBeLessThan(grown);
  stack.plane.faults.clear();
  for (let round = 0; round < 3; round++) await reader.read(everything, signal);
  expect(endpoint.concurrencyLimit).toBeGreaterThan(initial);
});

it("halves its requests for a round that is refused, once and not once per request", async () => {
  // Long enough that no second attempt is refused by what is meant for the first ones.
  const { endpoint, reader } = await openSnapshot({ backoffMs: 500 });
  await using _ = reader;
  for (let round = 0; round < 3; round++) await reader.read(everything, signal);
  const grown = endpoint.concurrencyLimit;
  expect(grown).toBeGreaterThanOrEqual(8);
  stack.plane.faults.failNext({ status: 503, code: "ServerBusy", count: 4 });
  await reader.read({ offsetBytes: 0, lengthBytes: 16 * mebibyte }, signal);
  expect(endpoint.concurrencyLimit).toBeLessThan(grown);
  expect(endpoint.concurrencyLimit).toBeGreaterThanOrEqual(Math.floor(grown / 2));
});

it("takes a request that is never answered for congestion", async () => {
  const { endpoint, reader } = await openSnapshot({ requestTimeoutMs: 500 });
  await using _ = reader;
  await reader.readSizeBytes(signal);
  const before = endpoint.concurrencyLimit;
  stack.plane.faults.failNext({ hang: true });
  await reader.read({ offsetBytes: 0, lengthBytes: 512 }, signal);
  expect(endpoint.concurrencyLimit).toBeLessThan(before);
});

it("does not slow down for errors that are no congestion", async () => {
  const { endpoint, reader } = await openSnapshot();
  await using _ = reader;
  await reader.readSizeBytes(signal);
  const before = endpoint.concurrencyLimit;
  stack.plane.faults.failNext({ cutAfterBytes: 1000, count: 2 });
  await reader.read({ offsetBytes: 0, lengthBytes: mebibyte }, signal);
  expect(endpoint.concurrencyLimit).toBeGreaterThanOrEqual(before);
});

it("slows down for throttled writes of a restore, too", async () => {
  await stack.service.createUploadDisk({ id: "up", uploadSizeBytes: sizeBytes + 512 });
  const key = { kind: "disk", id: "up" } as const;
  const { accessSas } = await stack.service.grantAccess({
    ...key,
    access: "Write",
    durationSeconds: 3600,
  });
  const endpoint = new SasEndpoint(accessSas, { ca: stack.ca, ...patience });
  await using writer = new SasDiskWriter(endpoint, sizeBytes);
  await writer.write(0, pattern(32 * mebibyte, 5), signal);
  const grown = endpoint.concurrencyLimit;
  stack.plane.faults.throttleAbove(1);
  await writer.write(32 * mebibyte, pattern(32 * mebibyte, 6), signal);
  expect(endpoint.concurrencyLimit).toBeLessThan(grown);
  stack.plane.faults.clear();
  await writer.finish(signal);
});
