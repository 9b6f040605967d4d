import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { choosePorts } from "#local/stack/ports.ts";

let directory: string;
let blocker: Server | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-ports-"));
});

afterEach(async () => {
  await new Promise((resolve) => blocker?.close(resolve) ?? resolve(undefined));
  blocker = undefined;
  await rm(directory, { recursive: true, force: true });
});

test("a state directory keeps the ports that it got", async () => {
  const first = await choosePorts(directory);
  expect(await choosePorts(directory)).toEqual(first);
  expect(new Set(Object.values(first)).size).toBe(Object.values(first).length);
});

test("a given base numbers the ports from there", async () => {
  const { api } = await choosePorts(await mkdtemp(join(directory, "a-")));
  const ports = await choosePorts(await mkdtemp(join(directory, "b-")), api);
  expect(Math.min(...Object.values(ports))).toBe(api);
  expect(Math.max(...Object.values(ports))).toBe(api + Object.values(ports).length - 1);
});

test("a taken port is named", async () => {
  const ports = await choosePorts(directory);
  const server = createServer();
  blocker = server;
  await new Promise<void>((resolve) => server.listen(ports.blob, "127.0.0.1", resolve));
  await expect(choosePorts(directory)).rejects.toThrow(`Port ${ports.blob} (blob) is in use`);
});

test("a damaged file is an error, not a reason to move", async () => {
  await writeFile(join(directory, "ports.json"), "{");
  await expect(choosePorts(directory)).rejects.toThrow("is damaged");
});
