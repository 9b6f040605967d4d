import { z } from "zod";

/**
 * Settings of a run: given to an orchestration when it starts and kept in its history, because an
 * orchestrator is replayed and must not read the environment.
 */
export const runSettingsSchema = z.object({
  pollSeconds: z.number().positive(),
  /** How long a region's private network may take to be made. */
  regionSeconds: z.number().positive().default(1800),
  workerLostSeconds: z.number().positive(),
  jobDeadlineSeconds: z.number().positive(),
});
export type RunSettings = z.infer<typeof runSettingsSchema>;
