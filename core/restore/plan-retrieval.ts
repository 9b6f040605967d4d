/**
 * What a retrieval of an archive will take: time, money and the window in which it can be read. From
 * what the index knows of the archive; nothing is asked of Azure. Sources: Microsoft's pages "Blob
 * rehydration from the archive tier" and "Access tiers for blob data".
 */
import type { Archive } from "../model/archive.ts";

export type RetrievalPriority = "standard" | "high";
export type OnlineTier = "hot" | "cool" | "cold";

const GIB = 1024 ** 3;
const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;
const DAYS_PER_MONTH = 30;
/** Copies of standard priority are done within 15 hours. */
const STANDARD_HOURS = 15;
/** Of high priority within an hour, but an account retrieves some 10 GiB per hour only. */
const HIGH_BYTES_PER_HOUR = 10 * GIB;
/** A blob that goes earlier is billed for so long all the same. */
const BILLED_DAYS_MIN: Readonly<Record<OnlineTier, number>> = { hot: 0, cool: 30, cold: 90 };

/**
 * US dollars: the sample prices of Microsoft's cost examples for Blob Storage (August 2024, locally
 * redundant). They give the order of magnitude; region and agreement decide.
 */
const USD_PER_GIB_RETRIEVED = { standard: 0.022, high: 0.13 };
const USD_PER_GIB_MONTH: Readonly<Record<OnlineTier, number>> = {
  hot: 0.0208,
  cool: 0.0115,
  cold: 0.0045,
};
/** Prices of regions and redundancies lie between half of it and twice as much. */
const COST_SPREAD = 2;

export interface RetrievalPlan {
  readonly storedBytes: number;
  readonly expectedAt: string;
  readonly expectedHours: number;
  /** When the window ends if the copies are there when they are expected. */
  readonly availableUntil: string;
  readonly cost: {
    readonly currency: "USD";
    readonly least: number;
    readonly most: number;
    readonly basis: string;
  };
  readonly reasons: readonly string[];
}

/** @param request `diskIds` are all in the archive */
export function planRetrieval(
  archive: Pick<Archive, "disks" | "storedBytes">,
  request: {
    readonly priority: RetrievalPriority;
    readonly tier: OnlineTier;
    readonly diskIds: readonly string[];
    readonly availableDays: number;
  },
  now: Date,
): RetrievalPlan {
  const { priority, tier, availableDays } = request;
  const chosen = archive.disks.filter(({ diskId }) => request.diskIds.includes(diskId));
  const storedBytes = chosen.reduce((sum, disk) => sum + disk.storedBytes, 0);
  const reasons: string[] = [];
  const expectedHours = hoursOf(priority, storedBytes);
  reasons.push(
    priority === "standard"
      ? `standard priority takes up to ${STANDARD_HOURS} hours`
      : "high priority takes an hour, and an account retrieves some 10 GiB in each",
  );
  if (expectedHours > STANDARD_HOURS)
    reasons.push("so much may come sooner with standard priority");
  const billedDays = Math.max(availableDays, BILLED_DAYS_MIN[tier]);
  if (billedDays > availableDays)
    reasons.push(`the ${tier} tier bills ${billedDays} days at least`);
  const usd =
    (storedBytes / GIB) *
    (USD_PER_GIB_RETRIEVED[priority] + (USD_PER_GIB_MONTH[tier] * billedDays) / DAYS_PER_MONTH);
  const expected = now.getTime() + expectedHours * HOUR_MS;
  return {
    storedBytes,
    expectedAt: new Date(expected).toISOString(),
    expectedHours,
    availableUntil: new Date(expected + availableDays * DAY_MS).toISOString(),
    cost: {
      currency: "USD",
      least: roundCents(usd / COST_SPREAD),
      most: roundCents(usd * COST_SPREAD),
      basis: "half to twice Microsoft's sample prices of August 2024; without traffic",
    },
    reasons,
  };
}

function hoursOf(priority: RetrievalPriority, storedBytes: number): number {
  if (priority === "standard") return STANDARD_HOURS;
  return Math.max(1, Math.ceil(storedBytes / HIGH_BYTES_PER_HOUR));
}

function roundCents(usd: number): number {
  return Math.ceil(usd * 100) / 100;
}

/** How long to wait before asking again how far the copies are. */
export function nextLookSeconds(priority: RetrievalPriority): number {
  return priority === "high" ? 600 : 3600;
}
