import { expect, it } from "vitest";
import { FooterCache } from "#core/repository/writer/footer-cache.ts";

it("keeps what was used last, up to its bytes", () => {
  const cache = new FooterCache(100);
  cache.add("a", new Uint8Array(40));
  cache.add("b", new Uint8Array(40));
  expect(cache.get("a")).toHaveLength(40);
  cache.add("c", new Uint8Array(40));
  expect(["a", "b", "c"].filter((id) => cache.get(id) !== undefined)).toEqual(["a", "c"]);
});

it("does not keep what is larger than all of it", () => {
  const cache = new FooterCache(100);
  cache.add("large", new Uint8Array(101));
  expect(cache.get("large")).toBeUndefined();
  cache.add("small", new Uint8Array(100));
  expect(cache.get("small")).toHaveLength(100);
});
