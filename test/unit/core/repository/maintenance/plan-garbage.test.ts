import { expect, it } from "vitest";
import { planGarbage, type GarbageObject } from "#core/repository/maintenance/plan-garbage.ts";

const now = new Date("2026-06-15T00:00:00Z");
const margins = { sessionSeconds: 7 * 86_400, markedSeconds: 86_400 };
const daysAgo = (days: number): Date => new Date(now.getTime() - days * 86_400_000);

function object(name: string, days: number, immutableDays?: number): GarbageObject {
  const immutableUntil =
    immutableDays === undefined ? {} : { immutableUntil: daysAgo(-immutableDays) };
  return { name, sizeBytes: 1, modifiedAt: daysAgo(days), ...immutableUntil };
}

it("gives every unreferenced object exactly one fate", () => {
  const plan = planGarbage({
    unreferenced: [
      object("old", 7),
      object("young", 6.9),
      object("ripe", 30),
      object("recent", 30),
      object("protected", 30, 1),
      object("protected-and-ripe", 30, 1),
      object("protection-is-over", 30, -1),
    ],
    lists: [
      { name: "list-1", markedAt: daysAgo(1), objects: ["ripe", "protected-and-ripe", "gone"] },
      { name: "list-2", markedAt: daysAgo(0.9), objects: ["recent"] },
    ],
    unreadableLists: ["list-0"],
    now,
    margins,
  });
  const names = (objects: readonly { name: string }[]) => objects.map(({ name }) => name);
  expect(names(plan.delete)).toEqual(["ripe"]);
  expect(names(plan.mark)).toEqual(["old", "protection-is-over"]);
  expect(plan.finishedLists).toEqual(["list-1", "list-0"]);
  expect(plan.wait).toEqual([
    { name: "young", reason: "young" },
    { name: "recent", reason: "marked-recently" },
    { name: "protected", reason: "immutable" },
    { name: "protected-and-ripe", reason: "immutable" },
  ]);
});

it("spares what is listed but referenced again, and drops the list", () => {
  const lists = [{ name: "list-1", markedAt: daysAgo(5), objects: ["needed"] }];
  const plan = planGarbage({ unreferenced: [], lists, unreadableLists: [], now, margins });
  expect(plan).toEqual({ delete: [], mark: [], wait: [], finishedLists: ["list-1"] });
});
