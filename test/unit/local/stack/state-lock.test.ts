import { spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { acquireStateLock, isRunning } from "#local/stack/state-lock.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-lock-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test("a second owner is refused until the first lets go", async () => {
  const release = await acquireStateLock(directory);
  await expect(acquireStateLock(directory)).rejects.toThrow(`process ${process.pid}`);
  await release();
  await (
    await acquireStateLock(directory)
  )();
});

test("the lock of a process that is gone is taken over", async () => {
  const { pid } = spawnSync(process.execPath, ["--version"]);
  expect(isRunning(pid)).toBe(false);
  await writeFile(join(directory, "lock"), String(pid));
  await (
    await acquireStateLock(directory)
  )();
});

test("an empty lock file is no owner", async () => {
  await writeFile(join(directory, "lock"), "");
  await (
    await acquireStateLock(directory)
  )();
});
