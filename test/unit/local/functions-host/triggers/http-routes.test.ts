import { describe, expect, test } from "vitest";
import { compileRoute } from "#local/functions-host/triggers/http-routes.ts";

describe("a route template", () => {
  test.each([
    ["api/items", "/api/items", {}],
    ["api/items", "/API/Items/", {}],
    ["api/items/{id}", "/api/items/a%2Fb", { id: "a/b" }],
    ["api/items/{id?}", "/api/items", {}],
    ["api/items/{id:int}", "/api/items/-7", { id: "-7" }],
    ["api/{*rest}", "/api/a/b", { rest: "a/b" }],
    ["api/{*rest}", "/api", {}],
    ["/items", "/items", {}],
  ])("%s takes %s", (template, path, params) => {
    expect(compileRoute(template).match(path)).toEqual(params);
  });

  test.each([
    ["api/items", "/api/items/1"],
    ["api/items/{id}", "/api/items"],
    ["api/items/{id:int}", "/api/items/x"],
    ["api/items/{id:guid}", "/api/items/1"],
    ["api/items", "/other"],
  ])("%s does not take %s", (template, path) => {
    expect(compileRoute(template).match(path)).toBeUndefined();
  });

  test("ranks literals before parameters before the rest", () => {
    const templates = ["a/{*rest}", "a/{b}", "a/{b:int}", "a/b", "a"];
    const ranked = templates.toSorted((one, other) =>
      compileRoute(one).rank < compileRoute(other).rank ? -1 : 1,
    );
    expect(ranked.slice(0, 4)).toEqual(["a/b", "a/{b:int}", "a/{b}", "a/{*rest}"]);
  });

  test.each(["a/{b:regex(x)}", "a/{b}-{c}", "a/{"])("%s is refused", (template) => {
    expect(() => compileRoute(template)).toThrow("is not emulated");
  });
});
