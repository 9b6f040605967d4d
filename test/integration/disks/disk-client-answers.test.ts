import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createDiskData } from "#azure/disk/disk-data.ts";
import { encodeVhdFooter } from "#core/lib/vhd-footer.ts";
import { makeLoopbackCertificate } from "./disk-stack-fixture.ts";

/** Answers that the simulated data plane never gives, from a server that says what a test wants. */
const signal = new AbortController().signal;
const footer = encodeVhdFooter({ sizeBytes: 1024, uniqueId: new Uint8Array(16), createdAtMs: 0 });

let server: Server;
let sas: string;
let ca: string;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
let requestCount: number;

beforeEach(async () => {
  const certificate = await makeLoopbackCertificate();
  ca = certificate.cert;
  requestCount = 0;
  server = createServer(certificate, (request, response) => {
    requestCount++;
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  sas = `https://127.0.0.1:${port}/md-1/c/abcd?sv=2018-03-28&sr=b&si=1&sig=a%2Bb%2F%3D`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function open(options: { maxAttempts?: number; requestTimeoutMs?: number } = {}) {
  return createDiskData({ ca, backoffMs: 1, maxAttempts: 2, ...options }).openReader(sas);
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => "no failure",
    (error: unknown) => error,
  );
}

it.each([
  ["a size without room for a footer", 511, footer],
  ["a size that is not made of sectors", 1537, footer],
  ["no footer at the end, as a VHDX has it", 1536, new Uint8Array(512)],
  ["a footer of another size", 2048, footer],
])("refuses an export with %s", async (_, sizeBytes, lastBytes) => {
  answer = (request, response) => {
    if (request.method === "HEAD") response.writeHead(200, { "Content-Length": sizeBytes }).end();
    else response.writeHead(206).end(lastBytes);
  };
  await using reader = open();
  expect(await failureOf(reader.readSizeBytes(signal))).toMatchObject({
    code: "NotFixedVhd",
    retry: "never",
  });
});

it("sends the SAS's query as it came, so that its signature stays whole", async () => {
  let query: string | undefined;
  answer = (request, response) => {
    query = request.url?.split("?")[1];
    response.writeHead(206).end(new Uint8Array(512));
  };
  await using reader = open();
  await reader.read({ offsetBytes: 0, lengthBytes: 512 }, signal);
  expect(query).toBe("sv=2018-03-28&sr=b&si=1&sig=a%2Bb%2F%3D");
});

it("takes fewer or more bytes than asked for as a short read, never as data", async () => {
  for (const lengthBytes of [511, 513]) {
    answer = (_, response) => response.writeHead(206).end(new Uint8Array(lengthBytes));
    await using reader = open();
    const failure = await failureOf(reader.read({ offsetBytes: 0, lengthBytes: 512 }, signal));
    expect(failure).toMatchObject({ code: "ShortRead", retry: "backoff" });
  }
});

it("does not take the whole disk for the range that was asked for", async () => {
  answer = (_, response) => response.writeHead(200).end(new Uint8Array(512));
  await using reader = open();
  const failure = await failureOf(reader.read({ offsetBytes: 512, lengthBytes: 512 }, signal));
  expect(failure).toMatchObject({ code: "DiskRequestRefused" });
});

it("tries again after a deadline, and says so when attempts run out", async () => {
  answer = (_, response) => {
    if (requestCount === 1) return;
    response.writeHead(206).end(new Uint8Array(512));
  };
  await using reader = open({ requestTimeoutMs: 100 });
  await reader.read({ offsetBytes: 0, lengthBytes: 512 }, signal);
  expect(requestCount).toBe(2);
  answer = () => undefined;
  const failure = await failureOf(reader.read({ offsetBytes: 0, lengthBytes: 512 }, signal));
  expect(failure).toMatchObject({ code: "RequestTimedOut", retry: "backoff" });
});

it("passes on how long Azure asks to wait", async () => {
  answer = (_, response) =>
    response
      .writeHead(503, { "x-ms-error-code": "ServerBusy", "Retry-After": "7" })
      .end("<Error/>");
  await using reader = open({ maxAttempts: 1 });
  expect(await failureOf(reader.read({ offsetBytes: 0, lengthBytes: 512 }, signal))).toMatchObject({
    code: "DiskBusy",
    context: { retryAfterSeconds: 7 },
  });
});
