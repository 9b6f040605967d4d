import { z } from "zod";
import { WORKER_STATES } from "../workers/pool-state.ts";
import { WORKER_PROFILES, workerImageSchema } from "./worker-configuration.ts";

/**
 * Worker record: written before anything of the worker is made, deleted after all of it is gone, so
 * that nothing of a worker can be forgotten.
 */
export const workerRecordSchema = z.object({
  workerId: z.string(),
  location: z.string(),
  /** What the pool says of it, for those who look; the pool decides. */
  state: z.enum(WORKER_STATES),
  stateAt: z.iso.datetime(),
  /** Why it failed or goes. */
  reason: z.string().optional(),
  profile: z.enum(WORKER_PROFILES),
  /** What it was launched with: a configuration that changes later does not change it. */
  launch: z.object({
    vmSize: z.string(),
    priority: z.enum(["spot", "regular"]),
    osDisk: z.enum(["ephemeral", "managed"]),
    image: workerImageSchema,
    diskEncryptionSetId: z.string().optional(),
    tags: z.record(z.string(), z.string()),
    updateMirrorUrl: z.string().optional(),
  }),
  /** Counts its starts: each has an enrolment secret of its own. */
  generation: z.number().int().min(1),
  vmResourceId: z.string(),
  nicId: z.string(),
  queueName: z.string(),
  queueServiceUrl: z.string(),
  blobServiceUrl: z.string(),
  createdAt: z.iso.datetime(),
  /** Enrolled: the public key that jobs are sealed to. */
  publicKey: z
    .object({ kty: z.literal("EC"), crv: z.literal("P-256"), x: z.string(), y: z.string() })
    .optional(),
  agentVersion: z.string().optional(),
  /** By the worker's clock. */
  enrolledAt: z.iso.datetime().optional(),
  /** An agent with another key spoke after the enrolment: the key is lost, and the worker with it. */
  keyLostAt: z.iso.datetime().optional(),
  /** The last dispatch to this worker, written before its message is sent. */
  dispatch: z
    .object({
      jobId: z.string(),
      attempt: z.number().int().min(1),
      /** `publicKey.x` of the key that the job is sealed to. */
      sealedTo: z.string().optional(),
    })
    .optional(),
  /** Of the last authentic event, by the control plane's clock. */
  lastSeenAt: z.iso.datetime().optional(),
});
export type WorkerRecord = z.infer<typeof workerRecordSchema>;
