import { expect, it } from "vitest";
import { FREE_TURN, isFree, leaveTurn, takeTurn } from "#core/network/region-turn.ts";

const leaseMs = 1000;

it("belongs to one at a time, who renews it by taking it again", () => {
  const first = takeTurn(FREE_TURN, { holder: "one", now: 0, leaseMs });
  expect(first.isOurs).toBe(true);
  const other = takeTurn(first.turn, { holder: "two", now: 999, leaseMs });
  expect(other).toEqual({ isOurs: false, turn: first.turn });
  const renewed = takeTurn(first.turn, { holder: "one", now: 999, leaseMs });
  expect(renewed).toEqual({ isOurs: true, turn: { holder: "one", expiresAt: 1999 } });
});

it("is free when it was given back by its holder, and when its lease is over", () => {
  const { turn } = takeTurn(FREE_TURN, { holder: "one", now: 0, leaseMs });
  expect(leaveTurn(turn, "two")).toEqual(turn);
  expect(isFree(leaveTurn(turn, "one"), 0)).toBe(true);
  expect([isFree(turn, 999), isFree(turn, 1000)]).toEqual([false, true]);
  expect(takeTurn(turn, { holder: "two", now: 1000, leaseMs }).isOurs).toBe(true);
});
