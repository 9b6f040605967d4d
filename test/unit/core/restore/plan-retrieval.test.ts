import { describe, expect, it } from "vitest";
import { nextLookSeconds, planRetrieval } from "#core/restore/plan-retrieval.ts";

const GIB = 1024 ** 3;
const NOW = new Date("2026-11-22T00:00:00.000Z");
const disk = (diskId: string, gib: number) => ({ diskId, sizeBytes: 0, storedBytes: gib * GIB });
const ARCHIVE = { storedBytes: 304 * GIB, disks: [disk("a", 4), disk("b", 100), disk("c", 200)] };

describe("plan of a retrieval", () => {
  it.each([
    ["standard", ["a"], 15],
    ["standard", ["a", "b", "c"], 15],
    ["high", ["a"], 1],
    ["high", ["b"], 10],
    ["high", ["a", "b"], 11],
  ] as const)("with priority %s of disks %j takes %i hours", (priority, diskIds, hours) => {
    const request = { priority, diskIds, tier: "hot", availableDays: 7 } as const;
    const plan = planRetrieval(ARCHIVE, request, NOW);
    expect(plan.expectedHours).toBe(hours);
    expect(Date.parse(plan.expectedAt) - NOW.getTime()).toBe(hours * 3_600_000);
    expect(Date.parse(plan.availableUntil) - Date.parse(plan.expectedAt)).toBe(7 * 86_400_000);
  });

  it("costs more with high priority, more disks and more days, and says so as a range", () => {
    const most = (fields: object): number => {
      const request = {
        priority: "standard",
        diskIds: ["b"],
        tier: "hot",
        availableDays: 7,
      } as const;
      const { cost } = planRetrieval(ARCHIVE, { ...request, ...fields }, NOW);
      expect(cost.least).toBeGreaterThan(0);
      expect(cost.most).toBeGreaterThan(cost.least);
      return cost.most;
    };
    const plain = most({});
    expect(plain).toBeCloseTo(2 * 100 * (0.022 + (0.0208 * 7) / 30), 1);
    expect(most({ priority: "high" })).toBeGreaterThan(plain);
    expect(most({ diskIds: ["b", "c"] })).toBeGreaterThan(plain);
    expect(most({ availableDays: 30 })).toBeGreaterThan(plain);
    // The cool tier bills 30 days at least.
    expect(most({ tier: "cool" })).toBe(most({ tier: "cool", availableDays: 30 }));
  });

  it("says when standard priority is the faster one", () => {
    const request = { priority: "high", diskIds: ["c"], tier: "cold", availableDays: 1 } as const;
    expect(planRetrieval(ARCHIVE, request, NOW)).toMatchObject({
      expectedHours: 20,
      reasons: [
        "high priority takes an hour, and an account retrieves some 10 GiB in each",
        "so much may come sooner with standard priority",
        "the cold tier bills 90 days at least",
      ],
    });
  });

  it("looks again as often as it may pay", () => {
    expect([nextLookSeconds("standard"), nextLookSeconds("high")]).toEqual([3600, 600]);
  });
});
