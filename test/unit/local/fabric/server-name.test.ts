import { connect as connectTls } from "node:tls";
import { createServer } from "node:net";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { readServerName } from "#local/fabric/server-name.ts";

/** The first bytes that a TLS client of this machine sends. */
async function helloFor(servername: string | undefined): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? address!.port : 0;
  const hello = new Promise<Buffer>((resolve) =>
    server.once("connection", (socket) => socket.once("data", resolve)),
  );
  const name = servername === undefined ? {} : { servername };
  const client = connectTls({ host: "127.0.0.1", port, ...name });
  client.on("error", () => undefined);
  try {
    return await hello;
  } finally {
    client.destroy();
    server.close();
  }
}

it("reads the name that a TLS client asks for", async () => {
  const hello = await helloFor("Account.blob.core.windows.net");
  expect(readServerName(hello)).toBe("account.blob.core.windows.net");
});

it("finds none where there is none", async () => {
  expect(readServerName(await helloFor(undefined))).toBeUndefined();
  expect(readServerName(Buffer.from("GET / HTTP/1.1\r\n\r\n"))).toBeUndefined();
  expect(readServerName(Buffer.alloc(0))).toBeUndefined();
});

it("takes any bytes, and any part of a hello, without failing", async () => {
  const hello = await helloFor("account.blob.core.windows.net");
  for (let length = 0; length < hello.length; length++) readServerName(hello.subarray(0, length));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      readServerName(Buffer.from([0x16, 3, 1, 0, 200, 1, ...bytes]));
    }),
  );
});
