import { z } from "zod";

/**
 * Worker record: written before anything of the worker is made, deleted after all of it is gone, so
 * that nothing of a worker can be forgotten.
 */
export const workerRecordSchema = z.object({
  workerId: z.string(),
  location: z.string(),
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
  /** By the worker's clock: an older enrolment that arrives late does not replace a newer one. */
  enrolledAt: z.iso.datetime().optional(),
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

/** Region record: the worker network of one location, when it is ready. */
export const regionRecordSchema = z.object({
  location: z.string(),
  addressPrefix: z.string(),
  subnetId: z.string(),
  blobServiceUrl: z.string(),
  queueServiceUrl: z.string(),
  readyAt: z.iso.datetime(),
});
export type RegionRecord = z.infer<typeof regionRecordSchema>;
