import { createHash, randomBytes, randomUUID } from "node:crypto";
import { BlobServiceClient } from "@azure/storage-blob";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createStaging } from "#azure/storage/staging.ts";
import { createWorkerChannel } from "#azure/storage/worker-channel.ts";
import { STAGING_CONTAINER, type BundleReference, type StagingPort } from "#core/ports/staging.ts";
import type { WorkerChannel } from "#core/ports/worker-channel.ts";
import { startAzuriteOverTls, type AzuriteOverTls } from "./azurite-over-tls.ts";

const signal = new AbortController().signal;
let azurite: AzuriteOverTls;
let staging: StagingPort;
let nowMs = 0;

beforeAll(async () => {
  azurite = await startAzuriteOverTls();
  nowMs = Date.now();
  staging = createStaging({ credential: azurite.credential, now: () => new Date(nowMs) });
});

afterAll(async () => {
  await azurite?.[Symbol.asyncDispose]();
});

function bundleOf(bytes: Uint8Array): BundleReference {
  const digest = (algorithm: string) => createHash(algorithm).update(bytes).digest("hex");
  return {
    name: `bundle-${randomUUID()}.tar.gz`,
    sizeBytes: bytes.length,
    sha256: digest("sha256"),
    md5: digest("md5"),
  };
}

function ensure(bundle: BundleReference, bytes: Uint8Array, counter = { reads: 0 }) {
  const read = async () => {
    counter.reads += 1;
    return bytes;
  };
  return staging.ensureBundle(azurite.blobUrl, bundle, read, 3600, signal);
}

test("a bundle of several blocks is uploaded once and read back through its SAS", async () => {
  const bytes = randomBytes(17 * 1024 * 1024);
  const bundle = bundleOf(bytes);
  const counter = { reads: 0 };
  const url = await ensure(bundle, bytes, counter);
  expect(await ensure(bundle, bytes, counter)).toBe(url);
  expect(counter.reads).toBe(1);

  const answer = await fetch(url);
  expect(answer.status).toBe(200);
  const md5 = Buffer.from(bundle.md5, "hex").toString("base64");
  expect(answer.headers.get("content-md5")).toBe(md5);
  expect(Buffer.compare(Buffer.from(await answer.arrayBuffer()), bytes)).toBe(0);
});

test("the SAS of a bundle reads that blob and nothing else", async () => {
  const bytes = randomBytes(1000);
  const url = new URL(await ensure(bundleOf(bytes), bytes));
  expect((await fetch(url, { method: "DELETE" })).status).toBe(403);
  const other = new URL(await ensure(bundleOf(bytes), bytes));
  url.pathname = other.pathname;
  expect((await fetch(url)).status).toBe(403);
});

test("a new SAS is made when half of the old one's life is over", async () => {
  const bytes = randomBytes(10);
  const bundle = bundleOf(bytes);
  const first = await ensure(bundle, bytes);
  nowMs += 29 * 60_000;
  expect(await ensure(bundle, bytes)).toBe(first);
  nowMs += 2 * 60_000;
  const second = await ensure(bundle, bytes);
  nowMs -= 31 * 60_000;
  expect(second).not.toBe(first);
});

test("many uploads of one bundle at once end well", async () => {
  const bytes = randomBytes(9 * 1024 * 1024);
  const bundle = bundleOf(bytes);
  const urls = await Promise.all(Array.from({ length: 4 }, () => ensure(bundle, bytes)));
  const answer = await fetch(urls[3]!);
  expect((await answer.arrayBuffer()).byteLength).toBe(bytes.length);
});

test("a bundle that does not match its description is not uploaded", async () => {
  const bundle = bundleOf(randomBytes(1000));
  const upload = ensure(bundle, randomBytes(1000));
  await expect(upload).rejects.toMatchObject({ code: "BundleDamaged" });
});

test("another blob under the bundle's name is refused", async () => {
  const bytes = randomBytes(1000);
  const bundle = bundleOf(bytes);
  const service = new BlobServiceClient(azurite.blobUrl, azurite.credential);
  const container = service.getContainerClient(STAGING_CONTAINER);
  await container.createIfNotExists();
  await container.getBlockBlobClient(bundle.name).upload("foreign", 7);
  await expect(ensure(bundle, bytes)).rejects.toMatchObject({ code: "BundleMismatch" });
});

