import { z } from "zod";

/**
 * What the install script hands to the agent as environment variables on the worker VM. Only
 * `HOLDFAST_WORKER_SECRET` is secret: it travels in a protected Run Command parameter.
 */
export const agentSettingsSchema = z.object({
  HOLDFAST_WORKER_ID: z.string().min(1),
  HOLDFAST_WORKER_SECRET: z.string().min(40),
  /** Client id of the user-assigned identity that reads jobs and writes repositories. */
  HOLDFAST_WORKER_CLIENT_ID: z.string().min(1),
  /** Queue service endpoint and name of the queue with this worker's jobs. */
  HOLDFAST_JOB_QUEUE_URL: z.string().url(),
  /** Full URL of the control plane's event queue. */
  HOLDFAST_EVENT_QUEUE_URL: z.string().url(),
  /** Container for jobs that are too large for a queue message. */
  HOLDFAST_JOB_CONTAINER_URL: z.string().url(),
  HOLDFAST_HEARTBEAT_SECONDS: z.coerce.number().min(1).max(300).default(15),
});
export type AgentSettings = z.infer<typeof agentSettingsSchema>;
