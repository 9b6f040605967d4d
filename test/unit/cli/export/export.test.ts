import { readFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findVhdFooterDefect, vhdFooterSizeBytes } from "#core/lib/vhd-footer.ts";
import { newRepositoryFolder, password, run, type RepositoryFolder } from "../repository-folder.ts";

let folder: RepositoryFolder;
beforeAll(async () => {
  folder = await newRepositoryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

const environment = { HOLDFAST_REPOSITORY_PASSWORD: password };

function exportTo(output: string, ...more: string[]): string[] {
  const place = ["--repository", folder.path];
  return ["repo", "export", "vm-1", "p2", ...more, "--output", output, ...place];
}

async function partsLeft(): Promise<string[]> {
  return (await readdir(folder.directory)).filter((name) => name.includes(".part"));
}

test("raw is the disk bit by bit, sparse where it is zero", async () => {
  const file = join(folder.directory, "data.raw");
  const ended = await run(exportTo(file, "disk-data", "--format", "raw"), { environment });
  expect(ended.exitCode).toBe(0);
  expect((await readFile(file)).equals(folder.contents.data)).toBe(true);
  const { blocks } = await stat(file);
  expect(blocks * 512).toBeLessThan(1024 * 1024);
  expect(await partsLeft()).toEqual([]);
});

test("vhd is raw with the footer of a fixed disk", async () => {
  const file = join(folder.directory, "os.vhd");
  await run(exportTo(file, "os", "--format", "vhd"), { environment });
  const bytes = await readFile(file);
  const { os } = folder.contents;
  expect(bytes.subarray(0, os.length).equals(os)).toBe(true);
  const footer = bytes.subarray(os.length);
  expect(footer.length).toBe(vhdFooterSizeBytes);
  expect(findVhdFooterDefect(footer, os.length)).toBeUndefined();
});

test("the name of the output is relative to where the user stands", async () => {
  const options = { environment, directory: folder.directory };
  await run(exportTo("here.raw", "os", "--format", "raw"), options);
  expect((await stat(join(folder.directory, "here.raw"))).size).toBe(folder.contents.os.length);
});

test("a file that is there is replaced with --force only", async () => {
  const file = join(folder.directory, "taken.raw");
  await writeFile(file, "mine");
  const refused = await run(exportTo(file, "os", "--format", "raw"), { environment });
  expect(refused.exitCode).toBe(1);
  expect(refused.errors).toContain("--force");
  expect(await readFile(file, "utf8")).toBe("mine");
  const forced = await run(exportTo(file, "os", "--format", "raw", "--force"), { environment });
  expect(forced.exitCode).toBe(0);
  expect((await readFile(file)).equals(folder.contents.os)).toBe(true);
});

test("an export that is stopped leaves neither a file nor a part of one", async () => {
  const stop = new AbortController();
  const file = join(folder.directory, "stopped.raw");
  let packReads = 0;
  const ended = await run(exportTo(file, "disk-data", "--format", "raw"), {
    environment,
    signal: stop.signal,
    wrapStore: (store) => {
      const read = store.read.bind(store);
      store.read = async (name, ...rest) => {
        const bytes = await read(name, ...rest);
        if (name.endsWith(".pack") && ++packReads === 2) {
          expect(await partsLeft()).toHaveLength(1);
          stop.abort();
        }
        return bytes;
      };
      return store;
    },
  });
  expect(ended.exitCode).toBe(1);
  expect(ended.errors).toMatch(/^holdfast: Stopped\./);
  expect(packReads).toBeGreaterThanOrEqual(2);
  expect(await partsLeft()).toEqual([]);
  await expect(stat(file)).rejects.toThrow("ENOENT");
});

test("a disk with a lost block is not exported, and nothing is left", async () => {
  const file = join(folder.directory, "lost.qcow2");
  const ended = await run(exportTo(file, "disk-data", "--format", "qcow2"), {
    environment,
    wrapStore: (store) => {
      const read = store.read.bind(store);
      store.read = async (name, ...rest) => {
        const bytes = await read(name, ...rest);
        if (name.endsWith(".pack")) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        return bytes;
      };
      return store;
    },
  });
  expect(ended.exitCode).toBe(1);
  expect(ended.errors).toContain("The repository is damaged");
  expect(await partsLeft()).toEqual([]);
  await expect(stat(file)).rejects.toThrow("ENOENT");
});

test("a folder that is not there, or a format that is not known", async () => {
  const file = join(folder.directory, "nowhere", "x.raw");
  const ended = await run(exportTo(file, "os", "--format", "raw"), { environment });
  expect(ended.exitCode).toBe(1);
  expect(ended.errors).toContain("its folder does not exist (ENOENT)");
  const wrong = await run(exportTo(file, "os", "--format", "vmdk"), { environment });
  expect(wrong.exitCode).toBe(2);
});
