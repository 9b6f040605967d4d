import { duplexPair } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { ByteIntake } from "#cli/nbd/byte-intake.ts";
import { serveConnection, type ServedDisk } from "#cli/nbd/connection.ts";
import { HoldfastError } from "#core/lib/errors.ts";
import { seededRandom } from "../../core/repository/fixtures.ts";

const MIB = 1024 * 1024;
const content = Buffer.from(seededRandom("disk")(3 * MIB + 512));
const OPTION = { exportName: 1, abort: 2, list: 3, startTls: 5, info: 6, go: 7 };
const REQUEST = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, writeZeroes: 6 };

/** Speaks the protocol from the other side, written from its specification. */
class Client {
  readonly #intake: ByteIntake;
  readonly write: (bytes: Buffer | string) => void;
  readonly close: () => void;
  readonly served: Promise<void>;
  readonly failures: unknown[] = [];
  readonly reads: number[] = [];

  constructor(disk: Partial<ServedDisk> = {}, signal = new AbortController().signal) {
    const [near, far] = duplexPair();
    this.#intake = new ByteIntake(near);
    this.write = (bytes) => void near.write(bytes);
    this.close = () => void near.end();
    const read: ServedDisk["read"] = async ({ offsetBytes, lengthBytes }) => {
      this.reads.push(offsetBytes);
      return content.subarray(offsetBytes, offsetBytes + lengthBytes);
    };
    const served = { sizeBytes: content.length, read, ...disk };
    const onReadFailed = (error: unknown): void => void this.failures.push(error);
    this.served = serveConnection(far, { disk: served, onReadFailed }, signal);
  }

  async take(byteCount: number): Promise<Buffer> {
    const bytes = await this.#intake.take(byteCount);
    if (bytes === undefined) throw new Error("the server has left");
    return bytes;
  }

  async greet(flags = 3): Promise<void> {
    expect((await this.take(18)).toString("latin1")).toBe("NBDMAGICIHAVEOPT\0\u0003");
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(flags);
    this.write(bytes);
  }

  ask(option: number, data: Buffer): void {
    const header = Buffer.alloc(16);
    header.write("IHAVEOPT", "latin1");
    header.writeUInt32BE(option, 8);
    header.writeUInt32BE(data.length, 12);
    this.write(Buffer.concat([header, data]));
  }

  async replies(): Promise<{ reply: number; data: Buffer }[]> {
    const replies: { reply: number; data: Buffer }[] = [];
    for (;;) {
      const header = await this.take(20);
      expect(header.readBigUInt64BE(0)).toBe(0x3e889045565a9n);
      const reply = header.readUInt32BE(12);
      replies.push({ reply, data: await this.take(header.readUInt32BE(16)) });
      if (reply === 1 || reply >= 2 ** 31) return replies;
    }
  }

  async go(): Promise<void> {
    await this.greet();
    this.ask(OPTION.go, infoData(""));
    expect((await this.replies()).at(-1)?.reply).toBe(1);
  }

  request(command: number, cookie: number, offset: number | bigint, length: number): void {
    const header = Buffer.alloc(28);
    header.writeUInt32BE(0x25609513, 0);
    header.writeUInt16BE(command, 6);
    header.writeBigUInt64BE(BigInt(cookie), 8);
    header.writeBigUInt64BE(BigInt(offset), 16);
    header.writeUInt32BE(length, 24);
    this.write(header);
  }

  async reply(lengthBytes: number): Promise<{ cookie: number; error: number; bytes: Buffer }> {
    const header = await this.take(16);
    expect(header.readUInt32BE(0)).toBe(0x67446698);
    const error = header.readUInt32BE(4);
    const bytes = await this.take(error === 0 ? lengthBytes : 0);
    return { cookie: Number(header.readBigUInt64BE(8)), error, bytes };
  }
}

function infoData(name: string, requests: readonly number[] = []): Buffer {
  const data = Buffer.alloc(6 + name.length + 2 * requests.length);
  data.writeUInt32BE(name.length, 0);
  data.write(name, 4);
  data.writeUInt16BE(requests.length, 4 + name.length);
  requests.forEach((each, index) => data.writeUInt16BE(each, 6 + name.length + 2 * index));
  return data;
}

test("tells size, that the disk is read-only, and how long requests may be", async () => {
  const client = new Client();
  await client.greet();
  client.ask(OPTION.list, Buffer.alloc(0));
  expect(await client.replies()).toEqual([
    { reply: 2, data: Buffer.alloc(4) },
    { reply: 1, data: Buffer.alloc(0) },
  ]);
  client.ask(OPTION.info, infoData("", [3]));
  const infos = await client.replies();
  expect(infos.map(({ reply }) => reply)).toEqual([3, 3, 1]);
  expect(infos[0]?.data.readBigUInt64BE(2)).toBe(BigInt(content.length));
  expect(infos[0]?.data.readUInt16BE(10)).toBe(1 | 2 | 256);
  expect(infos[1]?.data.readUInt32BE(10)).toBe(32 * MIB);
  client.ask(OPTION.abort, Buffer.alloc(0));
  expect((await client.replies()).at(-1)?.reply).toBe(1);
  await client.served;
});

test.each([
  { name: "TLS, which it does not know", option: OPTION.startTls, data: Buffer.alloc(0), code: 1 },
  { name: "a name that it does not have", option: OPTION.go, data: infoData("other"), code: 6 },
  { name: "a name without end", option: OPTION.go, data: Buffer.alloc(6, 255), code: 3 },
  { name: "no name", option: OPTION.info, data: Buffer.alloc(3), code: 3 },
])("answers $name with an error and goes on", async ({ option, data, code }) => {
  const client = new Client();
  await client.greet();
  client.ask(option, data);
  expect((await client.replies()).map(({ reply }) => reply)).toEqual([2 ** 31 + code]);
  client.ask(OPTION.go, infoData(""));
  expect((await client.replies()).at(-1)?.reply).toBe(1);
});

