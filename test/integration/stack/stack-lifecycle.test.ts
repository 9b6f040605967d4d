import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { startStack, type Stack } from "#local/stack.ts";
import { callStack, findStack } from "#local/stack/control-client.ts";
import { listResources } from "#local/stack/resource-list.ts";

/** Needs dist/: the app that the Functions host runs. */
const program = fileURLToPath(new URL("../../../local/main.ts", import.meta.url));
const pollMs = 100;
const timeoutMs = 60_000;

let directory: string;
let first: Stack | undefined;

beforeAll(async () => {
  if (!existsSync("dist/functions/main.mjs")) throw new Error("build first: npm run build");
  directory = await mkdtemp(join(tmpdir(), "holdfast-stacks-"));
  first = await startStack({ stateDirectory: join(directory, "first") });
});

afterEach(() => expectNoOrphans(first));

afterAll(async () => {
  await first?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** What a stack makes for itself is of use, all of it. */
function expectNoOrphans(stack: Stack | undefined): void {
  if (stack === undefined) throw new Error("the stack did not start");
  const rows = listResources(stack.cloud.resourceManager, stack.cloud.disks);
  expect(rows.length).toBeGreaterThan(10);
  expect(rows.filter(({ orphan }) => orphan !== undefined)).toEqual([]);
}

async function until(isDone: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isDone())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

/** Command lines of processes that name the folder there or in their environment. */
async function processesOf(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const read = (file: string) => readFile(join("/proc", name, file), "latin1").catch(() => "");
    const commandLine = (await read("cmdline")).replaceAll("\0", " ");
    if (commandLine.includes(folder) || (await read("environ")).includes(folder)) {
      found.push(commandLine);
    }
  }
  return found;
}

test("a second stack on the same directory is refused, and harms nothing", async () => {
  const stateDirectory = join(directory, "first");
  await expect(startStack({ stateDirectory })).rejects.toThrow("runs on");
  expect((await callStack(stateDirectory, "status", {})).functionsHost).toBe("running");
});

test("the API refuses who has no token, a foreign token and an expired one", async () => {
  const url = `${first?.addresses.api}/protected-vms`;
  const statusOf = async (authorization?: string) => {
    const headers = authorization === undefined ? {} : { authorization };
    return (await fetch(url, { headers })).status;
  };
  const valid = await first?.issueApiToken();
  const expired = await first?.issueApiToken(-600);
  expect(await statusOf()).toBe(401);
  expect(await statusOf(`Bearer ${expired?.token}`)).toBe(401);
  expect(await statusOf(`Bearer ${valid?.token}x`)).toBe(401);
  expect(await statusOf(`Bearer ${valid?.token}`)).toBe(200);
});

test(
  "a stack beside it has its own ports and resources, and leaves no process when it is killed",
  { timeout: 150_000 },
  async () => {
    const stateDirectory = join(directory, "second");
    const child = spawn(process.execPath, [program, "up", "--state", stateDirectory], {
      stdio: "ignore",
      env: { ...process.env, NODE_NO_WARNINGS: "1" },
    });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    await until(async () => (await findStack(stateDirectory)) !== undefined, "the second stack");
    const portsOf = async (name: string) => {
      const text = await readFile(join(directory, name, "ports.json"), "utf8");
      return Object.values(z.record(z.string(), z.number()).parse(JSON.parse(text)));
    };
    const ports = [...(await portsOf("first")), ...(await portsOf("second"))];
    expect(new Set(ports).size).toBe(ports.length);
    const { token } = await callStack(stateDirectory, "token", {});
    const response = await fetch(`${first?.addresses.api}/protected-vms`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(response.status).toBe(401);

    child.kill("SIGKILL");
    await exited;
    await until(async () => (await processesOf(stateDirectory)).length === 0, "no process is left");
    expect(await findStack(stateDirectory)).toBeUndefined();

    // What was killed starts again on the same directory.
    const again = await startStack({ stateDirectory });
    expectNoOrphans(again);
    await again.stop();
    expect(await processesOf(stateDirectory)).toEqual([]);
    expect((await readdir(stateDirectory)).includes("lock")).toBe(false);
  },
);
