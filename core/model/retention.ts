import { z } from "zod";

/**
 * Retention: how long restore points stay. A point is kept while any rule keeps it. The rules are
 * those that administrators of Azure Backup know: all points for some days, and the first point of a
 * day, an ISO week, a month and a year for so many of them, by the calendar of the policy's zone.
 */
const count = (max: number): z.ZodType<number, number | undefined> =>
  z.number().int().min(0).max(max).default(0);

/** Of a policy that says nothing: what Azure Backup keeps by its default policy, 30 days. */
export const DEFAULT_RETENTION = {
  days: 30,
  daily: 0,
  weekly: 0,
  monthly: 0,
  yearly: 0,
  minimumCount: 3,
} as const;

export const retentionSchema = z
  .strictObject({
    /** Every point that is younger than so many times 24 hours. */
    days: count(36_500),
    /** The first point of a day, until so many days after that day began. */
    daily: count(36_500),
    /** The first point of a week (from Monday on), for so many weeks. */
    weekly: count(5_200),
    monthly: count(1_200),
    yearly: count(100),
    /** So many of a VM's latest points stay however old they are. */
    minimumCount: z.number().int().min(1).max(1000).default(DEFAULT_RETENTION.minimumCount),
  })
  .refine(
    ({ days, daily, weekly, monthly, yearly }) => days + daily + weekly + monthly + yearly > 0,
    "it keeps nothing: say days, daily, weekly, monthly or yearly",
  );
export type Retention = z.infer<typeof retentionSchema>;

/** Retention of a backup on demand that says nothing, as in Azure Backup. */
export const ON_DEMAND_DAYS = 30;
