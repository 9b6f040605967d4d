import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { ContainerClient } from "@azure/storage-blob";
import { afterEach, expect, it } from "vitest";
import { AzureBlobStore } from "#azure/storage/blob-store.ts";
import { uploadBody } from "#azure/storage/upload-body.ts";

const signal = new AbortController().signal;
const body = Buffer.alloc(300_001, "a body of several slices ");

let server: Server | undefined;

afterEach(async () => {
  server?.closeAllConnections();
  await new Promise((resolve) => server?.close(resolve) ?? resolve(undefined));
  server = undefined;
});

/** A store whose service answers with these status codes, one after the other. */
async function storeThatAnswers(statuses: number[]) {
  const bodies: Buffer[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    bodies.push(await buffer(request));
    const status = statuses.shift() ?? 201;
    response.writeHead(status, status === 201 ? {} : { "x-ms-error-code": "ServerBusy" }).end();
  };
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const retryOptions = { maxTries: 3, retryDelayInMs: 1 };
  const url = `http://127.0.0.1:${port}/account/container`;
  return {
    store: new AzureBlobStore(new ContainerClient(url, undefined, { retryOptions }), ""),
    bodies,
  };
}

it("gives the same bytes in small slices, as often as it is asked", async () => {
  const view = new Uint8Array(body.buffer, body.byteOffset + 1, body.length - 1);
  const make = uploadBody(view);
  for (let attempt = 0; attempt < 2; attempt++) {
    const sizes: number[] = [];
    const parts: Buffer[] = [];
    for await (const chunk of make()) {
      const part = Buffer.from(chunk);
      sizes.push(part.length);
      parts.push(part);
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(64 * 1024);
    expect(Buffer.concat(parts).equals(body.subarray(1))).toBe(true);
  }
});

it("sends an object whole again after the service was busy", async () => {
  const { store, bodies } = await storeThatAnswers([503]);
  expect(await store.create("name", body, signal)).toBe("created");
  expect(bodies).toHaveLength(2);
  for (const sent of bodies) expect(sent.equals(body)).toBe(true);
});

it("sends an empty object", async () => {
  const { store, bodies } = await storeThatAnswers([]);
  expect(await store.create("name", new Uint8Array(0), signal)).toBe("created");
  expect(bodies).toEqual([Buffer.alloc(0)]);
});
