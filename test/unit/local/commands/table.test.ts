import { expect, test } from "vitest";
import { formatSize, formatTable } from "#local/commands/table.ts";

test("columns are as wide as their widest cell and numbers end in line", () => {
  const columns = [{ title: "NAME" }, { title: "SIZE", align: "right" as const }, { title: "VM" }];
  const text = formatTable(columns, [
    ["a", "5", "web"],
    ["longer", "12345", ""],
  ]);
  expect(text.split("\n")).toEqual(["NAME     SIZE  VM", "a           5  web", "longer  12345"]);
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1 KiB"],
  [1536, "1.5 KiB"],
  [300 * 1024 ** 2, "300 MiB"],
  [2 * 1024 ** 4, "2 TiB"],
  [5000 * 1024 ** 4, "5000 TiB"],
])("%d bytes are %s", (sizeBytes, text) => {
  expect(formatSize(sizeBytes)).toBe(text);
});
