import { existsSync, statSync } from "node:fs";
import { chmod, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  copyOf,
  newRepositoryFolder,
  password,
  run,
  type Ended,
  type RepositoryFolder,
} from "../../unit/cli/repository-folder.ts";
import { installQemuImg, qemuImg } from "./qemu-img.ts";

/** Disks that the command line serves, read over NBD by QEMU: a program that shares no code with us. */
let folder: RepositoryFolder;
beforeAll(async () => {
  await installQemuImg();
  folder = await newRepositoryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

interface Served {
  readonly uri: string;
  readonly socket: string;
  readonly stop: () => Promise<Ended>;
}

async function serve(disk: string, repository = folder.path): Promise<Served> {
  const socket = join(folder.directory, `${disk}.sock`);
  const stop = new AbortController();
  const ended = run(
    ["repo", "serve", "vm-1", "p2", disk, "--socket", socket, "--repository", repository],
    { environment: { HOLDFAST_REPOSITORY_PASSWORD: password }, signal: stop.signal },
  );
  while (!existsSync(socket)) {
    const early = await Promise.race([ended, setTimeout(20)]);
    if (early !== undefined) throw new Error(early.errors);
  }
  const uri = `nbd+unix:///?socket=${socket}`;
  return { uri, socket, stop: async () => (stop.abort(), ended) };
}

test.each(["os", "data"] as const)("QEMU reads the same bytes of disk %s", async (disk) => {
  const { uri, socket, stop } = await serve(`disk-${disk}`);
  expect(statSync(socket).mode & 0o077).toBe(0);
  const original = join(folder.directory, `${disk}.original`);
  await writeFile(original, folder.contents[disk]);
  const compared = await qemuImg("compare", "-f", "raw", "-F", "raw", original, uri);
  expect(compared).toContain("Images are identical");
  const info = await qemuImg("info", "--output=json", uri);
  expect(JSON.parse(info)).toMatchObject({ "virtual-size": folder.contents[disk].length });
  const ended = await stop();
  expect([ended.exitCode, ended.output]).toEqual([0, uri]);
  expect(existsSync(socket)).toBe(false);
});

test("a damaged block is an error of the reader, and named to the operator", async () => {
  const damaged = await copyOf(folder, "damaged");
  const packs = join(damaged, "disks", "disk-data", "packs");
  for (const entry of await readdir(packs, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    await chmod(file, 0o600);
    await writeFile(file, Buffer.alloc(statSync(file).size));
  }
  const { uri, stop } = await serve("disk-data", damaged);
  const out = join(folder.directory, "copy.raw");
  await expect(qemuImg("convert", "-f", "raw", "-O", "raw", uri, out)).rejects.toThrow(
    /Input\/output error/,
  );
  expect((await stop()).errors).toMatch(/a read failed: The repository is damaged: .*\.pack/);
});

test("a socket that cannot be made is named", async () => {
  const socket = join(folder.directory, "missing", "disk.sock");
  const args = ["repo", "serve", "vm-1", "p2", "os", "--repository", folder.path];
  const environment = { HOLDFAST_REPOSITORY_PASSWORD: password };
  const ended = await run([...args, "--socket", socket], { environment });
  expect(ended).toMatchObject({ exitCode: 1 });
  expect(ended.errors).toContain(socket);
  expect((await run(args, { environment })).errors).toContain("--socket FILE is missing");
});
