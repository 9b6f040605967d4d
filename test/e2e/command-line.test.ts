import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { findFileDifference } from "#local/demo/compare-disks.ts";
import { shownSessionSchema, waitForEnd } from "#local/demo/sessions.ts";
import { ApiClient } from "#local/stack/api-client.ts";
import { resourceRowSchema, verbs, vmRowSchema } from "#local/stack/control-protocol.ts";

/** A user's way: a disk image of one's own, the command line, and the HTTP API with a token. */
const program = fileURLToPath(new URL("../../local/main.ts", import.meta.url));
const runTimeoutMs = 200_000;
/** No multiple of a sector; one above and one below Azure's smallest upload of 20 MiB. */
const imageSizeBytes = 30 * 1024 * 1024 + 1001;
const tinyImageSizeBytes = 5_000_001;

let directory: string;
let state: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-cli-"));
  state = join(directory, "state");
});

afterAll(async () => {
  await local("down");
  await rm(directory, { recursive: true, force: true });
});

interface Ended {
  readonly exitCode: number | null;
  readonly output: string;
}

async function local(...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...args, "--state", state], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, INIT_CWD: directory, NODE_NO_WARNINGS: "1" },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const exitCode = await new Promise<number | null>((resolve) => child.once("exit", resolve));
  return { exitCode, output: output.trim() };
}

async function succeed(...args: string[]): Promise<string> {
  const { exitCode, output } = await local(...args);
  if (exitCode !== 0) throw new Error(`${args.join(" ")} ended with ${exitCode}: ${output}`);
  return output;
}

async function listPorts(): Promise<number[]> {
  const text = await readFile(join(state, "ports.json"), "utf8");
  return Object.values(z.record(z.string(), z.number()).parse(JSON.parse(text)));
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true));
  });
  await new Promise((resolve) => server.close(resolve));
  return free;
}

/** Processes whose command line or environment names the state directory. */
async function listProcesses(): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    for (const file of ["cmdline", "environ"]) {
      const text = await readFile(join("/proc", name, file), "latin1").catch(() => "");
      if (text.includes(state)) found.push(text.replaceAll("\0", " "));
    }
  }
  return found;
}

/** As `cmp`: silent when every byte is equal and neither file is longer. */
async function exportAndCompare(disk: string, expected: string): Promise<void> {
  const out = join(directory, `${disk}.out`);
  const expectedFile = join(directory, expected);
  await succeed("disk", "export", "--disk", disk, "--out", out);
  const { size } = await stat(expectedFile);
  expect((await stat(out)).size).toBe(size);
  expect(await findFileDifference(out, expectedFile)).toBeUndefined();
  // A comparison that cannot see a missing byte would be worth nothing.
  await truncate(out, size - 1);
  expect(await findFileDifference(out, expectedFile)).toBe(size - 1);
}

/** What cannot become a disk is refused before anything is made. */
async function refuseWrongImages(): Promise<void> {
  await writeFile(join(directory, "empty.raw"), "");
  for (const [file, complaint] of [
    ["empty.raw", "is empty"],
    ["missing.raw", "no such file"],
    [directory, "is not a regular file"],
  ] as const) {
    const wrong = await local(
      ..."vm create --name wrong --region westeurope --os-disk anything.raw --data-disk".split(" "),
      file,
    );
    expect(wrong.exitCode).toBe(1);
    expect(wrong.output).toContain(complaint);
  }
  expect(await succeed("resources")).not.toContain("wrong");
}

test(
  "an image of one's own is backed up, changed, backed up, restored and exported",
  { timeout: 500_000 },
  async () => {
    expect((await local("status")).exitCode).toBe(3);
    expect((await local("vm", "list")).output).toContain("No stack runs");
    await succeed("up", "--detach");
    const status = verbs.status.output.parse(JSON.parse(await succeed("status", "--json")));
    const api = new ApiClient({
      baseUrl: status.addresses.api,
      readToken: () => succeed("token"),
    });

    const image = Buffer.concat([
      randomBytes(2_000_000),
      Buffer.alloc(imageSizeBytes - 3_000_000),
      randomBytes(1_000_000),
    ]);
    await writeFile(join(directory, "anything.raw"), image);
    await writeFile(join(directory, "tiny.raw"), randomBytes(tinyImageSizeBytes));
    await writeFile(join(directory, "zero.raw"), Buffer.alloc(tinyImageSizeBytes + 1));
    await refuseWrongImages();
    const created = await succeed(
      ..."vm create --name own --region westeurope --json --os-disk anything.raw".split(" "),
      ..."--data-disk tiny.raw --data-disk zero.raw --tag owner=me".split(" "),
    );
    const vm = vmRowSchema.parse(JSON.parse(created));
    expect(vm.tags).toEqual({ owner: "me" });

    const repository = await api.call("POST", "/repositories", {
      body: {
        name: "own",
        blobServiceUrl: status.addresses.blob,
        container: "backups",
        encryption: { kind: "password", secretName: "local" },
      },
      answer: z.object({ repositoryId: z.string() }),
    });
    const backUp = async () => {
      const { sessionId } = await api.call("POST", `/protected-vms/${vm.vmId}/backups`, {
        body: repository,
        answer: z.object({ sessionId: z.string() }),
      });
      return waitForEnd(sessionId, { api, timeoutMs: runTimeoutMs });
    };
    await backUp();

    // The change starts and ends inside sectors.
    const change = randomBytes(70_003);
    await writeFile(join(directory, "change"), change);
    await succeed("disk", "write", "--disk", "own-os", "--offset", "1999999", "--file", "change");
    change.copy(image, 1_999_999);

    // A stack that was stopped goes on where it ended.
    await succeed("down");
    await succeed("up", "--detach");
    const second = await backUp();
    expect(second.backupDisks?.map(({ kind }) => kind)).toEqual(Array(3).fill("incremental"));

    const points = await api.list(
      "/restore-points",
      z.object({ pointId: z.string(), sessionId: z.string() }),
    );
    const point = points.find(({ sessionId }) => sessionId === second.sessionId);
    const { sessionId } = await api.call("POST", "/restores", {
      body: { restorePointId: point?.pointId, vmName: "own-again" },
      answer: z.object({ sessionId: z.string() }),
    });
    await waitForEnd(sessionId, { api, timeoutMs: runTimeoutMs });
    await writeFile(join(directory, "expected.raw"), image);
    await exportAndCompare("own-again-os", "expected.raw");
    await exportAndCompare("own-again-data-0", "tiny.raw");
    await exportAndCompare("own-again-data-1", "zero.raw");

    const resources = z
      .array(resourceRowSchema)
      .parse(JSON.parse(await succeed("resources", "--json")));
    const names = resources.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["own", "own-os", "own-again", "own-again-os"]));
    expect(resources.find(({ name }) => name === "own")?.tags).toEqual({ owner: "me" });

    const sessions = await api.list("/sessions", shownSessionSchema);
    expect(sessions.every(({ state }) => state === "succeeded")).toBe(true);
    expect(await succeed("vm", "delete", "--name", "own-again")).toContain("own-again is gone");
    expect(await succeed("disk", "list")).not.toContain("own-again-os");
    // What goes with an idle worker goes one after the other.
    await expect
      .poll(() => succeed("resources"), { timeout: 60_000, interval: 1_000 })
      .toContain(" resources, 0 of them orphans");
    await succeed("down");
    expect(await listProcesses()).toEqual([]);
    expect(await Promise.all((await listPorts()).map(isFree))).not.toContain(false);
    expect(await readdir(state)).not.toContain("lock");
  },
);
