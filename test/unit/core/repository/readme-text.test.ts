import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readmeText } from "#core/repository/readme-text.ts";
import { MemoryStore } from "#core/repository/testing/memory-store.ts";
import { failureOf, newRepository, signal } from "./fixtures.ts";

const root = join(import.meta.dirname, "../../../..");
const page = readFileSync(join(root, "docs/repository-format.md"), "utf8");

/** `core` reads no file: the page is kept there as a module too. `vitest run readme-text --update=all` renews it. */
it("the program carries the whole page of the format, as it is", async () => {
  const sections = page.split("\n## ").map((section) => `  ${JSON.stringify(section)},\n`);
  const text =
    "/** docs/repository-format.md, cut at its headings; made by `vitest run readme-text --update=all`. */\n// prettier-ignore\n" +
    `export const FORMAT_PAGE: readonly string[] = [\n${sections.join("")}];\n`;
  await expect(text).toMatchFileSnapshot(join(root, "core/repository/format-page.ts"));
  expect(readmeText().endsWith(page)).toBe(true);
});

it("lies in a new repository before the descriptor does", async () => {
  const store = new MemoryStore();
  const created: string[] = [];
  store.beforeOperation = (operation, name) => {
    if (operation === "create") created.push(name);
  };
  await newRepository(store);
  expect(created.map((name) => name.split("/")[0])).toEqual(["keys", "README.txt", "repo.json"]);
  const text = new TextDecoder().decode(store.objects.get("README.txt")?.bytes);
  expect(text).toBe(readmeText());
  expect(text).toContain("holdfast repo");
  expect(text).toContain("## 4. Key slots");
});

it("leaves a README.txt alone that is there already", async () => {
  const store = new MemoryStore();
  const own = new TextEncoder().encode("our own notes");
  await store.create("README.txt", own, signal);
  expect(await failureOf(newRepository(store))).toBe("no failure");
  expect(store.objects.get("README.txt")?.bytes).toEqual(own);
});
