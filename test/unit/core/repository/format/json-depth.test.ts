import * as fc from "fast-check";
import { expect, it } from "vitest";
import { JSON_DEPTH_MAX, isShallowJson } from "#core/repository/format/json-depth.ts";

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

function nested(value: unknown, levels: number): unknown {
  let result = value;
  for (let level = 0; level < levels; level++) result = level % 2 === 0 ? [result] : { a: result };
  return result;
}

it("sees how deep arrays and objects lie in each other, whatever strings hold", () => {
  const text = fc.string({ unit: fc.constantFrom("[", "{", "]", '"', "\\", "ä", "x") });
  const value = fc
    .jsonValue({ maxDepth: 4 })
    .chain((json) => text.map((key) => ({ [key]: [json, key] })));
  fc.assert(
    fc.property(value, (json) => {
      const room = JSON_DEPTH_MAX - depthOf(json);
      const isShallow = (levels: number) =>
        isShallowJson(Buffer.from(JSON.stringify(nested(json, levels))));
      expect(isShallow(room)).toBe(true);
      expect(isShallow(room + 1)).toBe(false);
    }),
  );
});
