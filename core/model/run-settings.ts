import { z } from "zod";

/**
 * Settings of a run: given to an orchestration when it starts and kept in its history, because an
 * orchestrator is replayed and must not read the environment.
 */
export const runSettingsSchema = z.object({
  pollSeconds: z.number().positive(),
  workerLostSeconds: z.number().positive(),
  jobDeadlineSeconds: z.number().positive(),
  workersPerRegionMax: z.number().int().min(1),
  workerIdleSeconds: z.number().min(0),
});
export type RunSettings = z.infer<typeof runSettingsSchema>;
