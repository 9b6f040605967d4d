import { randomBytes } from "node:crypto";
import { readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { FolderStore } from "#azure/storage/folder-store.ts";
import { archiveVmPoint, openRepository } from "#core/repository/index.ts";
import { signal } from "../core/repository/fixtures.ts";
import {
  copyOf,
  newRepositoryFolder,
  password,
  run,
  type RepositoryFolder,
} from "./repository-folder.ts";

let folder: RepositoryFolder;
beforeAll(async () => {
  folder = await newRepositoryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

const environment = { HOLDFAST_REPOSITORY_PASSWORD: password };
const slotsSchema = z.object({
  slots: z.array(z.object({ slotId: z.string(), type: z.string() })),
});

describe("key", () => {
  const slotsOf = async (path: string, secret: Record<string, string> = environment) => {
    const args = ["repo", "key", "list", "--json", "--repository", path];
    const { output } = await run(args, { environment: secret });
    return slotsSchema.parse(JSON.parse(output)).slots;
  };

  test("a recovery key is shown once and opens the repository", async () => {
    const path = await copyOf(folder, "recovery");
    const added = await run(["repo", "key", "add-recovery", "--repository", path], { environment });
    expect(added.exitCode).toBe(0);
    const key = added.output.trim();
    expect(key.length).toBeGreaterThan(32);
    const file = join(folder.directory, "recovery-key");
    await writeFile(file, `${key.toLowerCase()}\n`);
    const args = ["repo", "ls", "--recovery-key-file", file, "--repository", path];
    expect((await run(args)).exitCode).toBe(0);
    await writeFile(file, `${key.slice(0, -1)}\n`);
    expect((await run(args)).exitCode).toBe(1);
    expect((await slotsOf(path)).map(({ type }) => type).toSorted()).toEqual([
      "recovery-key",
      "scrypt",
    ]);
  });

  test("a password is added, the former slot goes, the last one stays", async () => {
    const path = await copyOf(folder, "passwords");
    const place = ["--repository", path];
    const answers = ["n3w", "n3w"];
    const askSecret = async (): Promise<string> => answers.shift() ?? "";
    const added = await run(["repo", "key", "add-password", ...place], { environment, askSecret });
    expect(added.exitCode).toBe(0);
    const renewed = { HOLDFAST_REPOSITORY_PASSWORD: "n3w" };
    const removed = await run(["repo", "key", "remove", "password-1", ...place], {
      environment: renewed,
    });
    expect(removed.exitCode).toBe(0);
    expect((await run(["repo", "ls", ...place], { environment })).exitCode).toBe(1);
    const [last] = await slotsOf(path, renewed);
    const refused = await run(["repo", "key", "remove", last?.slotId ?? "", ...place], {
      environment: renewed,
    });
    expect(refused.exitCode).toBe(1);
    expect(refused.errors).toContain("is the last one");
  });

  test("two passwords that differ change nothing", async () => {
    const path = await copyOf(folder, "mistyped");
    const answers = ["one", "another"];
    const askSecret = async (): Promise<string> => answers.shift() ?? "";
    const args = ["repo", "key", "add-password", "--repository", path];
    expect((await run(args, { environment, askSecret })).exitCode).toBe(2);
    expect(await slotsOf(path)).toHaveLength(1);
  });

  test("after a rotation the new password opens what was written before", async () => {
    const path = await copyOf(folder, "rotated");
    const file = join(folder.directory, "rotated-password");
    await writeFile(file, "r0tated");
    const rotate = ["repo", "key", "rotate", "--new-password-file", file, "--repository", path];
    expect((await run(rotate, { environment })).exitCode).toBe(0);
    const read = ["repo", "cat", "vm-1", "p1", "os", "--repository", path];
    const { exitCode, bytes } = await run([...read, "--password-file", file]);
    expect({ exitCode, size: bytes.length }).toEqual({
      exitCode: 0,
      size: folder.contents.os.length,
    });
    expect((await run(read, { environment })).exitCode).toBe(1);
  });
});

describe("check", () => {
  const check = (path: string, ...more: string[]) =>
    run(["repo", "check", ...more, "--repository", path], { environment });

  test("an intact repository has no findings at any level, and nothing is written", async () => {
    const before = await readdir(folder.path, { recursive: true });
    for (const level of ["presence", "metadata", "sample", "complete"]) {
      const { exitCode, output } = await check(folder.path, "--level", level);
      expect({ exitCode, last: output.split("\n").at(-1) }).toEqual({
        exitCode: 0,
        last: "No findings.",
      });
    }
    const { output } = await check(folder.path, "--sample", "100", "--json");
    expect(JSON.parse(output)).toMatchObject({ level: "sample", findingCount: 0 });
    expect(await readdir(folder.path, { recursive: true })).toEqual(before);
  });

  test("a lost pack is named with the points that it harms", async () => {
    const path = await copyOf(folder, "lost-pack");
    const packs = join("disks", "disk-data", "packs");
    await rm(join(path, packs), { recursive: true });
    const { exitCode, output } = await check(path, "--level", "presence");
    expect(exitCode).toBe(1);
    expect(output).toMatch(/^missing +disks\/disk-data\/packs\/.* +vm-1\/p2$/m);
  });

  test("a flipped bit in a block is found by a complete check", async () => {
    const path = await copyOf(folder, "flipped");
    const packs = join(path, "disks", "disk-data", "packs");
    const names = await readdir(packs, { recursive: true });
    const file = join(packs, names.find((name) => name.endsWith(".pack")) ?? "");
    const bytes = await readFile(file);
    bytes[100] = (bytes[100] ?? 0) ^ 1;
    await writeFile(file, bytes);
    const { exitCode, output } = await check(path, "--level", "complete", "--json");
    expect(exitCode).toBe(1);
    expect(JSON.parse(output)).toMatchObject({
      findings: [{ diskId: "disk-data", affectedPoints: [{ vmId: "vm-1", pointId: "p2" }] }],
    });
  });

  test("levels and shares that make no sense are wrong usage", async () => {
    expect((await check(folder.path, "--level", "all")).exitCode).toBe(2);
    expect((await check(folder.path, "--sample", "0")).exitCode).toBe(2);
    expect((await check(folder.path, "--level", "complete", "--sample", "5")).exitCode).toBe(2);
  });
});

test("an archive is listed, shown and read in a copied folder", async () => {
  const path = await copyOf(folder, "archived");
  const repository = await openRepository(
    new FolderStore(path),
    { kind: "password", password },
    signal,
  );
  const random = (byteCount: number): Uint8Array => randomBytes(byteCount);
  const now = (): Date => new Date("2026-03-01T00:00:00Z");
  const name = { vmId: "vm-1", archiveId: "a1", pointId: "p2" };
  await archiveVmPoint(repository, { ...name, random, now }, signal);
  await rm(join(path, "vms"), { recursive: true });
  const repo = (...args: string[]) => run(["repo", ...args, "--repository", path], { environment });
  const listed = await repo("ls");
  expect(listed.output).toMatch(/^vm-1 +web-1 +archive +a1 +2026-02-02/m);
  const shown = await repo("info", "vm-1", "a1", "--archive", "--json");
  expect(JSON.parse(shown.output)).toMatchObject({
    kind: "archive",
    pointId: "p2",
    disks: [{ diskId: "disk-os", backup: "full" }, { diskId: "disk-data" }],
  });
  expect(JSON.parse((await repo("info", "--json")).output)).toMatchObject({ archiveCount: 1 });
  const { bytes } = await repo("cat", "vm-1", "a1", "os", "--archive");
  expect(bytes.equals(folder.contents.os)).toBe(true);
  const without = await repo("cat", "vm-1", "a1", "os", "--retrieval", "r1");
  expect(without.exitCode).toBe(2);
  const packs = join(path, "archives", "vm-1", "a1", "disks", "disk-data", "packs");
  await rm(packs, { recursive: true });
  const checked = await repo("check", "--level", "presence");
  expect(checked.exitCode).toBe(1);
  expect(checked.output).toMatch(/^missing +archives\/vm-1\/a1\/.* +vm-1\/a1 \(archive\)$/m);
});
