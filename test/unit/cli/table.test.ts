import { expect, test } from "vitest";
import { formatSize, formatTable } from "#cli/table.ts";

test("columns line up, numbers to the right, and names cannot steer the terminal", () => {
  const columns = [{ title: "NAME" }, { title: "SIZE", align: "right" }] as const;
  const rows = [
    ["a", "1"],
    ["b\u001B[2Jc", "1000000"],
  ];
  expect(formatTable(columns, rows).split("\n")).toEqual([
    "NAME       SIZE",
    "a             1",
    "b?[2Jc  1000000",
  ]);
});

test("sizes are binary", () => {
  expect([0, 1023, 1536, 1024 ** 2, 5.5 * 1024 ** 4].map(formatSize)).toEqual([
    "0 B",
    "1023 B",
    "1.5 KiB",
    "1 MiB",
    "5.5 TiB",
  ]);
});
