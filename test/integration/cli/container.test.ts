import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ContainerSASPermissions, type ContainerClient } from "@azure/storage-blob";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  newRepositoryFolder,
  password,
  run,
  type RepositoryFolder,
} from "../../unit/cli/repository-folder.ts";
import { startLocalStorage, type LocalStorage } from "../storage/local-storage.ts";

/** The same repository in a container, reached with a SAS that may read and list. */
let storage: LocalStorage;
let folder: RepositoryFolder;
let container: ContainerClient;

beforeAll(async () => {
  folder = await newRepositoryFolder();
  storage = await startLocalStorage();
  container = (await storage.account("breakglass")).getContainerClient("backups");
  await container.create();
  for (const name of await readdir(folder.path, { recursive: true })) {
    const file = join(folder.path, name);
    if (!(await stat(file)).isFile()) continue;
    await container.getBlockBlobClient(`team/a/${name}`).uploadData(await readFile(file));
  }
});
afterAll(async () => {
  await storage.stop();
  await folder[Symbol.asyncDispose]();
});

async function sas(permissions: string, minutes: number): Promise<string> {
  const url = await container.generateSasUrl({
    permissions: ContainerSASPermissions.parse(permissions),
    expiresOn: new Date(Date.now() + minutes * 60_000),
  });
  return new URL(url).search;
}

async function inContainer(signature: string, ...args: string[]) {
  const environment = {
    HOLDFAST_REPOSITORY: `${container.url}/team/a`,
    HOLDFAST_REPOSITORY_PASSWORD: password,
    HOLDFAST_REPOSITORY_SAS: signature,
  };
  return run(["repo", ...args], { environment });
}

test("lists and reads the container as it does a folder", async () => {
  const signature = await sas("rl", 10);
  const listed = await inContainer(signature, "ls");
  expect({ exitCode: listed.exitCode, errors: listed.errors }).toEqual({ exitCode: 0, errors: "" });
  expect(listed.output).toContain("p2");
  const { bytes } = await inContainer(signature, "cat", "vm-1", "p2", "os");
  expect(bytes.equals(folder.contents.os)).toBe(true);
});

test("a SAS that has expired is refused in one line that does not repeat it", async () => {
  const signature = await sas("rl", -10);
  const { exitCode, errors } = await inContainer(signature, "ls");
  expect(exitCode).toBe(1);
  expect(errors).toMatch(/^holdfast: .+$/);
  const secret = new URLSearchParams(signature).get("sig") ?? "none";
  expect(errors).not.toContain(secret);
  expect(errors).not.toContain(encodeURIComponent(secret));
});
