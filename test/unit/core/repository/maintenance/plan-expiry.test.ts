import { expect, it } from "vitest";
import { planExpiry, type VmPointFacts } from "#core/repository/maintenance/plan-expiry.ts";

function point(pointId: string, day: number, changes: Partial<VmPointFacts> = {}): VmPointFacts {
  const takenAt = new Date(Date.UTC(2026, 0, day));
  return { vmId: "vm", pointId, takenAt, diskIds: ["os"], isComplete: true, ...changes };
}

const NEWEST = "newest-complete-point-of-an-active-disk";
const NONE = "no-complete-point-of-an-active-disk";

const cases: {
  name: string;
  points: VmPointFacts[];
  active?: string[];
  unreadable?: string[];
  expected: Record<string, string>;
}[] = [
  {
    name: "keeps the newest point of an active disk",
    points: [point("a", 1), point("b", 2), point("c", 3)],
    expected: { a: "expired", b: "expired", c: NEWEST },
  },
  {
    name: "lets everything of a disk go that is not protected any more",
    points: [point("a", 1), point("b", 2)],
    active: [],
    expected: { a: "expired", b: "expired" },
  },
  {
    name: "keeps the newest that is complete, not a newer one that is not",
    points: [point("a", 1), point("b", 2), point("c", 3, { isComplete: false })],
    expected: { a: "expired", b: NEWEST, c: "expired" },
  },
  {
    name: "keeps all points of a disk without a complete one: one of them may be repaired",
    points: [point("a", 1, { isComplete: false }), point("b", 2, { isComplete: false })],
    expected: { a: NONE, b: NONE },
  },
  {
    name: "keeps the newest point of each disk, also of one that later points do not have",
    points: [point("a", 1, { diskIds: ["os", "data"] }), point("b", 2), point("c", 3)],
    active: ["os", "data"],
    expected: { a: NEWEST, b: "expired", c: NEWEST },
  },
  {
    name: "decides between two points of one instant by their ids",
    points: [point("a", 1), point("b", 1)],
    expected: { a: "expired", b: NEWEST },
  },
  {
    name: "keeps all of a VM when one of its manifests cannot be read",
    points: [point("a", 1), point("b", 2)],
    unreadable: ["x"],
    expected: {
      a: "a-manifest-of-the-vm-cannot-be-read",
      x: "a-manifest-of-the-vm-cannot-be-read",
    },
  },
  {
    name: "has nothing against a point that is gone already",
    points: [point("b", 2)],
    expected: { a: "gone-already" },
  },
];

it.each(cases)("$name", ({ points, active = ["os"], unreadable = [], expected }) => {
  const decisions = planExpiry({
    asked: Object.keys(expected).map((pointId) => ({ vmId: "vm", pointId })),
    points,
    unreadable: unreadable.map((pointId) => ({ vmId: "vm", pointId })),
    activeDiskIds: new Set(active),
  });
  expect(Object.fromEntries(decisions.map(({ pointId, reason }) => [pointId, reason]))).toEqual(
    expected,
  );
  for (const { decision, reason } of decisions) {
    expect(decision).toBe(["expired", "gone-already"].includes(reason) ? "delete" : "keep");
  }
});
