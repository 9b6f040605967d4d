import { expect, test } from "vitest";
import { parseLocation } from "#cli/location.ts";

test("a path is a folder, relative to where the user stands", () => {
  expect(parseLocation("copy", "/home/ops")).toEqual({ kind: "folder", path: "/home/ops/copy" });
  expect(parseLocation("/mnt/c", "/home/ops")).toEqual({ kind: "folder", path: "/mnt/c" });
});

const containers: [string, string, string, string][] = [
  ["https://a.blob.core.windows.net/c", "https://a.blob.core.windows.net/", "c", ""],
  ["https://a.blob.core.windows.net/c/", "https://a.blob.core.windows.net/", "c", ""],
  ["https://a.blob.core.windows.net/c/x/y", "https://a.blob.core.windows.net/", "c", "x/y"],
  ["https://a.blob.core.windows.net/c/x%20y/", "https://a.blob.core.windows.net/", "c", "x y"],
  ["https://127.0.0.1:10000/acc/c/x", "https://127.0.0.1:10000/acc/", "c", "x"],
  ["https://[::1]:10000/acc/c", "https://[::1]:10000/acc/", "c", ""],
];
for (const [place, blobServiceUrl, container, folder] of containers) {
  test(`${place} is a container`, () => {
    const expected = { kind: "container", blobServiceUrl, container, folder };
    expect(parseLocation(place, "/")).toEqual(expected);
  });
}