test("containers and queues are made and deleted idempotently", async () => {
  const name = `q${randomUUID()}`;
  await staging.ensureContainer(azurite.blobUrl, name);
  await staging.ensureContainer(azurite.blobUrl, name);
  await staging.ensureQueue(azurite.queueUrl, name);
  await staging.ensureQueue(azurite.queueUrl, name);
  await staging.deleteQueue(azurite.queueUrl, name);
  await staging.deleteQueue(azurite.queueUrl, name);
  await staging.deleteJobBlobs(azurite.blobUrl, `nothing-${name}/`);
});

test("errors carry Azure's code and no address with a query", async () => {
  const send = staging.sendMessage(azurite.queueUrl, `missing-${randomUUID()}`, "x", 60);
  await expect(send).rejects.toMatchObject({ code: "QueueNotFound", retry: "never" });
  await expect(send).rejects.not.toThrow(/\?/);
});

async function openChannel(): Promise<{ channel: WorkerChannel; jobs: string; events: string }> {
  const [jobs, events] = [`jobs-${randomUUID()}`, `events-${randomUUID()}`];
  await staging.ensureQueue(azurite.queueUrl, jobs);
  await staging.ensureQueue(azurite.queueUrl, events);
  const channel = createWorkerChannel({
    credential: azurite.credential,
    jobQueueUrl: `${azurite.queueUrl}/${jobs}`,
    eventQueueUrl: `${azurite.queueUrl}/${events}`,
    jobContainerUrl: `${azurite.blobUrl}/${STAGING_CONTAINER}`,
  });
  return { channel, jobs, events };
}

test("a job goes from the control plane to the worker and is gone when deleted", async () => {
  const { channel, jobs } = await openChannel();
  expect(await channel.receiveJob(30, signal)).toBeUndefined();
  const text = `{"sealed":"<&>é😀"}`;
  await staging.sendMessage(azurite.queueUrl, jobs, text, 60);
  const message = await channel.receiveJob(1, signal);
  expect(message).toMatchObject({ text, dequeueCount: 1 });
  expect(await channel.receiveJob(1, signal)).toBeUndefined();
  await channel.deleteJob(message!, signal);
  await channel.deleteJob(message!, signal);
  expect(await channel.receiveJob(1, signal)).toBeUndefined();
});

test("a job of 64 KiB less a quarter fits into a message", async () => {
  const { channel, jobs } = await openChannel();
  const text = "x".repeat(48 * 1024);
  await staging.sendMessage(azurite.queueUrl, jobs, text, 60);
  expect((await channel.receiveJob(30, signal))?.text).toBe(text);
});

test("a large job travels as a blob and is deleted by its prefix", async () => {
  const { channel } = await openChannel();
  const prefix = `jobs/${randomUUID()}/`;
  await staging.writeJobBlob(azurite.blobUrl, `${prefix}1`, "first");
  await staging.writeJobBlob(azurite.blobUrl, `${prefix}1`, "sealed é");
  expect(await channel.readJobBlob(`${prefix}1`, signal)).toBe("sealed é");
  await staging.deleteJobBlobs(azurite.blobUrl, prefix);
  const read = channel.readJobBlob(`${prefix}1`, signal);
  await expect(read).rejects.toMatchObject({ retry: "never" });
});

test("an event reaches the queue as base64 text, as the Functions host expects it", async () => {
  const { channel, events } = await openChannel();
  await channel.sendEvent(`{"n":1}`, signal);
  const reader = createWorkerChannel({
    credential: azurite.credential,
    jobQueueUrl: `${azurite.queueUrl}/${events}`,
    eventQueueUrl: `${azurite.queueUrl}/${events}`,
    jobContainerUrl: `${azurite.blobUrl}/${STAGING_CONTAINER}`,
  });
  expect((await reader.receiveJob(30, signal))?.text).toBe(`{"n":1}`);
});
