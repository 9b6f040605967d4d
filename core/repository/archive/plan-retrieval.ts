/**
 * What a retrieval will take: objects, time, money. Pure; nothing is asked of Azure. Prices are
 * assumptions that the caller can replace, and that the plan repeats with their source.
 */
import { HoldfastError } from "../../lib/errors.ts";
import type { OnlineTier } from "../../ports/blob-store.ts";

const GIB = 1024 ** 3;
const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;
const DAYS_PER_MONTH = 30;
/** learn.microsoft.com/azure/storage/blobs/archive-rehydrate-overview, "Rehydration priority". */
const STANDARD_HOURS = 15;
/** The same page: within an hour for objects below 10 GB, at most 10 GiB per account and hour. */
const HIGH_HOURS = 1;
const HIGH_BYTES_PER_HOUR = 10 * GIB;
/** learn.microsoft.com/azure/storage/blobs/access-tiers-overview: deleted earlier, it is charged on. */
const MINIMUM_DAYS: Readonly<Record<OnlineTier, number>> = { hot: 0, cool: 30, cold: 90 };

/** US dollars. A GB of the price lists is taken as a GiB, as Azure bills it. */
export interface RetrievalPrices {
  /** Where the figures come from and how old they are; shown with every estimate. */
  readonly source: string;
  readonly retrievedGib: Readonly<Record<"standard" | "high", number>>;
  readonly archiveReads10k: Readonly<Record<"standard" | "high", number>>;
  readonly writes10k: Readonly<Record<OnlineTier, number>>;
  readonly storedGibMonth: Readonly<Record<OnlineTier, number>>;
  /** Reading the copies for the restore. */
  readonly readGib: Readonly<Record<OnlineTier, number>>;
}

export const DEFAULT_RETRIEVAL_PRICES: RetrievalPrices = {
  source:
    "sample prices in Microsoft's cost examples for Blob Storage (August 2024, locally redundant); " +
    "not those of your region or agreement",
  retrievedGib: { standard: 0.022, high: 0.13 },
  archiveReads10k: { standard: 5.5, high: 65 },
  writes10k: { hot: 0.055, cool: 0.1, cold: 0.18 },
  storedGibMonth: { hot: 0.0208, cool: 0.0115, cold: 0.0045 },
  readGib: { hot: 0, cool: 0.01, cold: 0.03 },
};

export interface PlanRetrievalOptions {
  readonly diskIds: readonly string[];
  readonly priority: "standard" | "high";
  readonly tier: OnlineTier;
  readonly startAt: Date;
  /** How long the copies are kept once they can be read. */
  readonly keepDays: number;
  readonly prices?: RetrievalPrices;
}

export interface RetrievalPlan {
  readonly objectCount: number;
  readonly storedBytes: number;
  /** The copies should be readable by then. */
  readonly readyBy: string;
  readonly expectedHours: number;
  /** They can be read from `readyBy` until then. */
  readonly availableUntil: string;
  readonly cost: {
    readonly currency: "USD";
    readonly retrieval: number;
    readonly operations: number;
    readonly storage: number;
    readonly reading: number;
    readonly total: number;
    readonly priceSource: string;
  };
  /** For people: why it takes this long and costs this much. */
  readonly reasons: readonly string[];
}

/** The part of an archive that a plan needs: also what the result of an archive job says. */
export interface PlannableArchive {
  readonly disks: readonly {
    readonly diskId: string;
    readonly packCount: number;
    readonly storedBytes: number;
  }[];
}

/** Throws `DiskNotInArchive`. */
export function planRetrieval(
  archive: PlannableArchive,
  options: PlanRetrievalOptions,
): RetrievalPlan {
  const { priority, tier, keepDays, prices = DEFAULT_RETRIEVAL_PRICES } = options;
  const disks = [...new Set(options.diskIds)].map((diskId) => {
    const disk = archive.disks.find((each) => each.diskId === diskId);
    if (disk !== undefined) return disk;
    throw new HoldfastError("DiskNotInArchive", `The archive holds no disk ${diskId}.`, {
      context: { diskId },
    });
  });
  const objectCount = disks.reduce((sum, { packCount }) => sum + packCount, 0);
  const storedBytes = disks.reduce((sum, disk) => sum + disk.storedBytes, 0);
  const storedGib = storedBytes / GIB;
  const { hours, reason } = expectedTime(priority, storedBytes);
  const readyAt = options.startAt.getTime() + hours * HOUR_MS;
  const chargedDays = Math.max(keepDays, MINIMUM_DAYS[tier]);
  const retrieval = storedGib * prices.retrievedGib[priority];
  const operations =
    (objectCount * (prices.archiveReads10k[priority] + prices.writes10k[tier])) / 10_000;
  const storage = (storedGib * prices.storedGibMonth[tier] * chargedDays) / DAYS_PER_MONTH;
  const reading = storedGib * prices.readGib[tier];
  return {
    objectCount,
    storedBytes,
    readyBy: new Date(readyAt).toISOString(),
    expectedHours: hours,
    availableUntil: new Date(readyAt + keepDays * DAY_MS).toISOString(),
    cost: {
      currency: "USD",
      retrieval,
      operations,
      storage,
      reading,
      total: retrieval + operations + storage + reading,
      priceSource: prices.source,
    },
    reasons: [
      reason,
      ...(chargedDays > keepDays
        ? [
            `The ${tier} tier is charged for at least ${chargedDays} days, longer than the copies are kept.`,
          ]
        : []),
    ],
  };
}

function expectedTime(priority: "standard" | "high", storedBytes: number) {
  const highHours = Math.max(HIGH_HOURS, Math.ceil(storedBytes / HIGH_BYTES_PER_HOUR));
  if (priority === "standard") {
    const reason = `Copies of standard priority take up to ${STANDARD_HOURS} hours.`;
    return { hours: STANDARD_HOURS, reason };
  }
  const reason =
    highHours > HIGH_HOURS
      ? "Of high priority, Azure retrieves about 10 GiB per storage account and hour."
      : "Copies of high priority and less than 10 GiB take about an hour.";
  const slow = highHours > STANDARD_HOURS ? " Standard priority is faster for this much." : "";
  return { hours: highHours, reason: reason + slow };
}
