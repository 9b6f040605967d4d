/**
 * Vectors are never edited: they are the promise that what was written once stays readable. A
 * digest that no longer fits means that a frozen file changed (a search and replace over the whole
 * tree is enough): restore the folder from history. A change of the format is a new folder, with
 * a line of its own here; no line here is ever changed.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, it } from "vitest";

const vectors = join(import.meta.dirname, "../../../vectors/repository");

const FROZEN: Readonly<Record<string, string>> = {
  v1: "20f477de56f4e266b300f3e54b3162b4905117fb411a8333b3679024c425fee2",
  "v1-archives": "82258297787a7f0c691de5d8cf4973fefe2cb0886585208e5f98c76d07d1ecca",
  "v1-keys": "713e1839712419c2198a7c13cf624f87388d5c4b8800329f5fd90593e7d9f1f8",
  "v1-shared-frames": "5c4aafe90d201a3dbd04d8ca59e5171fd3be045412acbd7823cce82856f340ac",
};

const folders = readdirSync(vectors, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

/** SHA-256 of the sorted lines `<sha-256 of the file>  <path in the folder>` (as sha256sum prints). */
function digestOf(folder: string): string {
  const root = join(vectors, folder);
  const lines = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(root, join(parentPath, name)))
    .sort()
    .map((path) => `${sha256(readFileSync(join(root, path)))}  ${path}\n`);
  return sha256(lines.join(""));
}

function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

it("holds every vector that was ever frozen, and no folder without a digest", () => {
  expect(folders).toEqual(Object.keys(FROZEN).sort());
});

it.each(folders)("keeps the frozen vector %s byte for byte", (folder) => {
  expect(digestOf(folder), `vectors are never edited: restore ${folder} from history`).toBe(
    FROZEN[folder],
  );
});