test.each([
  { flags: 3, zeroBytes: 0 },
  { flags: 1, zeroBytes: 124 },
])("serves clients that only name the export (flags $flags)", async ({ flags, zeroBytes }) => {
  const client = new Client();
  await client.greet(flags);
  client.ask(OPTION.exportName, Buffer.alloc(0));
  const answer = await client.take(10 + zeroBytes);
  expect(answer.readBigUInt64BE(0)).toBe(BigInt(content.length));
  client.request(REQUEST.read, 1, 512, 512);
  expect((await client.reply(512)).bytes.equals(content.subarray(512, 1024))).toBe(true);
});

test("answers reads at once and out of order, each under its own cookie", async () => {
  const waiting: (() => void)[] = [];
  const client = new Client({
    read: async ({ offsetBytes, lengthBytes }) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return content.subarray(offsetBytes, offsetBytes + lengthBytes);
    },
  });
  await client.go();
  client.request(REQUEST.read, 7, 0, MIB);
  client.request(REQUEST.read, 8, 3 * MIB, 512);
  while (waiting.length < 2) await setImmediate();
  waiting[1]?.();
  const first = await client.reply(512);
  expect([first.cookie, first.bytes.equals(content.subarray(3 * MIB))]).toEqual([8, true]);
  waiting[0]?.();
  const second = await client.reply(MIB);
  expect([second.cookie, second.bytes.equals(content.subarray(0, MIB))]).toEqual([7, true]);
});

test("refuses what changes the disk, and what lies behind its end, and goes on", async () => {
  const client = new Client();
  await client.go();
  client.request(REQUEST.write, 1, 0, 1024);
  client.write(Buffer.alloc(1024, "IHAVEOPT"));
  client.request(REQUEST.trim, 2, 0, 4096);
  client.request(REQUEST.writeZeroes, 3, 0, 4096);
  client.request(REQUEST.flush, 4, 0, 0);
  client.request(REQUEST.read, 5, content.length - 512, 1024);
  client.request(REQUEST.read, 6, 2n ** 64n - 1n, 1);
  client.request(REQUEST.read, 7, 0, 0);
  client.request(REQUEST.read, 8, 0, 64 * MIB);
  client.request(REQUEST.read, 9, content.length - 512, 512);
  const errors: number[] = [];
  for (let cookie = 1; cookie <= 9; cookie++) {
    const reply = await client.reply(512);
    expect(reply.cookie).toBe(cookie);
    errors.push(reply.error);
  }
  expect(errors).toEqual([1, 1, 1, 22, 22, 22, 22, 22, 0]);
  client.request(REQUEST.disconnect, 10, 0, 0);
  await client.served;
});

test("a block that is damaged fails its read, is told to the operator, and harms no other read", async () => {
  const client = new Client({
    read: async ({ offsetBytes, lengthBytes }) => {
      if (offsetBytes === 0) throw new HoldfastError("RepositoryDamaged", "Block 0 is damaged.");
      return content.subarray(offsetBytes, offsetBytes + lengthBytes);
    },
  });
  await client.go();
  client.request(REQUEST.read, 1, 0, 512);
  expect(await client.reply(512)).toMatchObject({ cookie: 1, error: 5 });
  client.request(REQUEST.read, 2, 512, 512);
  expect(await client.reply(512)).toMatchObject({ cookie: 2, error: 0 });
  expect(client.failures).toEqual([expect.objectContaining({ code: "RepositoryDamaged" })]);
});

test("reads no further ahead than 32 MiB while the client takes nothing", async () => {
  let underWay = 0;
  let most = 0;
  const waiting: (() => void)[] = [];
  const client = new Client({
    sizeBytes: 1024 * MIB,
    read: async ({ lengthBytes }) => {
      underWay += lengthBytes;
      most = Math.max(most, underWay);
      await new Promise<void>((resolve) => waiting.push(resolve));
      underWay -= lengthBytes;
      return Buffer.alloc(lengthBytes);
    },
  });
  await client.go();
  for (let cookie = 0; cookie < 8; cookie++) client.request(REQUEST.read, cookie, 0, 12 * MIB);
  for (let answered = 0; answered < 8; answered++) {
    while (waiting.length === 0) await setImmediate();
    waiting.shift()?.();
    await client.reply(12 * MIB);
  }
  expect(most).toBe(24 * MIB);
});

test.each([
  { name: "another protocol", bytes: "GET / HTTP/1.1\r\n\r\n" },
  { name: "flags that nobody defined", bytes: Buffer.alloc(4, 255) },
  {
    name: "an option of 4 GiB",
    bytes: Buffer.from("0000000349484156454f505400000001ffffffff", "hex"),
  },
])("leaves a client that says $name", async ({ bytes }) => {
  const client = new Client();
  await client.take(18);
  client.write(bytes);
  await client.served;
  expect(client.failures).toEqual([]);
});

test("leaves a client whose requests are none", async () => {
  const client = new Client();
  await client.go();
  client.write(Buffer.alloc(28, 1));
  await client.served;
});

test("ends when the client goes, whatever it was about to say", async () => {
  for (const steps of [0, 1, 2]) {
    const client = new Client();
    if (steps > 0) await client.greet();
    if (steps > 1) client.write("IHAVE");
    client.close();
    await client.served;
  }
});
