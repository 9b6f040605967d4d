import { assert, constantFrom, integer, oneof, property, string } from "fast-check";
import { expect, test } from "vitest";
import { decodeKey, encodeKey, encodeKeyPrefix } from "#azure/storage/record-keys.ts";

/** All UTF-16 units below Latin-1's end, with those that the encoding treats specially in front. */
const text = string({
  unit: oneof(
    constantFrom(...Array.from("/\\#?%'\"$&.>[~ \t\n\u007f\u009f")),
    integer({ min: 0, max: 0x17f }).map((code) => String.fromCharCode(code)),
  ),
  minLength: 1,
  maxLength: 40,
});

test("keys decode to what they were and hold nothing that Azure forbids", () => {
  assert(
    property(text, (id) => {
      const key = encodeKey(id);
      expect(decodeKey(key)).toBe(id);
      // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
      expect(key).not.toMatch(/[/\\#?%'\u0000-\u001f\u007f-\u009f]/);
    }),
  );
});

test("keys keep the order of ids, and those of a prefix begin alike", () => {
  assert(
    property(text, text, (one, other) => {
      expect(encodeKey(one) < encodeKey(other)).toBe(one < other);
      expect(encodeKey(one + other).startsWith(encodeKeyPrefix(one))).toBe(true);
    }),
  );
});

test("refuses what no key can hold", () => {
  expect(() => encodeKey("")).toThrow(/1 to 512/);
  expect(() => encodeKey("x".repeat(513))).toThrow(/513/);
});
