import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { callStack, findStack } from "#local/stack/control-client.ts";
import type { VerbHandlers } from "#local/stack/control-protocol.ts";
import { startControlServer } from "#local/stack/control-server.ts";
import { choosePorts } from "#local/stack/ports.ts";

let directory: string;
let server: { close(): Promise<void> };
let written: unknown[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-control-"));
  written = [];
  const { control } = await choosePorts(directory);
  server = await startControlServer({ stateDirectory: directory, port: control, handlers });
});

afterEach(async () => {
  await server.close();
  await rm(directory, { recursive: true, force: true });
});

const unused = async () => Promise.reject(new Error("not part of this test"));
const handlers: VerbHandlers = {
  status: unused,
  stop: unused,
  token: async () => ({ token: "abc", expiresOn: 1 }),
  createVm: unused,
  evictVm: async () => ({}),
  deleteVm: async ({ name }) => Promise.reject(new Error(`There is no VM ${name}.`)),
  listVms: async () => [],
  listDisks: async () => [],
  writeDisk: async (input) => {
    written.push(input);
    return { writtenBytes: 512 };
  },
  exportDisk: unused,
  listResources: async () => [],
};

test("a verb reaches its handler and brings back its answer", async () => {
  const input = { disk: "os", offsetBytes: 512, file: "/tmp/bytes" };
  expect(await callStack(directory, "writeDisk", input)).toEqual({ writtenBytes: 512 });
  expect(written).toEqual([input]);
});

test("a failure arrives with the stack's own words", async () => {
  const call = callStack(directory, "deleteVm", { name: "web" });
  await expect(call).rejects.toThrow("There is no VM web.");
});

test("an input of the wrong shape reaches no handler", async () => {
  const input = { disk: "os", offsetBytes: -1, file: "/tmp/bytes" };
  await expect(callStack(directory, "writeDisk", input)).rejects.toThrow("offsetBytes");
  expect(written).toEqual([]);
});

test("only who can read the token file is served", async () => {
  const stack = await findStack(directory);
  const response = await fetch(new URL("token", stack?.controlUrl), {
    method: "POST",
    headers: { authorization: "Bearer guess" },
    body: "{}",
  });
  expect(response.status).toBe(401);
  expect(await response.text()).not.toContain("abc");
  expect((await stat(join(directory, "stack.json"))).mode & 0o777).toBe(0o600);
});

test("a closed stack is not found", async () => {
  await server.close();
  expect(await findStack(directory)).toBeUndefined();
  await expect(callStack(directory, "token", {})).rejects.toThrow("No stack runs");
  server = { close: async () => undefined };
});
