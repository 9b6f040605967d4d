import { z } from "zod";
import { checkLevelSchema } from "../protocol/job.ts";
import { DEFAULT_RETENTION, retentionSchema } from "./retention.ts";

/** Policy: who is backed up, when, where to. A slot is one due time of its schedule. */
const tagSelector = z.strictObject({
  name: z.string().min(1).max(512),
  /** Any value when missing. */
  value: z.string().max(256).optional(),
});

export const vmSelectorSchema = z.strictObject({
  vmIds: z.array(z.string().min(1)).max(1000).default([]),
  tags: z.array(tagSelector).max(50).default([]),
  locations: z.array(z.string().min(1)).max(100).default([]),
  subscriptionIds: z.array(z.string().min(1)).max(100).default([]),
});
export type VmSelector = z.infer<typeof vmSelectorSchema>;

export const scheduleSchema = z.strictObject({
  /** Five fields: minute, hour, day of month, month, day of week. */
  cron: z.string().min(9).max(100),
  /** IANA name, e.g. `Europe/Berlin`. */
  timeZone: z.string().min(1).max(64),
});
export type Schedule = z.infer<typeof scheduleSchema>;

const NO_VMS: VmSelector = { vmIds: [], tags: [], locations: [], subscriptionIds: [] };

const archiveRuleSchema = z.strictObject({
  schedule: scheduleSchema,
  /**
   * Azure bills an object of the archive tier for 180 days at least, also when it goes earlier (doc:
   * blob access tiers overview).
   */
  retentionDays: z.number().int().min(1).max(36_500).default(365),
});

const healthCheckRuleSchema = z.strictObject({
  schedule: scheduleSchema,
  level: checkLevelSchema.default("sample"),
});

/** What an operator sends; the stored policy adds ids and times. */
export const policyInputSchema = z.strictObject({
  name: z.string().min(1).max(100),
  enabled: z.boolean().default(true),
  schedule: scheduleSchema,
  selection: z.strictObject({
    include: vmSelectorSchema,
    exclude: vmSelectorSchema.default(NO_VMS),
  }),
  repositoryId: z.string().min(1).max(64),
  maxConcurrentVms: z.number().int().min(1).max(100).default(10),
  /** How long its restore points stay; days begin at midnight in the schedule's zone. */
  retention: retentionSchema.default(DEFAULT_RETENTION),
  /** When the newest restore point of each VM is copied to the archive tier. */
  archive: archiveRuleSchema.optional(),
  /** When the repository's content is verified. */
  healthCheck: healthCheckRuleSchema.optional(),
});
export type PolicyInput = z.infer<typeof policyInputSchema>;

export const policySchema = policyInputSchema.extend({
  policyId: z.string().min(1),
  createdAt: z.iso.datetime(),
  /** Slots before this instant are not owed: it was created or enabled then. */
  enabledAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
});
export type Policy = z.infer<typeof policySchema>;
