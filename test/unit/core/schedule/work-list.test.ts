import * as fc from "fast-check";
import { expect, it } from "vitest";
import { EMPTY_WORK_LIST, takeNext } from "#core/schedule/work-list.ts";

it("hands out each number once, even when requests come twice", () => {
  fc.assert(
    fc.property(
      fc.nat(8),
      fc.array(fc.record({ lane: fc.nat(3), again: fc.boolean() })),
      (count, asks) => {
        let list = EMPTY_WORK_LIST;
        const turns = new Map<number, number>();
        const given: number[] = [];
        for (const { lane, again } of asks) {
          const turn = turns.get(lane) ?? 0;
          const taken = takeNext(list, { lane, turn, count });
          list = taken.list;
          if (again) {
            const repeated = takeNext(list, { lane, turn, count });
            expect(repeated).toEqual({ list, index: taken.index });
          }
          turns.set(lane, turn + 1);
          if (taken.index !== null) given.push(taken.index);
        }
        expect(given).toEqual(
          Array.from({ length: Math.min(count, asks.length) }, (_, index) => index),
        );
      },
    ),
  );
});
