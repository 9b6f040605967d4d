import { z } from "zod";

/**
 * Doctor: a worker looks from inside whether it reaches what jobs need. A *probe* names one service;
 * it is resolved, connected to, secured and asked one small question, and ends with one code.
 */
export const probeKindSchema = z.enum([
  /** The staging account's blob service: the first byte of the bundle, by SAS. */
  "staging-blob",
  /** The worker's own job queue: the worker's identity asks for a message, as it always does. */
  "job-queue",
  /** The control plane's event queue: name, connection and TLS. That the result arrives is the rest. */
  "event-queue",
  /** The repository's container: a list of one with the worker's identity. */
  "repository",
  /** A snapshot that is exported through a disk access: a HEAD by SAS, with a token where it asks for one. */
  "disk",
]);
export type ProbeKind = z.infer<typeof probeKindSchema>;

export const probeSchema = z.object({
  /** What reports call it, e.g. `repository main`. */
  name: z.string().min(1).max(200),
  kind: probeKindSchema,
  /** What is asked: a SAS for `staging-blob` and `disk`, else queue or container. */
  url: z.string().startsWith("https://"),
  /** Resource behind it, for the join with what Resource Manager says; no secret. */
  targetId: z.string().optional(),
  /** A `disk` whose data access mode asks for a token of the worker's identity beside the SAS. */
  needsToken: z.boolean().optional(),
});
export type Probe = z.infer<typeof probeSchema>;

export const PROBES_MAX = 20;

export const probeCodeSchema = z.enum([
  "Ok",
  "NoSuchName",
  "NameServerSilent",
  /** Azure's public address: a private network has no way to it, and none is tried. */
  "PublicAddress",
  "ConnectTimedOut",
  "ConnectRefused",
  "NoRoute",
  "ConnectionCut",
  "ForeignCertificate",
  "UntrustedCertificate",
  "TokenMissing",
  /** 403 AuthorizationFailure: the service's network rules. */
  "NetworkRefused",
  /** 403 AuthorizationPermissionMismatch: the role assignment. */
  "PermissionMissing",
  "SasRefused",
  "NotFound",
  "ServiceFailed",
  "TooSlow",
]);
export type ProbeCode = z.infer<typeof probeCodeSchema>;

export const probeResultSchema = z.object({
  name: z.string(),
  kind: probeKindSchema,
  host: z.string(),
  targetId: z.string().optional(),
  ok: z.boolean(),
  /** Names that the host's name leads to, in order, as far as the name server tells. */
  aliases: z.array(z.string()),
  address: z.string().optional(),
  durationMs: z.number(),
  code: probeCodeSchema,
  message: z.string(),
});
export type ProbeResult = z.infer<typeof probeResultSchema>;

export const doctorResultSchema = z.object({
  kind: z.literal("doctor"),
  probes: z.array(probeResultSchema).max(PROBES_MAX),
});
export type DoctorResult = z.infer<typeof doctorResultSchema>;

/** One thing that is wrong: what failed, why it usually fails, what to do. */
export const findingSchema = z.object({
  what: z.string(),
  why: z.string(),
  todo: z.string(),
  /** Object of Resource Manager that it is about, where one is. */
  resourceId: z.string().optional(),
  /** Names of the probes that fail because of it. */
  probes: z.array(z.string()),
});
export type Finding = z.infer<typeof findingSchema>;

/** What the doctor last said of a region. */
export const doctorRecordSchema = z.object({
  location: z.string(),
  checkedAt: z.iso.datetime(),
  sessionId: z.string(),
  /** Absent when no worker could look. */
  workerId: z.string().optional(),
  ok: z.boolean(),
  findings: z.array(findingSchema),
  /** Empty when no worker could look. */
  probes: z.array(probeResultSchema),
  /** Digests of ways that worked as they were then: no worker looks at them again. */
  greenWays: z.array(z.string()),
});
export type DoctorRecord = z.infer<typeof doctorRecordSchema>;
