import { expect, it } from "vitest";
import { codeOf } from "#core/lib/errors.ts";
import { planRetrieval } from "#core/repository/index.ts";

const GIB = 1024 ** 3;
const archive = {
  disks: [
    { diskId: "os", packCount: 4, storedBytes: 4 * GIB },
    { diskId: "data", packCount: 196, storedBytes: 196 * GIB },
  ],
};
const startAt = new Date("2026-05-01T00:00:00Z");
const prices = {
  source: "test",
  retrievedGib: { standard: 0.02, high: 0.1 },
  archiveReads10k: { standard: 5, high: 50 },
  writes10k: { hot: 0.05, cool: 0.1, cold: 0.18 },
  storedGibMonth: { hot: 0.02, cool: 0.01, cold: 0.005 },
  readGib: { hot: 0, cool: 0.01, cold: 0.03 },
};
const common = { tier: "hot", startAt, keepDays: 3, prices } as const;

it("counts only what the chosen disks need", () => {
  const plan = planRetrieval(archive, { ...common, diskIds: ["os", "os"], priority: "standard" });
  expect(plan).toMatchObject({ objectCount: 4, storedBytes: 4 * GIB });
  const all = planRetrieval(archive, { ...common, diskIds: ["os", "data"], priority: "standard" });
  expect(all).toMatchObject({ objectCount: 200, storedBytes: 200 * GIB });
});

it.each([
  ["standard", ["os", "data"], 15],
  ["high", ["os"], 1],
  ["high", ["data"], 20],
] as const)("expects %s priority of %j within %i hours", (priority, diskIds, hours) => {
  const plan = planRetrieval(archive, { ...common, diskIds, priority });
  const readyMs = startAt.getTime() + hours * 3_600_000;
  expect(plan.expectedHours).toBe(hours);
  expect(plan.readyBy).toBe(new Date(readyMs).toISOString());
  expect(plan.availableUntil).toBe(new Date(readyMs + 3 * 86_400_000).toISOString());
});

it("says when standard priority would be faster", () => {
  const plan = planRetrieval(archive, { ...common, diskIds: ["data"], priority: "high" });
  expect(plan.reasons.join(" ")).toContain("Standard priority is faster");
  const small = planRetrieval(archive, { ...common, diskIds: ["os"], priority: "high" });
  expect(small.reasons.join(" ")).not.toContain("faster");
});

it("adds up retrieval, operations, storage and reading", () => {
  const { cost } = planRetrieval(archive, {
    ...common,
    diskIds: ["os", "data"],
    priority: "standard",
  });
  expect(cost.retrieval).toBeCloseTo(4);
  expect(cost.operations).toBeCloseTo((200 * 5.05) / 10_000);
  expect(cost.storage).toBeCloseTo((200 * 0.02 * 3) / 30);
  expect(cost.reading).toBe(0);
  expect(cost.total).toBeCloseTo(cost.retrieval + cost.operations + cost.storage);
  expect(cost.priceSource).toBe("test");
});

it("charges the least time of a tier, and says so", () => {
  const plan = planRetrieval(archive, {
    ...common,
    diskIds: ["data"],
    priority: "standard",
    tier: "cold",
  });
  expect(plan.cost.storage).toBeCloseTo((196 * 0.005 * 90) / 30);
  expect(plan.reasons).toHaveLength(2);
});

it("names the source of its default prices, and refuses a disk that is not there", () => {
  const { prices: _, ...others } = common;
  const plan = planRetrieval(archive, { ...others, diskIds: ["os"], priority: "high" });
  expect(plan.cost.priceSource).toContain("2024");
  expect(plan.cost.total).toBeGreaterThan(0.5);
  const refused = () => planRetrieval(archive, { ...common, diskIds: ["x"], priority: "high" });
  let code = "";
  try {
    refused();
  } catch (error) {
    code = codeOf(error);
  }
  expect(code).toBe("DiskNotInArchive");
});
