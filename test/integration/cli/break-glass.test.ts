import { execFile } from "node:child_process";
import { copyFile, cp, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  newRepositoryFolder,
  password,
  type RepositoryFolder,
} from "../../unit/cli/repository-folder.ts";

/**
 * What is left after everything else is lost: a copy of the container, a password, and the program.
 * It runs as a process of its own, from an empty folder with an empty environment.
 */
const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");
let folder: RepositoryFolder;
let bundle: string;
let copy: string;
let place: string;

beforeAll(async () => {
  folder = await newRepositoryFolder();
  place = join(folder.directory, "elsewhere");
  bundle = join(place, "holdfast");
  copy = join(place, "copied-container");
  await mkdir(join(bundle, "lib"), { recursive: true });
  await mkdir(join(bundle, "bin"));
  await cp(folder.path, copy, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: { holdfast: "cli/main.ts" },
    outdir: join(bundle, "lib"),
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
    logLevel: "error",
  });
  await copyFile(process.execPath, join(bundle, "bin", "node"));
  await copyFile(join(root, "cli", "holdfast.sh"), join(bundle, "bin", "holdfast"));
});
afterAll(() => folder[Symbol.asyncDispose]());

interface Ended {
  readonly exitCode: number;
  readonly output: Buffer;
  readonly errors: string;
}

function holdfast(args: readonly string[], secret = password): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  const env = { HOLDFAST_REPOSITORY_PASSWORD: secret, PATH: "/usr/bin:/bin" };
  const options = { cwd: place, env, encoding: "buffer", maxBuffer: 64 * 1024 * 1024 } as const;
  execFile(join(bundle, "bin", "holdfast"), args, options, (error, output, errors) => {
    const exitCode = error === null ? 0 : Number(error.code);
    resolve({ exitCode, output, errors: errors.toString("utf8") });
  });
  return promise;
}

test("a copied folder and a copied bundle are enough to list, read and export", async () => {
  const listed = await holdfast(["repo", "ls", "--json", "--repository", "copied-container"]);
  expect({ exitCode: listed.exitCode, errors: listed.errors }).toEqual({ exitCode: 0, errors: "" });
  expect(JSON.parse(listed.output.toString("utf8"))).toMatchObject({
    points: [{ pointId: "p1" }, { pointId: "p2" }],
  });

  const disk = ["vm-1", "p2", "disk-os", "--repository", copy];
  const whole = await holdfast(["repo", "cat", ...disk]);
  expect(whole.exitCode).toBe(0);
  expect(whole.output.equals(folder.contents.os)).toBe(true);

  const target = ["--format", "raw", "--output", "os.raw"];
  const exported = await holdfast(["repo", "export", ...disk, ...target]);
  expect(exported.exitCode).toBe(0);
  expect((await readFile(join(place, "os.raw"))).equals(folder.contents.os)).toBe(true);
});

test("failures are one line, the exit code says which kind", async () => {
  const wrongPassword = await holdfast(["repo", "ls", "--repository", copy], "guess");
  expect(wrongPassword.exitCode).toBe(1);
  expect(wrongPassword.errors.trim().split("\n")).toHaveLength(1);
  const usage = await holdfast(["repo", "ls"]);
  expect(usage.exitCode).toBe(2);
  const foreign = join(place, "foreign");
  await mkdir(foreign);
  await writeFile(join(foreign, "notes.txt"), "nothing of ours");
  const notOurs = await holdfast(["repo", "ls", "--repository", foreign]);
  expect(notOurs.exitCode).toBe(1);
  expect(notOurs.errors).toMatch(/^holdfast: There is no repository in this folder/);
});

test("a reader that stops early stops the program quietly", async () => {
  const command = `"${join(bundle, "bin", "holdfast")}" repo cat vm-1 p2 disk-data --repository "${copy}" | head -c 1000 | wc -c`;
  const { promise, resolve } = Promise.withResolvers<{ output: string; errors: string }>();
  const env = { HOLDFAST_REPOSITORY_PASSWORD: password, PATH: "/usr/bin:/bin" };
  execFile("/bin/sh", ["-c", command], { env }, (_, output, errors) => resolve({ output, errors }));
  const { output, errors } = await promise;
  expect({ output: output.trim(), errors }).toEqual({ output: "1000", errors: "" });
});

test("the repository that was read is as it was", async () => {
  const before = await readdir(folder.path, { recursive: true });
  const after = await readdir(copy, { recursive: true });
  expect(after.toSorted()).toEqual(before.toSorted());
});
