import { assert, property, uint8Array } from "fast-check";
import { expect, it } from "vitest";
import { codeOf } from "#core/lib/errors.ts";
import { decodeRecoveryKey, encodeRecoveryKey } from "#core/repository/format/recovery-key.ts";
import { seededRandom } from "./fixtures.ts";

const LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

function failure(text: string): string {
  try {
    decodeRecoveryKey(text);
    return "no failure";
  } catch (error) {
    return codeOf(error);
  }
}

it("every key survives print and typing, in any case and grouping", () => {
  assert(
    property(uint8Array({ minLength: 32, maxLength: 32 }), (key) => {
      const text = encodeRecoveryKey(key);
      expect(text).toMatch(/^([0-9A-HJKMNP-TV-Z]{4}-){13}[0-9A-HJKMNP-TV-Z]{4}$/);
      expect(Uint8Array.from(decodeRecoveryKey(text))).toEqual(key);
      const typed = ` ${text.toLowerCase().replaceAll("-", "\n").replaceAll("0", "o").replaceAll("1", "l")} `;
      expect(Uint8Array.from(decodeRecoveryKey(typed))).toEqual(key);
    }),
  );
});

it("is what the format page says", () => {
  const key = Uint8Array.from({ length: 32 }, (_, at) => at);
  expect(encodeRecoveryKey(key)).toBe(
    "000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFH-EVBY",
  );
});

it("finds every wrong letter and every swap of neighbours", () => {
  const text = encodeRecoveryKey(seededRandom("typing")(32)).replaceAll("-", "");
  for (let at = 0; at < text.length; at++) {
    for (const letter of LETTERS) {
      if (letter === text[at]) continue;
      const wrong = text.slice(0, at) + letter + text.slice(at + 1);
      expect(failure(wrong), `${at} ${letter}`).toBe("RecoveryKeyMistyped");
    }
    const swapped = text.slice(0, at) + (text[at + 1] ?? "") + text[at] + text.slice(at + 2);
    if (swapped !== text) expect(failure(swapped)).toBe("RecoveryKeyMistyped");
  }
});

it("never repeats what was typed", () => {
  for (const text of [
    "",
    "0000",
    "U".repeat(56),
    `${"0".repeat(55)}\u00e9`,
    "\u{1f511}".repeat(28),
  ]) {
    expect(failure(text)).toBe("RecoveryKeyMistyped");
  }
  expect(() => decodeRecoveryKey("secret-words")).toThrow(/^(?!.*secret)/i);
});
